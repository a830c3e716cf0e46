package websocket

import (
	"io"
	"sync/atomic"
	"time"
	"unicode/utf8"

	coder "github.com/coder/websocket"

	"github.com/enoki-go/enoki/internal/budget"
)

// frame is a text that waits in a queue, with the memory that it has. An event
// waits in the queues of all sockets that it is for.
type frame struct {
	text    []byte
	share   budget.Share
	beyond  bool         // there was no room for it
	holders atomic.Int32 // of an event
}

// release gives back what the frame has when its last holder is done with it.
func (f *frame) release() {
	if f.holders.Add(-1) <= 0 {
		f.share.Release()
	}
}

// event returns the frame of an event, which its caller holds. It counts,
// whether there is room or not: who broadcasts does not wait.
func (h *Hub) event(text []byte) *frame {
	f := &frame{text: text, share: h.memory.Wait()}
	f.holders.Store(1)
	if f.beyond = !f.share.TryTake(int64(len(text))); f.beyond {
		f.share.Add(int64(len(text)))
	}
	return f
}

// growth is how much memory a byte takes that is read into a buffer which
// doubles as it grows.
const growth = 2

// Bound limits what the sockets of a server have: calls, answers and events that
// wait take of memory, and no more than sockets are open at once. Zero or less,
// and nil, are no limit. It must be called before Serve.
func (s *Server) Bound(memory *budget.Budget, sockets int) {
	s.memory, s.most = memory, sockets
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.hub.memory = memory
}

// receive reads the next frame, which has memory as it comes.
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

// metered counts what is read. A frame that waits too long for memory which
// others have ends its socket with 1013, try again later.
type metered struct {
	io.Reader
	socket   *socket
	share    *budget.Share
	patience time.Duration // that is left
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if m.share.TryTake(int64(n) * growth) {
		return n, err
	}
	m.socket.stalls.Add(1) // no pong is seen meanwhile
	defer m.socket.stalls.Add(1)
	if full := m.share.TakeWithin(m.socket.over, int64(n)*growth, &m.patience); full != nil {
		return 0, errNoMemory
	}
	return n, err
}

// forget gives back what the frames have that were not served or sent.
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
