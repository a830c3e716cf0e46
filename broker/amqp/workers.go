package amqp

import (
	"sync"
	"time"
)

// workerIdle is how long a worker waits for the next delivery before it ends.
const workerIdle = time.Second

// workers are up to limit goroutines that handle deliveries. They are started
// when needed and stay for a while: a new goroutine would have to grow its
// stack again in every JSON decoder. The one that worked last works next.
type workers struct {
	limit  int
	handle func(*delivery)

	mu      sync.Mutex
	running int         // those idle included
	idle    []*worker   // the last one has worked last
	backlog []*delivery // for which there is no worker yet
	closed  bool
}

type worker struct{ next chan *delivery }

// give has d handled as soon as there is a worker. It does not block.
func (w *workers) give(d *delivery) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch n := len(w.idle); {
	case n > 0:
		w.idle[n-1].next <- d
		w.idle = w.idle[:n-1]
	case w.running < w.limit && !w.closed:
		w.running++
		go w.work(d)
	default:
		w.backlog = append(w.backlog, d)
	}
}

func (w *workers) work(d *delivery) {
	self := &worker{next: make(chan *delivery, 1)}
	idle := time.NewTimer(workerIdle)
	defer idle.Stop()
	defer func() {
		if d != nil { // its handler has ended the goroutine
			w.replace()
		}
	}()
	for d != nil {
		w.handle(d)
		if d = w.waiting(self); d != nil {
			continue
		}
		idle.Reset(workerIdle)
		select {
		case d = <-self.next: // nil when closed
		case <-idle.C:
			d = w.quit(self)
		}
	}
}

// replace has another worker go on in the place of one whose goroutine ends.
func (w *workers) replace() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.backlog) == 0 {
		w.running--
		return
	}
	d := w.backlog[0]
	w.backlog[0] = nil
	w.backlog = w.backlog[1:]
	go w.work(d)
}

// waiting returns a delivery from the backlog, or makes the worker idle.
func (w *workers) waiting(self *worker) *delivery {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.backlog) > 0 {
		d := w.backlog[0]
		w.backlog[0] = nil
		w.backlog = w.backlog[1:]
		return d
	}
	if w.closed {
		w.running--
		close(self.next)
		return nil
	}
	w.idle = append(w.idle, self)
	return nil
}

// quit returns nil if the worker may end, or what it was given just now.
func (w *workers) quit(self *worker) *delivery {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, other := range w.idle {
		if other == self {
			w.idle = append(w.idle[:i], w.idle[i+1:]...)
			w.running--
			return nil
		}
	}
	return <-self.next
}

// waits returns how many deliveries have no worker yet.
func (w *workers) waits() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.backlog)
}

// drain returns what no worker has begun.
func (w *workers) drain() []*delivery {
	w.mu.Lock()
	defer w.mu.Unlock()
	backlog := w.backlog
	w.backlog = nil
	return backlog
}

// close ends the workers that are idle now, and the others when they have
// handled what they have.
func (w *workers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, idle := range w.idle {
		close(idle.next)
	}
	w.running -= len(w.idle)
	w.idle = nil
}

// tally counts the deliveries of a channel that are not settled.
type tally struct {
	mu     sync.Mutex
	n      int
	closed bool
	zero   chan struct{} // closed when n is 0 and no more are counted
}

func newTally() *tally { return &tally{zero: make(chan struct{})} }

// add returns false when no more are counted.
func (t *tally) add() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.n++
	return true
}

func (t *tally) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n--
	t.end()
}

// wait counts no more and returns what is closed when all are settled.
func (t *tally) wait() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.closed = true
		t.end()
	}
	return t.zero
}

func (t *tally) end() {
	if t.closed && t.n == 0 {
		close(t.zero)
	}
}
