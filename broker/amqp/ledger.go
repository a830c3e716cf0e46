package amqp

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
	"github.com/enoki-go/enoki/internal/turns"
)

// A suspect that has an order can't be replaced by a copy, which would lose its
// place. So the starts of all suspects of such a subscription are noted in one
// message, in a queue that keeps the newest message alone. Only the active
// instance writes it.

const (
	ledgerSuffix = ".enoki-suspects" // behind the name of the queue, so that the same rights do
	ledgerExpiry = 24 * time.Hour    // without anybody who looks at it
)

// ledger knows how often the suspects of one queue were started.
type ledger struct {
	member *member
	queue  queue

	mu      sync.Mutex  // guards what follows, and is held while the broker is asked
	read    *attachment // the last one that it was read for: another instance may write it after that
	noted   map[string]noted
	overdue map[string]bool // those that were taken from their handlers here
}

// noted is what the ledger says of one suspect.
type noted struct {
	Tries int    `json:"tries"` // starts noted so far, as in headerNoted
	By    string `json:"by"`    // the process that made the last one
}

// newLedger returns the ledger of the suspects of q.
func (m *member) newLedger(q queue) *ledger {
	of := m.driver.lasting(queue{name: q.name + ledgerSuffix})
	of.args = wire.Table{"x-max-length": int32(1), "x-expires": int32(ledgerExpiry.Milliseconds())}
	return &ledger{member: m, queue: of, overdue: map[string]bool{}}
}

// suspect lets an event begin that has come again in its order, as start does
// one without. It returns false and how long it is until it has its turn again.
func (h *handler) suspect(d *delivery) (leave func(), again time.Duration, ok bool) {
	if d.Headers == nil {
		d.Headers = wire.Table{}
	}
	tries, err := h.ledger.next(d)
	if err != nil {
		h.member.log.Warn("can't tell how often an event was started; if it ends the process that is not counted", "queue", h.queue.name, "error", err)
		return func() {}, 0, true
	}
	if tries > mostStarts {
		h.ledger.forget(d)
		h.poisonous(d)
		return nil, turns.Done, false
	}
	leave = func() {}
	if tries >= broker.AttemptsBeside {
		if leave, ok = h.member.driver.suspects.Enter(h.member.hard, 0); !ok {
			return nil, suspectPause, false
		}
	}
	if err := h.ledger.note(d, tries); err != nil {
		h.member.log.Error("the start of an event can't be noted; if it ends the process that is not counted", "queue", h.queue.name, "error", err)
	}
	d.Headers[headerNoted] = int32(tries)
	return leave, 0, true
}

// next returns the number of the start of d that is to be noted.
func (l *ledger) next(d *delivery) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.look(d); err != nil {
		return 0, err
	}
	name := foreignID(&d.Delivery)
	last, known := l.noted[name]
	if known && last.By == l.member.driver.id && !l.overdue[name] {
		return last.Tries, nil // this process lives
	}
	return last.Tries + 1, nil
}

func (l *ledger) note(d *delivery, tries int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := foreignID(&d.Delivery)
	delete(l.overdue, name)
	l.noted[name] = noted{tries, l.member.driver.id}
	return l.write(d)
}

// forget notes that there is an outcome.
func (l *ledger) forget(d *delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := foreignID(&d.Delivery)
	if _, known := l.noted[name]; !known {
		return
	}
	delete(l.noted, name)
	if err := l.write(d); err != nil {
		l.member.log.Warn("an outcome can't be noted; the event is still suspect if it comes again", "queue", l.queue.name, "error", err)
	}
}

// lost notes that the broker took d back from its handler, which began then,
// because that did not come to an end.
func (l *ledger) lost(d *delivery, begun time.Time) {
	if limit := d.attachment.heldTooLong(); limit == 0 || d.attachment.over.Sub(begun) <= limit/2 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.overdue[foreignID(&d.Delivery)] = true
}

// look reads the ledger once for each attachment. It wants mu held.
func (l *ledger) look(d *delivery) error {
	if l.read == d.attachment {
		return nil
	}
	s := d.attachment.session
	ctx := d.attachment.ctx
	q, err := l.queue.asItIs(ctx, s, l.member.log)
	if err != nil {
		return err
	}
	ch, err := s.Channel(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", l.queue, err)
	}
	defer s.leave(ch) // what is not acked goes back
	if err := q.declare(ctx, ch); err != nil {
		return err
	}
	msg, _, err := ch.Get(ctx, q.name)
	if err != nil {
		return fmt.Errorf("read %s: %w", q, err)
	}
	l.noted = map[string]noted{}
	if msg != nil {
		l.understand(msg.Body)
		if err := l.write(d); err != nil { // anew, for a quorum queue counts how often one goes back
			return err
		}
		_ = msg.Ack() // if it fails there are two, and the queue drops the older one
	}
	l.read = d.attachment
	return nil
}

// understand reads what was noted. What somebody else has put there counts for
// nothing, nor does what has grown beyond what one instance can have in hand.
func (l *ledger) understand(body []byte) {
	err := json.Unmarshal(body, &l.noted)
	if err == nil && len(l.noted) > broker.Window {
		err = fmt.Errorf("it names %d suspects", len(l.noted))
	}
	if err != nil {
		l.noted = map[string]noted{}
		l.member.log.Warn("what is noted of the starts of events can't be read; it counts for nothing", "queue", l.queue.name, "error", err)
	}
}

// write has the ledger say what is noted. It wants mu held.
func (l *ledger) write(d *delivery) error {
	body, err := json.Marshal(l.noted)
	if err != nil {
		return err
	}
	msg := wire.Message{ContentType: "application/json", DeliveryMode: wire.Persistent, Body: body}
	return l.member.tryPublishTo(d, l.queue, &outgoing{key: l.queue.name, mandatory: true, repeatable: true, msg: msg})
}
