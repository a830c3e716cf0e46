package nats

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/enoki-go/enoki/broker"
)

// replies hands each reply to the call that waits for it. One subscription
// serves all calls of a link.
type replies struct {
	prefix string
	spare  sync.Pool // of *waiter

	mu      sync.Mutex // guards what follows
	last    uint64
	waiting map[uint64]*waiter
	closed  bool
}

// waiter is a request that waits for its answer.
type waiter struct {
	number  uint64
	subject string      // of the request
	once    bool        // it ends when the link is lost
	answer  chan answer // has room for one
	timer   *time.Timer // of one that waits once, kept for the next
}

// late returns a channel that says when a waiter has waited long enough; nil
// if nothing but its context is to end it.
func (w *waiter) late() <-chan time.Time {
	switch {
	case !w.once:
		return nil
	case w.timer == nil:
		w.timer = time.NewTimer(apiTimeout)
	default:
		w.timer.Reset(apiTimeout)
	}
	return w.timer.C
}

// answer is the reply to a request, or why none will come.
type answer struct {
	msg *natsgo.Msg
	err error
}

func newReplies(nc *natsgo.Conn) (*replies, error) {
	r := &replies{prefix: nc.NewInbox() + ".", waiting: make(map[uint64]*waiter)}
	r.spare.New = func() any { return &waiter{answer: make(chan answer, 1)} }
	sub, err := nc.Subscribe(r.prefix+"*", r.deliver)
	if err != nil {
		return nil, err
	}
	// There are no more replies than calls that wait, and handing one over
	// takes no time: a limit could only lose some.
	return r, sub.SetPendingLimits(-1, -1)
}

// expect returns a waiter for a new request to subject, to be forgotten after
// it.
func (r *replies) expect(subject string, once bool) *waiter {
	w := r.spare.Get().(*waiter)
	w.subject, w.once = subject, once
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	w.number = r.last
	r.waiting[w.number] = w
	if r.closed {
		w.end(answer{err: errClosed})
	}
	return w
}

// subject is where the answer for w has to go.
func (r *replies) subject(w *waiter) string {
	return r.prefix + strconv.FormatUint(w.number, 36)
}

func (r *replies) forget(w *waiter) {
	r.mu.Lock()
	delete(r.waiting, w.number)
	r.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
	select {
	case <-w.answer: // came too late
	default:
	}
	r.spare.Put(w)
}

// end gives w its answer, unless it has one. replies.mu is held, so that no
// answer comes after the waiter was forgotten.
func (w *waiter) end(a answer) {
	select {
	case w.answer <- a:
	default:
	}
}

// deliver drops a reply that nobody waits for any more, and any but the first.
func (r *replies) deliver(msg *natsgo.Msg) {
	number, err := strconv.ParseUint(msg.Subject[len(r.prefix):], 36, 64)
	if err != nil {
		return // not one of ours
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.waiting[number]; w != nil {
		w.end(answer{msg: msg})
	}
}

// lost ends the requests that can't outlive the link.
func (r *replies) lost() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.waiting {
		if w.once {
			w.end(answer{err: errBroken})
		}
	}
}

// denied ends the requests that the server has not let pass.
func (r *replies) denied(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.waiting {
		if isDenied(err, w.subject) {
			w.end(answer{err: fmt.Errorf("%w: %w", broker.ErrNotDelivered, err)})
		}
	}
}

// close ends all requests, and those to come.
func (r *replies) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, w := range r.waiting {
		w.end(answer{err: errClosed})
	}
}
