package amqp

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/enoki-go/enoki/broker/amqp/wire"
)

// Somebody may delete an exchange, and all bindings with it, or one binding,
// under a running service. RabbitMQ tells nobody: events are dropped, and calls
// refused. So every driver looks now and then, and binds its queues again; who
// learns by a message that no queue took has the others look at once.

const (
	// watchPeriod is how often it is looked. A look costs the broker a passive
	// declaration of each exchange and a binding that is there already for each
	// queue.
	watchPeriod = 5 * time.Second

	// ladderLooks is how many looks it takes until the queues of events that
	// wait are declared again: they are many, and what passes them is late and
	// not lost while one is missing.
	ladderLooks = 6
)

// watcher looks after what the consumers of a driver are bound to.
type watcher struct {
	driver   *Driver
	channels map[*session]*wire.Channel // of run only
	wake     chan struct{}              // has an item when somebody waits

	mu      sync.Mutex
	waiting chan struct{}       // closed after the next look; nil when nobody waits
	top     int                 // of the ladders that were made; -1 without
	feet    map[string]exchange // where they end
}

func newWatcher(d *Driver) *watcher {
	return &watcher{driver: d, channels: map[*session]*wire.Channel{}, wake: make(chan struct{}, 1), top: -1, feet: map[string]exchange{}}
}

// run looks again and again until ctx ends.
func (w *watcher) run(ctx context.Context) {
	next := time.NewTimer(rand.N(watchPeriod)) // those that lost the same broker do not look at the same moment
	defer next.Stop()
	for looks := 0; ; looks++ {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		case <-w.wake:
		}
		w.mu.Lock()
		waiting := w.waiting
		w.waiting = nil
		w.mu.Unlock()
		w.look(ctx)
		if looks%ladderLooks == ladderLooks-1 {
			w.lookAtLadders(ctx)
		}
		if waiting != nil {
			close(waiting)
		}
		next.Reset(watchPeriod)
	}
}

// now returns when a look has ended that began after the call, or with ctx.
func (w *watcher) now(ctx context.Context) {
	w.mu.Lock()
	if w.waiting == nil {
		w.waiting = make(chan struct{})
	}
	waiting := w.waiting
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
	select {
	case <-waiting:
	case <-ctx.Done():
	case <-w.driver.ctx.Done():
	}
}

// look binds the queue of each consumer again, and makes exchanges again that
// are gone.
func (w *watcher) look(ctx context.Context) {
	of := map[*session][]*consumer{}
	for _, c := range w.driver.consumers() {
		if s := c.link.now(); s != nil && len(c.queue.bindings) > 0 && !c.queue.undeclared {
			of[s] = append(of[s], c)
		}
	}
	for s := range w.channels {
		if s.Err() != nil {
			delete(w.channels, s)
		}
	}
	var gone []string
	for s, consumers := range of {
		gone = append(gone, w.lookAt(ctx, s, consumers)...)
	}
	for _, name := range gone {
		if err := w.driver.tellToBind(ctx, controlBind{Exchange: name}, "", ""); err != nil {
			w.driver.log.Debug("can't tell others that an exchange was deleted", "exchange", name, "error", err)
		}
	}
}

// lookAt looks after the consumers of one connection and returns the exchanges
// that were gone.
func (w *watcher) lookAt(ctx context.Context, s *session, consumers []*consumer) (gone []string) {
	seen := map[string]bool{}
	for _, c := range consumers {
		for _, b := range c.queue.bindings {
			if seen[b.exchange.name] {
				continue
			}
			seen[b.exchange.name] = true
			if w.isGone(ctx, s, b.exchange) {
				gone = append(gone, b.exchange.name)
			}
		}
	}
	if len(gone) > 0 {
		s.forgetDeclared()
		w.driver.log.Warn("exchanges were deleted under a running program; making them and their bindings again", "exchanges", gone)
	}
	for _, c := range consumers {
		c.setUnbound(w.bind(ctx, s, c.queue, gone))
	}
	return gone
}

// channel returns nil when the connection ends.
func (w *watcher) channel(ctx context.Context, s *session) *wire.Channel {
	if ch := w.channels[s]; ch != nil && ch.Err() == nil {
		return ch
	}
	ch, err := s.Channel(ctx)
	if err != nil {
		return nil
	}
	w.channels[s] = ch
	return ch
}

func (w *watcher) isGone(ctx context.Context, s *session, e exchange) bool {
	ch := w.channel(ctx, s)
	if ch == nil {
		return false
	}
	return isGone(ch.FindExchange(ctx, e.wire()))
}

// bind binds a queue to its exchanges, and makes those that are gone.
func (w *watcher) bind(ctx context.Context, s *session, q queue, gone []string) error {
	ch := w.channel(ctx, s)
	if ch == nil {
		return nil
	}
	for _, b := range q.bindings {
		var err error
		if slices.Contains(gone, b.exchange.name) {
			err = b.exchange.declare(ctx, ch)
		}
		if err == nil {
			err = explainBind(q, b, q.bind(ctx, ch, b))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// made notes that a ladder is to be looked after.
func (w *watcher) made(l ladder) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.top = max(w.top, l.top)
	w.feet[l.events.name] = l.events
}

func (w *watcher) lookAtLadders(ctx context.Context) {
	w.mu.Lock()
	ladders := make([]ladder, 0, len(w.feet))
	for _, e := range w.feet {
		ladders = append(ladders, ladder{top: w.top, events: e})
	}
	w.mu.Unlock()
	s := w.driver.consuming.now()
	if s == nil {
		return
	}
	for i, l := range ladders {
		ch := w.channel(ctx, s)
		if ch == nil || ctx.Err() != nil {
			return
		}
		look := l.declare
		if i > 0 {
			look = l.declareFoot // the levels are the same
		}
		if err := look(ctx, ch); err != nil {
			w.driver.log.Warn("events that are due later may be held up", "error", err)
		}
	}
}

// consumers returns all that take messages for the driver.
func (d *Driver) consumers() []*consumer {
	var all []*consumer
	if c := d.replies.current(); c != nil {
		all = append(all, c)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for m := range d.members {
		all = append(all, m.all()...)
	}
	return all
}

// controlBind asks all instances that have a queue bound to the exchange, under
// the key unless it is empty, to bind it again.
type controlBind struct {
	Exchange string `json:"exchange"`
	Key      string `json:"key,omitempty"`
}

// controlBound is the answer.
type controlBound struct {
	Lasts bool `json:"lasts"` // one of the queues stays when its instances are gone
}

// tellToBind sends ask. Answers go to replyTo, unless it is empty.
func (d *Driver) tellToBind(ctx context.Context, ask controlBind, id, replyTo string) error {
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	body, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	return d.say(ctx, pingKey, wire.Message{Type: controlBindType, ContentType: jsonType, CorrelationID: id, ReplyTo: replyTo, Body: body})
}

// haveBound has all instances bind their queues, and tells whether one of the
// queues lasts. It returns when answers stop coming.
func (d *Driver) haveBound(ctx context.Context, ask controlBind) (lasts bool) {
	d.watcher.now(ctx) // the answers need an exchange, too
	if d.replies.await(ctx) != nil {
		return false
	}
	id := orNew("")
	waiter, err := d.replies.expect(id, maxInstances)
	if err != nil {
		return false
	}
	defer d.replies.forget(id)
	if err := d.tellToBind(ctx, ask, id, d.replies.key); err != nil {
		d.log.Warn("can't ask who subscribes", "exchange", ask.Exchange, "key", ask.Key, "error", err)
		return false
	}
	d.gather(ctx, waiter, func(answer *delivery) error {
		var bound controlBound
		err := json.Unmarshal(answer.Body, &bound)
		lasts = lasts || bound.Lasts
		return err
	})
	return lasts
}

// bindAgain does what controlBind asks, if it is about this instance.
func (m *member) bindAgain(d *delivery) {
	var ask controlBind
	if err := json.Unmarshal(d.Body, &ask); err != nil {
		return
	}
	var concerns, lasts bool
	for _, c := range m.all() {
		for _, b := range c.queue.bindings {
			if b.exchange.name == ask.Exchange && (ask.Key == "" || ask.Key == b.key) {
				concerns = true
				lasts = lasts || !c.queue.autoDelete && !c.queue.exclusive
			}
		}
	}
	if !concerns {
		return
	}
	m.driver.watcher.now(m.hard)
	if d.ReplyTo != "" {
		m.answer(d, controlBound{Lasts: lasts})
	}
}
