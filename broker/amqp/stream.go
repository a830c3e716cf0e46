package amqp

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	readBuffer = 64 << 10 // bytes

	// writeBuffer is how much may wait to be written before a publisher waits
	// too, in bytes: the network or the broker is slower then.
	writeBuffer = 1 << 20

	closeFlush = time.Second // for what is still to be written at the end

	// crowdLasts is for how many writes a stream counts as crowded after one
	// of several messages.
	crowdLasts = 16
)

// stream is the connection under the client library. It joins what is to be
// written while a write is under way into the next one, it gives the messages
// of lanes to those instead of the library, and it makes the headers of all
// others such that the library can decode them.
type stream struct {
	net.Conn
	log   *slog.Logger
	frame int // the largest that may be written, in bytes; set before there is a lane

	in     *bufio.Reader // of the one goroutine that reads, as all to the next gap
	pass   int           // bytes of the frame at hand to be handed on as they are
	header []byte        // what is left of a header frame that was looked at
	large  []byte        // a frame that in can't hold
	names  names
	looked time.Time // when the deadline of reading was set last

	crowded int // for how many more writes several messages are expected; of the one goroutine that writes

	patience atomic.Int64 // how long nothing may come, in nanoseconds; 0 is for ever

	registry sync.RWMutex // guards lanes
	lanes    map[uint16]*lane

	mu      sync.Mutex // guards the rest
	partial []byte     // of a frame that the library has begun
	opened  uint16     // the channel that the library has opened last
	out     []byte     // to be written
	joined  int        // messages and acks in out and acking
	spare   []byte     // written, to be used again
	acking  []*lane    // with acks to be written
	err     error      // why nothing can be written any more
	room    *sync.Cond // signalled when out gets shorter, or err is set
	begun   sync.Once
	wake    chan struct{} // has an item when there is something to write
	gone    chan struct{} // closed when err is set
}

func newStream(conn net.Conn, log *slog.Logger) *stream {
	s := &stream{Conn: conn, log: log, frame: maxFrame, in: bufio.NewReaderSize(conn, readBuffer), lanes: map[uint16]*lane{},
		wake: make(chan struct{}, 1), gone: make(chan struct{})}
	s.room = sync.NewCond(&s.mu)
	return s
}

// Read fills p with all that has arrived for the library, and waits only for
// the first byte.
func (s *stream) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		switch {
		case len(s.header) > 0:
			k := copy(p[n:], s.header)
			s.header = s.header[k:]
			n += k
		case n > 0 && !s.arrived():
			return n, nil
		case s.pass > 0:
			k, err := s.in.Read(p[n:min(len(p), n+s.pass)])
			s.pass -= k
			n += k
			if err != nil {
				return n, err
			}
		default:
			if err := s.nextFrame(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// arrived tells whether the next step of Read needs no more from the network.
func (s *stream) arrived() bool {
	if s.pass > 0 {
		return s.in.Buffered() > 0
	}
	if s.in.Buffered() < frameHead {
		return false
	}
	head, _ := s.in.Peek(frameHead) // it is in the buffer
	whole := head[0] == frameHeader || s.lane(head) != nil
	return !whole || s.in.Buffered() >= frameLength(head)
}

func frameLength(head []byte) int {
	return frameHead + int(binary.BigEndian.Uint32(head[3:])) + 1
}

// lane returns the lane that a frame belongs to, nil when it is the library's.
func (s *stream) lane(head []byte) *lane {
	s.registry.RLock()
	defer s.registry.RUnlock()
	return s.lanes[binary.BigEndian.Uint16(head[1:])]
}

// nextFrame gives the next frame to its lane, or looks at it, if it has
// properties, before the library gets it.
func (s *stream) nextFrame() error {
	head, err := s.in.Peek(frameHead)
	if err != nil {
		return err
	}
	length := frameLength(head)
	if l := s.lane(head); l != nil && length <= maxFrame+frameHead+1 {
		taken, err := s.toLane(l, length)
		if taken || err != nil {
			return err
		}
	}
	head, err = s.in.Peek(frameHead) // toLane may have filled the buffer anew
	if err != nil {
		return err
	}
	if head[0] != frameHeader {
		s.pass = length
		return nil
	}
	return s.clean(length)
}

// toLane has the lane look at the next frame. What it does not take is still
// to be read.
func (s *stream) toLane(l *lane, length int) (taken bool, err error) {
	s.stayPatient()
	if length <= readBuffer {
		frame, err := s.in.Peek(length)
		if err != nil {
			return false, err
		}
		if taken = l.take(frame); taken {
			_, err = s.in.Discard(length)
		}
		return taken, err
	}
	s.large = slices.Grow(s.large[:0], length)[:length] // a body: the only kind that can be so long
	if _, err := io.ReadFull(s.in, s.large); err != nil {
		return false, err
	}
	if !l.take(s.large) {
		return false, fmt.Errorf("a frame of %d bytes belongs to no message", length)
	}
	return true, nil
}

// clean reads a header frame for the library.
func (s *stream) clean(length int) error {
	frame, err := io.ReadAll(io.LimitReader(s.in, int64(length)))
	if err == nil && len(frame) < length {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	var whole bool
	if s.header, whole = readableHeader(frame); !whole {
		s.log.Warn("the headers of a message can't be decoded and are left out")
	}
	return nil
}

// SetReadDeadline is how the library says that the broker is alive. It does so
// for each frame that it sees, so stayPatient does it for the others.
func (s *stream) SetReadDeadline(t time.Time) error {
	s.patience.Store(int64(time.Until(t)))
	return s.Conn.SetReadDeadline(t)
}

// SetDeadline is the library's last word, before it says goodbye.
func (s *stream) SetDeadline(t time.Time) error {
	s.patience.Store(0)
	return s.Conn.SetDeadline(t)
}

func (s *stream) stayPatient() {
	patience := time.Duration(s.patience.Load())
	if patience <= 0 {
		return
	}
	if now := time.Now(); now.Sub(s.looked) > patience/16 {
		s.looked = now
		_ = s.Conn.SetReadDeadline(now.Add(patience)) // on a closed connection Read fails
	}
}

// Write takes what the library has to say, frame by frame, so that none is cut
// in two by a lane's.
func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	s.partial = append(s.partial, p...)
	for len(s.partial) >= frameHead {
		length := frameLength(s.partial)
		if s.partial[0] == 'A' {
			length = len("AMQP\x00\x00\x09\x01") // what a connection begins with
		}
		if len(s.partial) < length {
			break
		}
		s.observe(s.partial[:length])
		s.out = append(s.out, s.partial[:length]...)
		s.partial = s.partial[:copy(s.partial, s.partial[length:])]
	}
	s.signal()
	return len(p), nil
}

const (
	classChannel        = 20
	methodChannelOpen   = 10
	methodChannelClose  = 40
	methodChannelClosed = 41 // close-ok
)

// observe notes which channel the library opens, for it does not tell the
// number, and ends the lane of one that it closes.
func (s *stream) observe(frame []byte) {
	if frame[0] != frameMethod || len(frame) < frameHead+4 || frame[8] != classChannel {
		return
	}
	channel := binary.BigEndian.Uint16(frame[1:])
	switch frame[10] {
	case methodChannelOpen:
		s.opened = channel
	case methodChannelClose, methodChannelClosed:
		s.registry.RLock()
		defer s.registry.RUnlock()
		if l := s.lanes[channel]; l != nil {
			l.settleAll()
			l.ended = true
		}
	}
}

// signal has what is in out and acking written. mu is held.
func (s *stream) signal() {
	s.begun.Do(func() { go s.write() })
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// write writes all that comes until the stream fails or is closed.
func (s *stream) write() {
	for {
		select {
		case <-s.wake:
		case <-s.gone:
			return
		}
		for b := s.gather(); len(b) > 0; b = s.gather() {
			if _, err := s.Conn.Write(b); err != nil {
				s.fail(err)
				_ = s.Conn.Close() // so that the library notices
				return
			}
			s.reuse(b)
		}
	}
}

// gather takes what is to be written. While the stream is crowded it lets others
// go first: what was read last woke several, and each adds to this write. One
// alone does not wait, for a yield wakes an idle core.
func (s *stream) gather() []byte {
	if s.crowded > 0 {
		runtime.Gosched()
	}
	b, joined := s.collect()
	if joined > 1 {
		s.crowded = crowdLasts
	} else if s.crowded > 0 {
		s.crowded -= joined
	}
	return b
}

// collect takes what is to be written, and tells how many messages that is.
func (s *stream) collect() (b []byte, joined int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, 0
	}
	for _, l := range s.acking {
		l.settleAll()
	}
	s.acking = s.acking[:0]
	b, joined = s.out, s.joined
	s.out, s.joined, s.spare = s.spare[:0], 0, nil
	s.room.Broadcast()
	return b, joined
}

func (s *stream) reuse(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cap(b) <= writeBuffer {
		s.spare = b[:0]
	}
}

func (s *stream) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		close(s.gone)
	}
	s.room.Broadcast()
}

// Close writes what is left, for the broker waits for the last word, and ends
// the connection.
func (s *stream) Close() error {
	if left, _ := s.collect(); len(left) > 0 {
		_ = s.Conn.SetWriteDeadline(time.Now().Add(closeFlush))
		_, _ = s.Conn.Write(left) // after what is being written
	}
	s.fail(net.ErrClosed)
	return s.Conn.Close()
}

// open makes a lane of the channel that the library has opened last.
func (s *stream) open() *lane {
	s.mu.Lock()
	channel := s.opened
	s.mu.Unlock()
	l := &lane{stream: s, channel: channel, next: 1, early: map[uint64]struct{}{}}
	s.registry.Lock()
	defer s.registry.Unlock()
	s.lanes[channel] = l
	return l
}

// end forgets a lane: the broker has closed its channel, or has heard that we
// did.
func (s *stream) end(l *lane) {
	s.registry.Lock()
	delete(s.lanes, l.channel)
	s.registry.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	l.ended = true
	s.room.Broadcast()
}
