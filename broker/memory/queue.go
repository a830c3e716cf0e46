package memory

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/enoki-go/enoki/broker"
)

// work is one delivery of a message on its way to one handler. In a queue it is
// not changed, except for its call and its start, and for its attempt while it
// keeps its place.
type work struct {
	message     *broker.Message // shared by all deliveries; handlers get copies
	place       uint64          // of the event among all events, by the time at which it was due
	attempt     int
	redelivered bool
	first       time.Time // when the first attempt at an event began
	revived     int       // how often it was retried as a dead letter
	call        *call     // nil for an event
	unsettled   int       // deliveries in a row that ended without an outcome
	starts      int       // how many of them, with this one, it started as a suspect: see broker.AttemptsAlone
	begun       bool      // its handler runs
	deliveries  int       // so far
	label       string    // see Labelled
	ended       error     // the error of a handler that did not return, until the next turn
}

// call is what a call has in addition to an event. hub.mu guards it.
type call struct {
	service, method string
	answer          chan answer        // has room for the one answer
	cancel          context.CancelFunc // cancels its handler; nil before the handler runs
	abandoned       bool
}

func newCall(service, method string) *call {
	return &call{service: service, method: method, answer: make(chan answer, 1)}
}

// reply answers the call. Only the first answer counts.
func (c *call) reply(a answer) {
	select {
	case c.answer <- a:
	default:
	}
}

// unknown returns the error of a call that nobody can take.
func (c *call) unknown(instance string) error {
	missing := "no instance of it is there"
	if instance != "" {
		missing = "its instance " + instance + " is not there"
	}
	return fmt.Errorf("call %s.%s: %w: %s", c.service, c.method, broker.ErrUnknownService, missing)
}

type answer struct {
	reply *broker.Message
	err   error
}

// newWork returns the first delivery of m, or the reason why it can't be
// delivered.
func newWork(m *broker.Message) (*work, error) {
	data, err := travel(m.Context)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", broker.ErrInvalid, err)
	}
	sent := copyContent(m)
	sent.Context, sent.Instance, sent.OneWay = data, m.Instance, m.OneWay
	return &work{message: sent, attempt: 1}, nil
}

// again returns w for another delivery.
func (w *work) again(attempt int) *work {
	next := *w
	next.attempt, next.redelivered = attempt, true
	return &next
}

// settled returns w for another delivery after an outcome.
func (w *work) settled(attempt int) *work {
	next := w.again(attempt)
	next.unsettled, next.starts = 0, 0
	return next
}

// number returns the number of the current attempt.
func (w *work) number() int { return w.attempt + max(w.starts-1, 0) }

// delivery returns the message for a handler.
func (w *work) delivery() *broker.Message {
	m := copyMessage(w.message)
	m.Attempt, m.Redelivered = w.number(), w.redelivered
	return m
}

// queue holds work in order until a consumer takes it. All its methods need
// hub.mu held.
type queue struct {
	hub       *hub
	lasts     bool // for events: it stays when nobody reads it
	ordered   bool // for events: only the first consumer gets any
	waiting   []*work
	consumers []*consumer
	turn      int // the index of the consumer that was last asked
}

// push adds w at the end.
func (q *queue) push(w *work) {
	q.waiting = append(q.waiting, w)
	q.dispatch()
}

// pushFront adds w at the front, where it was before.
func (q *queue) pushFront(w *work) {
	q.waiting = slices.Insert(q.waiting, 0, w)
	q.dispatch()
}

// pushAfter adds w at the end after delay.
func (q *queue) pushAfter(delay time.Duration, w *work) {
	q.hub.after(delay, func() { q.push(w) })
}

// dispatch starts waiting work, as far as consumers have spare workers.
func (q *queue) dispatch() {
	for i := 0; i < len(q.waiting); {
		w := q.waiting[i]
		c, held := q.idle(w)
		switch {
		case w.call != nil && w.call.abandoned:
		case w.call != nil && len(q.consumers) == 0:
			w.call.reply(answer{err: w.call.unknown(w.message.Instance)})
		case c != nil:
			c.start(w)
		case held:
			i++
			continue
		default:
			return
		}
		if i > 0 {
			q.waiting = slices.Delete(q.waiting, i, i+1)
			continue
		}
		q.waiting[0] = nil // for the garbage collector
		q.waiting = q.waiting[1:]
	}
}

// idle returns the next consumer in turn with a spare worker for w, or nil.
// held says that there are spare workers, but not for w. A look alone does not
// end a turn, so that every run of a simulation is the same.
func (q *queue) idle(w *work) (c *consumer, held bool) {
	if q.ordered {
		return q.active(), false
	}
	for i := range q.consumers {
		turn := (q.turn + 1 + i) % len(q.consumers)
		switch c := q.consumers[turn]; {
		case c.spare == 0:
		case !c.mayEnter(w):
			held = true
		default:
			q.turn = turn
			return c, false
		}
	}
	return nil, held
}

// active returns the one consumer that gets events, or nil while it has enough.
// A leaving consumer stays the active one until its handlers have ended.
func (q *queue) active() *consumer {
	if len(q.consumers) == 0 || q.consumers[0].member.left || q.consumers[0].spare == 0 {
		return nil
	}
	return q.consumers[0]
}

// remove removes c. Its running handlers go on.
func (q *queue) remove(c *consumer) {
	q.consumers = slices.DeleteFunc(q.consumers, func(other *consumer) bool { return other == c })
	q.dispatch() // this fails the calls that nobody will take
}
