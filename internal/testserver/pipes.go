package testserver

import (
	"context"
	"net"
)

// Pipes is a listener whose connections stay in memory, so that time may be
// that of package synctest. It is closed once.
type Pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
}

// NewPipes returns a listener that nobody has dialled yet.
func NewPipes() *Pipes {
	return &Pipes{accepted: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (p *Pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.accepted:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *Pipes) Close() error { close(p.closed); return nil }

// Addr implements net.Listener.
func (p *Pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

// Dial connects to the listener, and waits until it accepts. It has the form
// of http.Transport.DialContext and looks at none of its arguments.
func (p *Pipes) Dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	p.accepted <- far
	return near, nil
}
