package nats

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/turns"
)

// The events of a subscription that has an order go to one of its instances,
// the one that the server has pinned. It can do that since 2.11; before, no
// more than one event is on its way at a time, which is an order too.
//
// The server gives no order to events that another instance has left behind:
// they come again when they are given back, or when their time is up, and newer
// ones may come before. So an instance begins its term by waiting until all that
// is not settled is with it, and brings that in order itself.

const (
	pinGroup     = "enoki"       // whose pinned member gets the events
	pinHeader    = "Nats-Pin-Id" // shows it that it is the one
	pinRefused   = "423"         // the status that tells it that it is not
	unpinSubject = "$JS.API.CONSUMER.UNPIN."

	// gatherPause is the time between two looks whether all that is not
	// settled is here.
	gatherPause = 100 * time.Millisecond
)

// giveOrder sets what a consumer of events that have an order has differently.
func (d *Driver) giveOrder(config *jetstream.ConsumerConfig) {
	config.MaxAckPending = 1
	if d.link.since(2, 11) && !d.config.noPins {
		config.MaxAckPending = broker.Window
		config.PriorityPolicy = jetstream.PriorityPolicyPinned
		config.PriorityGroups = []string{pinGroup}
		config.PinnedTTL = config.AckWait
	}
}

func isPinned(config jetstream.ConsumerConfig) bool {
	return config.PriorityPolicy == jetstream.PriorityPolicyPinned
}

// hasOrder tells whether a consumer was made for events that have an order.
func hasOrder(config jetstream.ConsumerConfig) bool {
	return isPinned(config) || config.MaxAckPending == 1
}

// term is the time from when an instance attaches to events that have an order
// until it attaches again or leaves.
type term struct {
	consumer *consumer
	turns    *turns.Turns
	clear    chan struct{} // closed when the handlers of former terms have returned

	taking context.Context // ends when nothing more is to be begun
	stop   context.CancelFunc
	ctx    context.Context // of the handlers
	cancel context.CancelFunc

	mu        sync.Mutex  // guards what follows
	early     []*delivery // came before all were here
	inLine    bool        // each has its turn
	gathering sync.WaitGroup
}

// newTerm begins a term after another one, which is nil for the first.
func newTerm(c *consumer, former *term) *term {
	t := &term{consumer: c, turns: turns.New(c.member.service.Workers), clear: make(chan struct{})}
	t.ctx, t.cancel = context.WithCancel(c.member.ctx)
	t.taking, t.stop = context.WithCancel(t.ctx)
	if former == nil {
		close(t.clear)
		return t
	}
	former.close()
	former.cancel()
	go func() {
		defer close(t.clear)
		<-former.clear
		former.wait()
	}()
	return t
}

// close has the term begin nothing more.
func (t *term) close() {
	t.stop()
	t.turns.Stop()
}

// wait returns after close when no handler runs any more.
func (t *term) wait() {
	t.gathering.Wait()
	t.turns.Wait()
}

// take has an event handled in its turn, or keeps it until all are here that may
// have to go before it.
func (t *term) take(dv *delivery) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.taking.Err() != nil: // given back with all others
	case t.inLine:
		t.line(dv)
	default:
		if t.early = append(t.early, dv); len(t.early) == 1 {
			t.gathering.Go(t.gather)
		}
	}
}

// line gives an event its turn, behind those that have one.
func (t *term) line(dv *delivery) {
	var key string
	var failed error
	func() {
		defer t.consumer.member.driver.guard("an event", dv.msg.Subject, &failed)
		key = t.consumer.sub.OrderBy(t.consumer.read(dv))
	}()
	if failed != nil { // it has its turn, to be a dead letter
		dv.ended = &ended{err: failed}
	}
	t.turns.Do(key, func() time.Duration { return t.turn(dv) })
}

// gather waits until all events that are not settled are here, and gives them
// their turns in order.
func (t *term) gather() {
	select {
	case <-t.clear:
	case <-t.taking.Done():
	}
	for !t.complete() {
		if err := sleep(t.taking, gatherPause); err != nil {
			return
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	slices.SortFunc(t.early, func(a, b *delivery) int { return cmp.Compare(a.sequence, b.sequence) })
	for _, dv := range t.early {
		t.line(dv)
	}
	t.early, t.inLine = nil, true
}

// complete tells whether all events that are not settled are here.
func (t *term) complete() bool {
	c := t.consumer
	ctx, cancel := context.WithTimeout(t.taking, apiTimeout)
	defer cancel()
	there, err := c.member.driver.js.Consumer(ctx, c.where(), c.name)
	if err != nil {
		return false // it is asked again, until the term ends
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return there.CachedInfo().NumAckPending <= len(t.early)
}

// turn handles an event when it is its turn.
func (t *term) turn(dv *delivery) time.Duration {
	c := t.consumer
	if !c.begin(t, dv) {
		return turns.Done
	}
	returned := false
	defer func() {
		if !returned && !c.pause(t, dv) { // the handler has ended its goroutine, and the term is over
			dv.giveBack()
			c.release(dv)
		}
	}()
	again := t.try(dv)
	returned = true
	if again != turns.Done && c.pause(t, dv) {
		return again
	}
	dv.giveBack() // nothing, if it is settled
	c.release(dv)
	return turns.Done
}

// try runs the handler. A retry takes place here, for the event must not lose
// its place.
func (t *term) try(dv *delivery) (again time.Duration) {
	var m *broker.Message
	returned := false
	defer func() {
		if !returned { // it has its turn once more, to be settled
			dv.ended, again = &ended{m, broker.Ended(recover())}, bouncePause
		}
	}()
	var s broker.Settlement
	if dv.ended != nil {
		m, s = dv.failed(dv.ended.message, dv.ended.err)
		dv.ended = nil
	} else {
		var wait time.Duration
		m, wait = t.consumer.open(dv)
		if dv.settled.Load() {
			wait = turns.Done
		}
		var leave func()
		if ok := m != nil && wait != turns.Done; ok {
			leave, ok, wait = dv.start(m, 0)
			if ok {
				defer leave()
			}
			if dv.settled.Load() {
				wait = turns.Done
			}
		}
		if leave == nil {
			returned = true
			return wait
		}
		s = t.consumer.sub.Handle(t.ctx, m)
	}
	again = t.settle(dv, m, s)
	returned = true
	return again
}

// settle does what s says, or returns how long it is until the event has its
// turn again.
func (t *term) settle(dv *delivery, m *broker.Message, s broker.Settlement) time.Duration {
	switch s.Verdict {
	case broker.Retry:
		dv.count(m, s.Delay)
		dv.times, dv.tried = dv.times+1, m.Attempt
		return max(s.Delay, 0)
	case broker.HandBack:
		dv.clear(m)
		dv.times++
		return bouncePause
	}
	dv.settle(m, s)
	return turns.Done
}

// begin marks dv as one that a handler has, unless its term is over.
func (c *consumer) begin(t *term, dv *delivery) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	dv.active = c.term == t
	return dv.active
}

// pause is the opposite of begin, for an event that will have its turn again.
func (c *consumer) pause(t *term, dv *delivery) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.term != t {
		return false
	}
	dv.active = false
	return true
}

// nextTerm begins a term and returns the events that the last one leaves
// behind: all that no handler has. c.mu is held.
func (c *consumer) nextTerm() (left []*delivery) {
	for dv := range c.running {
		if !dv.active {
			delete(c.running, dv)
			left = append(left, dv)
		}
	}
	c.term = newTerm(c, c.term)
	return left
}

// order takes an event that has its place among others.
func (c *consumer) order(dv *delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if pin := headerOf(dv.msg, pinHeader); pin != "" {
		c.pin = pin
	}
	if dv.times > 1 && c.holds(dv) {
		return // its time was up, but it is not lost
	}
	c.running[dv] = struct{}{}
	c.term.take(dv)
}

// holds tells whether an event that comes again is here still. c.mu is held.
func (c *consumer) holds(again *delivery) bool {
	for dv := range c.running {
		if dv.sequence == again.sequence {
			return true
		}
	}
	return false
}

// stayPinned shows the server, by a request for one event more, that the
// instance is there, though it has asked for all that it can take. c.mu is held.
func (c *consumer) stayPinned(now time.Time) {
	age := c.ackWait / 3
	if c.pin == "" || c.leaving || c.inbox == nil || now.Sub(c.asked) < age {
		return
	}
	if err := c.ask(pullRequest{Batch: 1, Expires: age}); err != nil {
		c.lose(err)
	}
}

// unpin lets another instance be the active one at once, if this one is it.
func (c *consumer) unpin(ctx context.Context) error {
	c.mu.Lock()
	pin := c.pin
	c.mu.Unlock()
	if pin == "" {
		return nil
	}
	d := c.member.driver
	there, err := d.js.Consumer(ctx, c.where(), c.name)
	if err != nil {
		return err
	}
	for _, group := range there.CachedInfo().PriorityGroups {
		if group.PinnedClientID == pin {
			msg := &natsgo.Msg{Subject: unpinSubject + c.where() + "." + c.name, Data: []byte(`{"group":"` + pinGroup + `"}`)}
			_, err = d.link.nc.RequestMsgWithContext(ctx, msg)
		}
	}
	return err
}
