package web

import (
	"io"
	"net/http"
	"time"
)

// arrival is the body of a request while it arrives. The deadline of
// http.Server would also count the time in which the request waits for memory
// or for a worker, and the handler's time between two reads. Here only the
// reads count.
type arrival struct {
	io.ReadCloser
	conn     readDeadliner
	deadline time.Time     // the client's deadline
	idle     time.Duration // how long nobody has read since the deadline was set
	at       time.Time     // when the last read ended
	ended    bool          // nothing more comes; package http then waits without a deadline for the client to leave
}

type readDeadliner interface{ SetReadDeadline(time.Time) error }

// leastIdle is the time without reads from which the client's deadline is
// extended. Below it, nothing is extended: a body that has already arrived then
// costs no deadline.
const leastIdle = 100 * time.Millisecond

// begin measures the body of r. The client has until timeout after now.
func (b *arrival) begin(w http.ResponseWriter, r *http.Request, now time.Time, timeout time.Duration) {
	if r.Body == nil || r.Body == http.NoBody || timeout <= 0 {
		return
	}
	if conn, ok := w.(readDeadliner); ok {
		*b = arrival{ReadCloser: r.Body, conn: conn, deadline: now.Add(timeout), at: now}
		r.Body = b
	}
}

func (b *arrival) Read(p []byte) (int, error) {
	b.resume()
	n, err := b.ReadCloser.Read(p)
	b.at, b.ended = time.Now(), err != nil
	return n, err
}

func (b *arrival) Close() error {
	b.ended = true
	return b.ReadCloser.Close()
}

// resume extends the deadline by the time in which nobody read.
func (b *arrival) resume() {
	if b.ended {
		return
	}
	b.idle += time.Since(b.at)
	if b.idle < leastIdle {
		return
	}
	b.deadline = b.deadline.Add(b.idle)
	b.idle = 0
	_ = b.conn.SetReadDeadline(b.deadline) // fails only on a dead connection, and so will the read
}
