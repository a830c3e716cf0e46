package testserver

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// Cable leads to a server until it is cut: then the server sees its client gone,
// as when a process has died, and the client does not come back.
type Cable struct {
	server   string // host and port
	listener net.Listener

	mu    sync.Mutex // guards what follows
	conns []net.Conn
	cut   bool
}

// NewCable leads to the server at to, a URL, and returns the URL of its near
// end. It is cut when the test ends.
func NewCable(t testing.TB, to string) (c *Cable, near string) {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	c = &Cable{server: u.Host}
	if c.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Cut)
	go c.accept()
	u.Host = c.listener.Addr().String()
	return c, u.String()
}

// Cut ends all connections, and takes no more. It may be called twice.
func (c *Cable) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
	_ = c.listener.Close()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

func (c *Cable) accept() {
	for {
		near, err := c.listener.Accept()
		if err != nil {
			return // cut
		}
		far, err := net.Dial("tcp", c.server)
		if err != nil {
			_ = near.Close()
			continue
		}
		c.join(near, far)
	}
}

func (c *Cable) join(near, far net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		_, _ = near.Close(), far.Close()
		return
	}
	c.conns = append(c.conns, near, far)
	go pass(near, far)
	go pass(far, near)
}

// pass ends both ends with the first of them.
func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_, _ = to.Close(), from.Close()
}
