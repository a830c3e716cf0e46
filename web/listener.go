package web

import (
	"net"
	"sync"
)

// bounded returns a listener with at most n open connections. Further ones wait
// in the system. If n is below 1, there is no limit.
func bounded(l net.Listener, n int) net.Listener {
	if n < 1 {
		return l
	}
	return &boundedListener{Listener: l, open: make(chan struct{}, n), closed: make(chan struct{})}
}

type boundedListener struct {
	net.Listener
	open   chan struct{} // one item for each open connection
	once   sync.Once
	closed chan struct{}
}

// Accept waits for a connection, and until it may be open.
func (l *boundedListener) Accept() (net.Conn, error) {
	select {
	case l.open <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.open
		return nil, err
	}
	return &boundedConn{Conn: conn, release: sync.OnceFunc(func() { <-l.open })}, nil
}

func (l *boundedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type boundedConn struct {
	net.Conn
	release func()
}

func (c *boundedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
