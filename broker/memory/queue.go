package memory

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/enoki-go/enoki/broker"
)

// work is one delivery of a message, on its way to one handler. It is not
// changed once it is in a queue, but for its call and the time it starts, and
// its attempt while it stays in its place.
type work struct {
	message     *broker.Message // shared by all deliveries; handlers get copies
	place       uint64          // of the event among all, by the time it was due
	attempt     int
	redelivered bool
	first       time.Time // when the first attempt of an event began
	revived     int       // how often it was retried as a dead letter
	call        *call     // nil for an event
	unsettled   int       // deliveries in a row that ended without an outcome
	starts      int       // of those, and this one, as a suspect: see broker.AttemptsAlone
	begun       bool      // its handler runs
	deliveries  int       // so far
	label       string    // see Labelled
	ended       error     // of a handler that did not return, when it has its turn once more
}

// call is what a call has more than an event, guarded by hub.mu.
type call struct {
	service, method string
	answer          chan answer        // has room for the one answer
	cancel          context.CancelFunc // of its handler; nil before it runs
	abandoned       bool
}

func newCall(service, method string) *call {
	return &call{service: service, method: method, answer: make(chan answer, 1)}
}

// reply answers the call; only the first answer counts.
func (c *call) reply(a answer) {
	select {
	case c.answer <- a:
	default:
	}
}

// unknown is the error of a call that nobody can take.
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

// newWork returns a first delivery of m, or says why it can't be delivered.
func newWork(m *broker.Message) (*work, error) {
	data, err := travel(m.Context)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", broker.ErrInvalid, err)
	}
	sent := copyContent(m)
	sent.Context, sent.Instance, sent.OneWay = data, m.Instance, m.OneWay
	return &work{message: sent, attempt: 1}, nil
}

// again returns w to be delivered another time.
func (w *work) again(attempt int) *work {
	next := *w
	next.attempt, next.redelivered = attempt, true
	return &next
}

// settled returns w to be delivered another time after an outcome.
func (w *work) settled(attempt int) *work {
	next := w.again(attempt)
	next.unsettled, next.starts = 0, 0
	return next
}

// number returns that of the attempt in hand.
func (w *work) number() int { return w.attempt + max(w.starts-1, 0) }

// delivery returns the message for a handler.
func (w *work) delivery() *broker.Message {
	m := copyMessage(w.message)
	m.Attempt, m.Redelivered = w.number(), w.redelivered
	return m
}

// queue holds work in order until a consumer takes it. All methods want hub.mu
// held.
type queue struct {
	hub       *hub
	lasts     bool // of events: stays when nobody reads it
	ordered   bool // of events: only the first of the consumers gets any
	waiting   []*work
	consumers []*consumer
	turn      int // index of the consumer that was asked last
}

// push adds w at the end.
func (q *queue) push(w *work) {
	q.waiting = append(q.waiting, w)
	q.dispatch()
}

// pushFront adds w at the front, where it has been before.
func (q *queue) pushFront(w *work) {
	q.waiting = slices.Insert(q.waiting, 0, w)
	q.dispatch()
}

// pushAfter adds w at the end when delay has passed.
func (q *queue) pushAfter(delay time.Duration, w *work) {
	q.hub.after(delay, func() { q.push(w) })
}

// dispatch starts what waits, as far as consumers have workers to spare.
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

// idle returns the next consumer in turn that has a worker to spare for w, or
// nil. held tells that there are workers, for others than w. Nobody's turn is
// over by a look alone, so that a simulation is the same each time.
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

// active returns the consumer that alone gets events, or nil while it has
// enough. One that leaves stays the active one until its handlers have ended.
func (q *queue) active() *consumer {
	if len(q.consumers) == 0 || q.consumers[0].member.left || q.consumers[0].spare == 0 {
		return nil
	}
	return q.consumers[0]
}

// remove ends the work of c, but not what it runs.
func (q *queue) remove(c *consumer) {
	q.consumers = slices.DeleteFunc(q.consumers, func(other *consumer) bool { return other == c })
	q.dispatch() // to fail the calls that nobody will take
}
