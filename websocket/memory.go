package websocket

import (
	"io"
	"sync/atomic"
	"time"
	"unicode/utf8"

	coder "github.com/coder/websocket"

	"github.com/enoki-go/enoki/internal/budget"
)

// frame is a text that waits in a queue, and the memory that it takes. An event
// waits in the queues of all its sockets.
type frame struct {
	text    []byte
	share   budget.Share
	beyond  bool         // there was no memory for it
	holders atomic.Int32 // for an event: the queues that hold it
}

// release gives back the frame's memory once its last holder is done.
func (f *frame) release() {
	if f.holders.Add(-1) <= 0 {
		f.share.Release()
	}
}

// event returns the frame of an event; the caller holds it. It counts even if
// there is no memory, because a broadcast does not wait.
func (h *Hub) event(text []byte) *frame {
	f := &frame{text: text, share: h.memory.Wait()}
	f.holders.Store(1)
	if f.beyond = !f.share.TryTake(int64(len(text))); f.beyond {
		f.share.Add(int64(len(text)))
	}
	return f
}

// growth is how many bytes of memory one byte takes in a buffer that doubles as
// it grows.
const growth = 2

// Bound limits the memory of a server's sockets, for waiting calls, results and
// events, and the number of open sockets. Zero or less, and nil, mean no limit.
// Call it before Serve.
func (s *Server) Bound(memory *budget.Budget, sockets int) {
	s.memory, s.most = memory, sockets
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.hub.memory = memory
}

// receive reads the next frame. It takes memory as the frame arrives.
func (s *socket) receive() (*frame, error) {
	kind, r, err := s.conn.Reader(s.over)
	if err != nil {
		return nil, err
	}
	f := &frame{share: s.server.memory.Arrive()}
	f.text, err = io.ReadAll(&metered{r, s, &f.share, budget.Patience})
	if err == nil && kind == coder.MessageText && !utf8.Valid(f.text) {
		err = errNotUTF8
	}
	if err != nil {
		f.share.Release()
		return nil, err
	}
	return f, nil
}

// metered counts what is read. If a frame waits too long for memory, its socket
// is closed with 1013 (try again later).
type metered struct {
	io.Reader
	socket   *socket
	share    *budget.Share
	patience time.Duration // the time that is left to wait
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if m.share.TryTake(int64(n) * growth) {
		return n, err
	}
	m.socket.stalls.Add(1) // no pong is read meanwhile
	defer m.socket.stalls.Add(1)
	if full := m.share.TakeWithin(m.socket.over, int64(n)*growth, &m.patience); full != nil {
		return 0, errNoMemory
	}
	return n, err
}

// forget gives back the memory of the frames that were not served or sent.
func (s *socket) forget() {
	for f := range s.in {
		f.share.Release()
	}
	for {
		select {
		case f := <-s.out:
			f.release()
		default:
			return
		}
	}
}
