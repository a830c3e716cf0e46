package wire

import (
	"runtime"
	"sync"
	"time"
)

const (
	// writeBuffer is how much may wait to be written before a publisher waits
	// too, in bytes: the network or the broker is slower then.
	writeBuffer = 1 << 20

	// crowdLasts is for how many writes a connection counts as crowded after one
	// of several messages.
	crowdLasts = 16
)

// writer keeps what is to be written. What comes while a write is under way
// goes with the next one.
type writer struct {
	crowded int // for how many more writes several messages are expected; of the one goroutine that writes

	wake chan struct{} // has an item when there is something to write
	gone chan struct{} // closed when err is set

	mu      sync.Mutex // guards what follows, and what is written of channels
	out     []byte     // to be written
	joined  int        // messages and acks in out and acking
	spare   []byte     // written, to be used again
	acking  []*Channel // with acks to be written
	closing bool       // the last word is in out
	err     error      // why nothing can be written any more
	room    *sync.Cond // signalled when out gets shorter, or err is set
}

func (w *writer) init() {
	w.wake, w.gone = make(chan struct{}, 1), make(chan struct{})
	w.room = sync.NewCond(&w.mu)
}

// signal has what is in out and acking written. mu is held.
func (w *writer) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// over tells whether nothing more is taken. mu is held.
func (w *writer) over() bool { return w.closing || w.err != nil }

func (w *writer) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil && w.closing {
		return ErrClosed
	}
	return w.err
}

// close has a last word written after all else. It returns false when the
// connection is over, or said so before.
func (w *writer) close(last []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over() {
		return w.err == nil
	}
	w.settle()
	w.closing = true
	w.out = append(w.out, last...)
	w.room.Broadcast()
	w.signal()
	return true
}

// fail has nothing written any more, for a reason, which is ErrClosed after
// close. It returns what was left, and false when there was a reason before.
func (w *writer) fail(why error) (left []byte, reason error, first bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return nil, w.err, false
	}
	w.settle()
	if w.closing {
		why = ErrClosed
	}
	w.err = why
	close(w.gone)
	w.room.Broadcast()
	left, w.out = w.out, nil
	return left, why, true
}

// settle puts the acks that wait into out. mu is held.
func (w *writer) settle() {
	for _, ch := range w.acking {
		ch.settleAll()
	}
	w.acking = w.acking[:0]
}

// beat has a heartbeat written, unless there is something to write anyway.
func (w *writer) beat() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.out) == 0 && w.err == nil {
		w.out = appendBeat(w.out)
	}
}

// gather takes what is to be written. While the connection is crowded it lets
// others go first: what was read last woke several, and each adds to this write.
// One alone does not wait, for a yield wakes an idle core.
func (w *writer) gather() []byte {
	if w.crowded > 0 {
		runtime.Gosched()
	}
	b, joined := w.collect()
	if joined > 1 {
		w.crowded = crowdLasts
	} else if w.crowded > 0 {
		w.crowded -= joined
	}
	return b
}

// collect takes what is to be written, and tells how many messages that is.
func (w *writer) collect() (b []byte, joined int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return nil, 0
	}
	w.settle()
	b, joined = w.out, w.joined
	w.out, w.joined, w.spare = w.spare[:0], 0, nil
	w.room.Broadcast()
	return b, joined
}

func (w *writer) reuse(b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if cap(b) <= writeBuffer {
		w.spare = b[:0]
	}
}

// write writes all that comes until the connection ends.
func (c *Conn) write() {
	defer close(c.written)
	w := &c.writer
	var beat <-chan time.Time
	if c.config.Heartbeat > 0 {
		ticker := time.NewTicker(c.config.Heartbeat / 2)
		defer ticker.Stop()
		beat = ticker.C
	}
	for {
		select {
		case <-w.wake:
		case <-beat:
			w.beat()
		case <-w.gone:
			return
		}
		for b := w.gather(); len(b) > 0; b = w.gather() {
			if _, err := c.socket.Write(b); err != nil {
				c.end(err, nil)
				return
			}
			w.reuse(b)
		}
	}
}
