package websocket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	coder "github.com/coder/websocket"

	"github.com/enoki-go/enoki/internal/budget"
	"github.com/enoki-go/enoki/internal/uuid"
)

// socket is one connection. One goroutine serves its calls; three others read,
// write and ping.
type socket struct {
	id       string
	server   *Server
	hub      *Hub
	conn     *coder.Conn
	channels map[string]struct{} // guarded by the hub

	in     chan *frame   // waiting calls; closed when no more come
	out    chan *frame   // waiting frames
	last   chan struct{} // closed when no more frames are added
	broken chan error    // gets the breach of the protocol that ends the socket
	stalls atomic.Int64  // odd while the reader waits for room in in

	over context.Context // ends with the connection; its cause is the reason
	cut  context.CancelCauseFunc
}

func newSocket(server *Server, conn *coder.Conn) *socket {
	o := &server.hub.options
	conn.SetReadLimit(o.MaxFrame)
	return &socket{
		id: uuid.New(), server: server, hub: server.hub, conn: conn, channels: map[string]struct{}{},
		in: make(chan *frame, o.Waiting), out: make(chan *frame, o.Queue), last: make(chan struct{}),
		broken: make(chan error, 1),
	}
}

// run serves the socket until the socket and all its goroutines have ended.
func (s *socket) run(ctx context.Context) error {
	s.over, s.cut = context.WithCancelCause(ctx)
	defer s.cut(nil)
	connected, _ := eventFrame("connected", map[string]string{"socket_id": s.id}) // a string always marshals
	s.out <- &frame{text: connected}                                              // before others know the socket
	s.hub.add(s)

	var others, writer sync.WaitGroup
	others.Go(s.read)
	others.Go(s.ping)
	writer.Go(s.write)
	s.answerCalls(ctx)
	s.hub.remove(s)
	close(s.last)
	writer.Wait()
	drained := s.over.Err() == nil
	breach := s.sayGoodbye()
	s.cut(nil)
	_ = s.conn.CloseNow() // it has failed or is closed already
	others.Wait()
	s.forget()
	switch {
	case breach != nil:
		return reason(breach)
	case drained:
		return nil
	}
	return reason(context.Cause(s.over))
}

// sayGoodbye sends a close frame, if the client can get one, and waits up to 5
// s for the client's. It returns the breach of the protocol that was the
// reason, if any.
func (s *socket) sayGoodbye() (breach error) {
	select {
	case breach = <-s.broken:
	default:
	}
	switch cause := context.Cause(s.over); {
	case cause == nil && breach != nil:
		_ = s.conn.Close(closeCode(breach), breach.Error())
	case cause == nil:
		_ = s.conn.Close(coder.StatusGoingAway, "the service is stopping")
	case errors.Is(cause, coder.ErrMessageTooBig):
		// The frame was sent at the limit. The rest of the message is unread, so
		// closing the connection resets it, and the frame may be lost.
		_ = s.conn.Close(coder.StatusMessageTooBig, "")
	}
	return breach
}

// departures are the errors that mean nothing but that the client left.
var departures = []error{
	context.Canceled, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE,
}

// reason tells why a socket ended, unless it is the usual: the client left, or
// all is done.
func reason(cause error) error {
	var closed coder.CloseError
	if errors.As(cause, &closed) {
		return nil
	}
	for _, departure := range departures {
		if errors.Is(cause, departure) {
			return nil
		}
	}
	return fmt.Errorf("websocket: socket closed: %w", cause)
}

// read takes frames off the connection. It reads on while a call runs, for
// pings and closes, as long as calls may wait.
func (s *socket) read() {
	defer close(s.in)
	for {
		frame, err := s.receive()
		if err != nil {
			s.hub.remove(s)
			s.end(blamed(err))
			return
		}
		select {
		case s.in <- frame:
			continue
		default:
		}
		s.stalls.Add(1)
		select {
		case s.in <- frame:
		case <-s.over.Done():
			frame.share.Release()
			return
		}
		s.stalls.Add(1)
	}
}

// end ends the socket because of what was read. A client that broke the protocol
// still gets what is under way, and a close frame that says so: a write that
// was cut off would close the connection without one.
func (s *socket) end(cause error) {
	if closeCode(cause) != 0 {
		s.broken <- cause
		return
	}
	s.cut(cause)
}

// write sends what is queued until the connection ends, or until all is sent
// once no more is to come.
func (s *socket) write() {
	for {
		select {
		case frame := <-s.out:
			s.transmit(frame)
			continue
		case <-s.over.Done():
			return
		case <-s.last:
		}
		select {
		case frame := <-s.out:
			s.transmit(frame)
		default:
			return
		}
	}
}

func (s *socket) transmit(f *frame) {
	defer f.release()
	ctx := s.over
	if timeout := s.hub.options.WriteTimeout; timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	if err := s.conn.Write(ctx, coder.MessageText, f.text); err != nil {
		s.cut(blamed(err))
	}
}

// blamed names the timeout of a write, which closes the connection, so that
// who reads or writes at that moment sees it closed, and a frame for which the
// library has text only.
func blamed(err error) error {
	switch {
	case errors.Is(err, net.ErrClosed), errors.Is(err, context.DeadlineExceeded):
		return errStuck
	case strings.Contains(err.Error(), "unmasked frame"):
		return errUnmasked
	}
	return err
}

// ping keeps the connection from looking idle, and ends it when the client no
// longer answers. While the reader waits, pongs can't be seen and don't count.
func (s *socket) ping() {
	o := &s.hub.options
	if o.PingInterval < 0 {
		return
	}
	tick := time.NewTicker(o.PingInterval)
	defer tick.Stop()
	for {
		select {
		case <-s.over.Done():
			return
		case <-tick.C:
		}
		before := s.stalls.Load()
		ctx, cancel := context.WithTimeout(s.over, o.PongTimeout)
		err := s.conn.Ping(ctx)
		cancel()
		if after := s.stalls.Load(); err != nil && after == before && after%2 == 0 {
			s.cut(errSilent)
			return
		}
	}
}

// answerCalls serves the calls of the socket in their order, until no more
// come or the server is shut down.
func (s *socket) answerCalls(ctx context.Context) {
	for {
		select {
		case <-s.server.draining:
			s.refuseWaiting()
			return
		default:
		}
		select {
		case frame, open := <-s.in:
			if !open {
				return
			}
			s.send(s.answer(ctx, frame))
		case <-s.server.draining:
		}
	}
}

// refuseWaiting answers the calls that were not started.
func (s *socket) refuseWaiting() {
	for {
		select {
		case frame, open := <-s.in:
			if !open {
				return
			}
			if r, unfit := parse(frame.text); unfit == nil {
				s.send(errorFrame(stopping(), r.correlation))
			}
			frame.share.Release()
		default:
			return
		}
	}
}

// answer serves one call and returns the frame that answers it. It waits for the
// memory that this takes.
func (s *socket) answer(ctx context.Context, f *frame) []byte {
	defer f.share.Release()
	work := s.server.memory.Work()
	defer work.Release()
	if err := work.Take(ctx, int64(len(f.text))*budget.Decoding); err != nil {
		return nil // the service has stopped
	}
	r, unfit := parse(f.text)
	if unfit != nil {
		return errorFrame(unfit, null)
	}
	result, err := s.server.serve(ctx, &Call{SocketID: s.id, Method: r.method, Data: r.data})
	if err != nil {
		return errorFrame(onWire(err), r.correlation)
	}
	data, err := encode(result)
	if err != nil {
		return errorFrame(unserializable(err), r.correlation)
	}
	return resultFrame(data, r.correlation)
}

// send queues a frame, and waits for room and memory as long as the connection
// lasts.
func (s *socket) send(text []byte) {
	f := &frame{text: text, share: s.server.memory.Wait()}
	if f.share.Take(s.over, int64(len(text))) != nil {
		return
	}
	select {
	case s.out <- f:
	case <-s.over.Done():
		f.share.Release()
	}
}

// offer queues an event without waiting. A socket without room is too slow and
// closed, and so is one that has not taken the last frame yet when there is no
// memory.
func (s *socket) offer(event *frame) bool {
	if !event.beyond || len(s.out) == 0 {
		event.holders.Add(1)
		select {
		case s.out <- event:
			return true
		default:
			event.release()
		}
	}
	s.cut(errSlow)
	return false
}
