package amqp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
	"github.com/enoki-go/enoki/internal/turns"
	"github.com/enoki-go/enoki/internal/uuid"
)

// work is what a consumer does.
type work struct {
	queue    queue
	prefetch int
	// before, if not nil, is called each time the consumer is attached again,
	// before the queue is declared.
	before func(*session) error
	// handle settles one message, at once or by delivery.later. At most
	// prefetch of them run at once, over all connections; if inline, it does
	// not block and runs in the goroutine that reads.
	handle func(*delivery)
	inline bool
	// refuse, if not nil, is what becomes of a delivery that is not handled:
	// the broker, which is not asked for acks then, forgets it with its
	// delivery. It must not block.
	refuse func(*delivery)
	// arrived, if not nil, is told of each delivery that is to be handled, in the
	// goroutine that reads.
	arrived func(*delivery)
	// goBack, if not nil, hands back and settles a delivery that is not handled.
	// It must not block.
	goBack func(*delivery)
	// order, if not nil, has the messages of one key handled one after the
	// other by turn, in handle's stead, at most atOnce of them at once. turn
	// returns how long until it is called again, or turns.Done. order is
	// called in the goroutine that reads.
	order  func(*delivery) string
	turn   func(*delivery) time.Duration
	atOnce int
}

// consumer takes messages from one queue, over as many connections as it
// needs. It is ready only while the broker has confirmed it.
type consumer struct {
	work
	link    *link
	log     *slog.Logger
	workers *workers // nil if inline
	life    context.Context

	taking      context.Context // ends when no more messages are to be taken
	stop        context.CancelFunc
	wasAttached bool           // touched by run only
	attached    sync.WaitGroup // attachments that are not closed
	finished    chan struct{}  // closed when run has returned

	mu      sync.Mutex
	state   error         // nil while ready
	unbound error         // why its queue may get nothing, as the watcher found; nil if it does
	changed chan struct{} // closed when state changes
}

// attachment is the life of one consumer on one channel.
type attachment struct {
	session   *session
	ch        *wire.Channel
	tag       string
	prefetch  int
	since     time.Time
	unsettled *tally
	turns     *turns.Turns  // of messages that have an order; nil without
	ended     chan struct{} // closed when no more can be settled on ch
	over      time.Time     // when that was; read it after ended

	// ctx is that of the handlers. It ends with those of the member, and when the
	// broker takes the messages back because one was held for too long.
	ctx    context.Context
	cancel context.CancelFunc
}

// delivery is a message to be settled.
type delivery struct {
	wire.Delivery
	attachment *attachment
	arrived    time.Time // when it was taken
	begun      time.Time // when its handler was started
	later      bool      // its handler returns before it is settled, and then calls settled
	ended      *ended    // of an event that has an order
	taken      *taken    // of a suspect; nil for others
	charged    bool      // that it has come again is held against it
}

// ended is how a handler has ended that did not return.
type ended struct {
	message *broker.Message // nil when it could not be read
	err     error
}

// settled counts d as settled, in whatever way.
func (d *delivery) settled() { d.attachment.unsettled.done() }

// newConsumer returns a consumer that takes messages from when run is called
// until ctx ends or stop is called.
func newConsumer(ctx context.Context, l *link, log *slog.Logger, w work) *consumer {
	c := &consumer{
		work: w, link: l, life: ctx, log: log.With("queue", w.queue.name),
		finished: make(chan struct{}),
		state:    fmt.Errorf("%s has no consumer yet", w.queue), changed: make(chan struct{}),
	}
	c.taking, c.stop = context.WithCancel(ctx)
	if !w.inline && w.order == nil {
		c.workers = &workers{limit: w.prefetch, handle: c.start}
	}
	return c
}

// run attaches again and again until stop is called, and returns when the
// handlers have settled their messages. When hard ends, it does not wait for
// them: what they have is given back.
func (c *consumer) run(hard context.Context) {
	defer close(c.finished)
	if c.workers != nil {
		defer c.workers.close()
	}
	defer c.attached.Wait()
	defer c.stop()
	var wait backoff
	for {
		s, err := c.link.await(c.taking)
		if err != nil {
			return
		}
		a, err := c.attach(s)
		if err != nil {
			c.set(err)
			if isForGood(err) || s.Err() == nil {
				c.log.Warn("can't consume, trying again", "error", err)
			}
			if !wait.wait(c.taking, 0, nil) {
				return
			}
			continue
		}
		c.wasAttached = true
		c.set(nil)
		c.consume(a)
		lost := fmt.Errorf("%s lost its consumer: %w", c.queue, a.lost())
		c.set(lost)
		c.attached.Go(func() { a.finish(hard) })
		if c.taking.Err() != nil {
			return
		}
		a.endTurns(hard)
		if s.Err() == nil {
			c.log.Warn("consumer lost, attaching again", "error", lost)
		}
		wait.worked(a.since)
	}
}

// attach declares the queue and returns when the broker has confirmed the
// consumer.
func (c *consumer) attach(s *session) (*attachment, error) {
	if c.before != nil && c.wasAttached {
		if err := c.before(s); err != nil {
			return nil, err
		}
	}
	q, err := c.queue.asItIs(c.taking, s, c.log)
	if err != nil {
		return nil, err
	}
	ch, err := s.Channel(c.taking)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.queue, err)
	}
	a := &attachment{session: s, ch: ch, prefetch: c.prefetch, tag: "enoki-" + uuid.New(), since: time.Now(), unsettled: newTally(), ended: make(chan struct{})}
	if c.order != nil {
		a.turns = turns.New(c.atOnce)
	}
	a.ctx, a.cancel = context.WithCancel(c.life)
	err = q.declare(c.taking, ch)
	if err == nil {
		err = c.bound(ch)
	}
	if err == nil {
		from := wire.Consumption{Queue: c.queue.name, Tag: a.tag, NoAck: c.refuse != nil}
		err = explainDeclare(c.queue, ch.Consume(c.taking, from, func(d *wire.Delivery) { c.take(a, &delivery{Delivery: *d}) }))
	}
	if err != nil {
		a.cancel()
		s.leave(ch)
		return nil, err
	}
	go a.watch()
	return a, nil
}

// watch notes the end of the channel.
func (a *attachment) watch() {
	<-a.ch.Done()
	defer close(a.ended)
	a.over = time.Now()
	if a.heldTooLong() > 0 {
		a.cancel()
	}
}

// bound has the broker send ahead no more than can be handled at once.
func (c *consumer) bound(ch *wire.Channel) error {
	if c.refuse != nil {
		return nil // it sends all
	}
	if err := ch.Qos(c.taking, c.prefetch); err != nil {
		return fmt.Errorf("%s: set the prefetch to %d: %w", c.queue, c.prefetch, err)
	}
	return nil
}

// consume waits until the broker ends the consumer or stop is called. What it
// has then and did not start goes back to the queue.
func (c *consumer) consume(a *attachment) {
	select {
	case <-a.ch.Cancelled():
	case <-c.taking.Done():
		if a.turns != nil {
			return // another instance gets the next ones when handlers have ended here
		}
		a.session.politely(func(ctx context.Context) { _ = a.ch.Cancel(ctx, a.tag) }) // fails on a closed channel only
		if c.workers != nil {
			for _, d := range c.workers.drain() {
				c.giveBack(d)
			}
		}
	}
}

// take gets a delivery from the goroutine that reads. The prefetch bounds what
// the broker sends on one channel; the workers count the handlers, too, that
// run on after their connection was lost.
func (c *consumer) take(a *attachment, d *delivery) {
	d.attachment, d.arrived = a, time.Now()
	if c.work.arrived != nil {
		c.work.arrived(d)
	}
	switch {
	case c.inline:
		c.look(d)
	case a.turns != nil:
		a.turns.Do(c.keyOf(d), func() time.Duration { return c.takeTurn(d) })
	case !a.unsettled.add():
		// The broker delivers it again.
	case c.taking.Err() != nil, c.refuse != nil && c.workers.waits() >= onceBacklog:
		c.giveBack(d)
	default:
		c.workers.give(d)
	}
}

// look handles a message in the goroutine that reads, which must not end.
func (c *consumer) look(d *delivery) {
	defer guard(c.log, "a message", nil)
	c.handle(d)
}

// keyOf returns by what a message has its turn. One that can't be read has it
// to be a dead letter.
func (c *consumer) keyOf(d *delivery) string {
	key, err := c.tryKey(d)
	if err != nil {
		d.ended = &ended{err: err}
	}
	return key
}

func (c *consumer) tryKey(d *delivery) (key string, err error) {
	defer guard(c.log, "a message", &err)
	return c.order(d), nil
}

// takeTurn is turn with the memory that it takes.
func (c *consumer) takeTurn(d *delivery) time.Duration {
	release, ok := c.reserve(d)
	if !ok {
		return turns.Done // the broker delivers it again
	}
	defer release()
	return c.turn(d)
}

func (c *consumer) giveBack(d *delivery) {
	switch {
	case c.goBack != nil:
		c.goBack(d)
		return
	case c.refuse != nil:
		c.refuse(d)
	default:
		_ = d.Nack(true) // on a closed channel it has gone back already
	}
	d.settled()
}

// start runs the handler, unless the message is no longer ours.
func (c *consumer) start(d *delivery) {
	switch {
	case c.refuse == nil && d.attachment.isOver():
		d.settled() // the broker delivers it again
	case c.taking.Err() != nil:
		c.giveBack(d)
	default:
		defer func() { // the handler may end its goroutine
			if !d.later {
				d.settled()
			}
		}()
		if release, ok := c.reserve(d); ok {
			defer release()
			c.handle(d)
		} else {
			d.later = true
			c.giveBack(d)
		}
	}
}

// reserve waits for the memory that a compressed message takes, and returns what
// gives it back. It returns false when the consumer is to stop meanwhile.
func (c *consumer) reserve(d *delivery) (release func(), ok bool) {
	cost := inflatedCost(&d.Delivery)
	if cost == 0 {
		return func() {}, true
	}
	share := c.link.config.Memory.Work()
	return share.Release, share.Take(c.taking, cost) == nil
}

// isOver tells whether the channel is closed: the broker delivers again what
// was not settled.
func (a *attachment) isOver() bool {
	select {
	case <-a.ended:
		return true
	default:
		return false
	}
}

var errCancelled = errors.New("the broker has cancelled it, as when the queue is deleted")

// lost returns why the broker has ended the consumer.
func (a *attachment) lost() error {
	if a.ch.Err() != nil {
		return reasonOf(a.ch)
	}
	return errCancelled
}

// finish closes the channel when the handlers have settled their messages, or
// at once when hard ends: then the broker takes the messages back.
func (a *attachment) finish(hard context.Context) {
	defer a.cancel()
	a.endTurns(hard)
	select {
	case <-a.unsettled.wait():
	case <-hard.Done():
	}
	a.session.leave(a.ch)
}

// endTurns returns when no handler runs any more that had its message from a
// and in its order, so that none of another attachment runs beside it; or when
// hard ends. Those that have not had their turn go back with the channel.
func (a *attachment) endTurns(hard context.Context) {
	if a.turns == nil {
		return
	}
	a.turns.Stop()
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		a.turns.Wait()
	}()
	select {
	case <-idle:
	case <-hard.Done():
	}
}

func (c *consumer) set(state error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = state
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *consumer) ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return cmp.Or(c.state, c.unbound)
}

func (c *consumer) setUnbound(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unbound = why
}

// await returns when the broker has confirmed the consumer, or has refused
// its queue for good, or when ctx ends.
func (c *consumer) await(ctx context.Context) error {
	for {
		c.mu.Lock()
		state, changed := c.state, c.changed
		c.mu.Unlock()
		if state == nil {
			return nil
		}
		if isForGood(state) {
			return state
		}
		select {
		case <-changed:
		case <-c.taking.Done():
			return broker.ErrClosed
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", state, ctx.Err())
		}
	}
}
