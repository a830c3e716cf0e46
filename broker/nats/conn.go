package nats

import (
	"net"
	"runtime"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"
)

const (
	// maxUnwritten is how many bytes may wait to be written before Write does.
	maxUnwritten = 64 << 10

	// writeTimeout is how long the server may take none of what is written.
	writeTimeout = time.Minute

	// lastWrite is how long Close waits for what is unwritten.
	lastWrite = time.Second
)

// conn is a connection that coalesces writes: Write only keeps the bytes, and
// one goroutine writes them after it has let those run who are ready to. When
// replies wake several callers, their next requests leave in one write, which
// spares each process on the way system calls and wake-ups.
//
// The NATS client flushes as soon as its first caller waits.
type conn struct {
	net.Conn
	written chan struct{} // closed when nothing will be written any more

	mu        sync.Mutex // guards what follows
	changed   *sync.Cond
	unwritten []byte
	closed    bool
	err       error // of a write
}

func newConn(c net.Conn) *conn {
	coalescing := &conn{Conn: c, written: make(chan struct{})}
	coalescing.changed = sync.NewCond(&coalescing.mu)
	go coalescing.write()
	return coalescing
}

// Write implements net.Conn. It returns the error of an earlier write, and
// waits only while too much is unwritten.
func (c *conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.unwritten) > maxUnwritten && c.err == nil && !c.closed {
		c.changed.Wait()
	}
	switch {
	case c.err != nil:
		return 0, c.err
	case c.closed:
		return 0, net.ErrClosed
	}
	c.unwritten = append(c.unwritten, b...)
	c.changed.Broadcast()
	return len(b), nil
}

// write writes what there is until the connection is closed or broken.
func (c *conn) write() {
	defer close(c.written)
	var spare []byte
	for c.await() {
		runtime.Gosched()
		spare = c.writeOnce(spare)
	}
}

// await waits until something is unwritten.
func (c *conn) await() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.unwritten) == 0 && !c.closed {
		c.changed.Wait()
	}
	return len(c.unwritten) > 0 && c.err == nil
}

// writeOnce writes what is unwritten, while others fill spare, and returns
// the bytes for the next time.
func (c *conn) writeOnce(spare []byte) []byte {
	c.mu.Lock()
	b := c.unwritten
	c.unwritten = spare
	c.mu.Unlock()
	_ = c.Conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := c.Conn.Write(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err = err; err != nil {
		_ = c.Conn.Close() // the client hears of it as it reads
	}
	c.changed.Broadcast()
	if cap(b) > maxSpareBuffer {
		return nil
	}
	return b[:0]
}

// Close implements net.Conn. It first writes what is unwritten, if that is
// quickly done.
func (c *conn) Close() error {
	c.mu.Lock()
	c.closed = true
	c.changed.Broadcast()
	c.mu.Unlock()
	select {
	case <-c.written:
	case <-time.After(lastWrite):
	}
	return c.Conn.Close()
}

// inProcess makes the connections to a server of this process.
type inProcess struct{ natsgo.InProcessConnProvider }

func (p inProcess) InProcessConn() (net.Conn, error) {
	c, err := p.InProcessConnProvider.InProcessConn()
	if err != nil {
		return nil, err
	}
	return newConn(c), nil
}
