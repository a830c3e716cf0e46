package websocket

import (
	"io"
	"time"
	"unicode/utf8"

	coder "github.com/coder/websocket"

	"github.com/enoki-go/enoki/internal/budget"
)

// frame is a text that waits in a queue, with the memory that it has.
type frame struct {
	text  []byte
	share budget.Share
}

// growth is how much memory a byte takes that is read into a buffer which
// doubles as it grows.
const growth = 2

// Bound limits what the sockets of a server have: calls and answers that wait
// take of memory, and no more than sockets are open at once. Zero or less, and
// nil, are no limit. It must be called before Serve.
func (s *Server) Bound(memory *budget.Budget, sockets int) {
	s.memory, s.most = memory, sockets
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
			f.share.Release()
		default:
			return
		}
	}
}
