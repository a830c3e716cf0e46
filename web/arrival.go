package web

import (
	"io"
	"net/http"
	"time"
)

// arrival is the body of a request as it comes. The deadline of http.Server
// would count against the client how long its request waits for memory or for
// a worker, and what its handler does between two reads; here only the reads
// count.
type arrival struct {
	io.ReadCloser
	conn     readDeadliner
	deadline time.Time     // of the client
	idle     time.Duration // since the deadline was set, nobody read
	at       time.Time     // when the last read ended
	ended    bool          // nothing more comes; package http waits for the client to leave then, without a deadline
}

type readDeadliner interface{ SetReadDeadline(time.Time) error }

// leastIdle is for how long nobody reads before the client's deadline is put
// off, so that bodies which are there already cost no deadline.
const leastIdle = 100 * time.Millisecond

// begin has r's body measured, whose client has until timeout after now.
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

// resume puts off the deadline by what was not the client's time.
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
	_ = b.conn.SetReadDeadline(b.deadline) // fails on a dead connection only, as the read will
}
