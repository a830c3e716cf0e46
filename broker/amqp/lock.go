package amqp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
	"github.com/enoki-go/enoki/internal/uuid"
)

// A lock is a queue with a single active consumer. Who consumes from it and
// gets a message, any message, is that one. The holder keeps the newest message
// with the state unacknowledged, so that it goes to the next one with the
// queue. A message counts as saved when it has come back to the holder: it was
// still the active consumer after the broker had stored it.
const (
	lockProbe = "probe" // is of no use but to come back
	lockState = "state"

	headerTerm   = ownPrefix + "term"   // counts the holders
	headerNumber = ownPrefix + "number" // counts what one of them has saved

	// lockHeartbeat bounds how long a holder keeps a lock after its process or
	// its network has stopped: RabbitMQ gives up a link after twice as long.
	lockHeartbeat = 2 * time.Second

	// lockRenewal is how often a state is written anew, for RabbitMQ closes
	// channels that leave a message unacknowledged for long: 30 minutes, or
	// what consumer_timeout says, which is a minute or more.
	lockRenewal = 30 * time.Second

	releaseTime = 2 * time.Second // that Release waits for the broker
)

func lockQueue(name string) queue {
	return queue{name: "enoki.lock." + name, args: wire.Table{"x-single-active-consumer": true}}
}

// locking is the link that locks are held by, with a short heartbeat. It is made
// when it is needed first.
type locking struct {
	link *link
	once sync.Once
}

// newLockLink returns a link beside another one to the same broker.
func newLockLink(beside *link) *link {
	l, _ := newLinks(beside.address, beside.config)
	l.role, l.twin = "lock", beside
	l.address.heartbeat = lockHeartbeat
	l.log = l.config.Logger.With("link", l.role, "broker", l.address.masked)
	return l
}

// session returns the session of the moment, as link.await does.
func (k *locking) session(ctx context.Context, d *Driver) (*session, error) {
	k.once.Do(func() { d.goRun(func() { k.run(d.ctx) }) })
	return k.link.await(ctx)
}

// run connects and keeps the link up. The broker may refuse it although it took
// the others, when a user has too many connections.
func (k *locking) run(ctx context.Context) {
	var wait backoff
	for err := k.link.connect(ctx); err != nil; err = k.link.connect(ctx) {
		if k.link.set(nil, err) != nil || !wait.wait(ctx, refusedPause, nil) {
			return
		}
	}
	k.link.run(ctx)
}

// Lock implements [broker.Broker].
func (d *Driver) Lock(ctx context.Context, name string) (broker.Lock, error) {
	if err := broker.CheckLock(name); err != nil {
		return nil, err
	}
	var wait backoff
	for {
		if err := d.open(ctx); err != nil {
			return nil, err
		}
		s, err := d.locking.session(ctx, d)
		if err != nil {
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		h, err := d.contend(ctx, s, d.lasting(lockQueue(name)))
		if err == nil {
			return h, nil
		}
		if _, refused := errors.AsType[refusedSetting](err); refused {
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		wait.wait(ctx, 0, nil)
	}
}

// hold implements broker.Lock on one channel.
type hold struct {
	driver  *Driver
	session *session
	queue   queue
	ch      *wire.Channel
	box     *mailbox
	lost    chan struct{} // closed by lose
	lose    func()

	saving sync.Mutex // held while something is on its way back

	mu     sync.Mutex // guards what follows
	newest stateMessage
	back   map[string]chan<- *wire.Delivery // by id: who waits for a message to come back
}

// stateMessage is a state and the message that keeps it.
type stateMessage struct {
	term, number int64
	state        []byte
	tag          uint64 // of its delivery
}

func (m stateMessage) before(other stateMessage) bool {
	return m.term < other.term || m.term == other.term && m.number < other.number
}

// contend waits on a channel of its own until it is the active consumer. It
// gives up when the channel ends.
func (d *Driver) contend(ctx context.Context, s *session, q queue) (*hold, error) {
	ch, err := s.Channel(ctx)
	if err != nil {
		return nil, err
	}
	h := &hold{driver: d, session: s, queue: q, ch: ch, box: newMailbox(math.MaxInt), lost: make(chan struct{}), back: map[string]chan<- *wire.Delivery{}}
	h.lose = sync.OnceFunc(func() { close(h.lost) })
	probe, err := h.attach(ctx, s)
	if err == nil {
		err = h.activate(ctx, probe)
	}
	if err == nil && !d.goRun(h.keep) {
		err = broker.ErrClosed
	}
	if err != nil {
		s.leave(ch)
		return nil, err
	}
	return h, nil
}

// attach consumes from the queue and leaves a probe in it: if it is empty, who
// becomes active would not learn of it.
func (h *hold) attach(ctx context.Context, s *session) (probe stored, err error) {
	if h.queue, err = h.queue.asItIs(ctx, s, h.driver.log); err != nil {
		return nil, err
	}
	if err := h.queue.declare(ctx, h.ch); err != nil {
		return nil, err
	}
	if err := h.ch.Confirm(ctx); err != nil {
		return nil, err
	}
	if err := h.ch.Consume(ctx, wire.Consumption{Queue: h.queue.name, Tag: "enoki-" + uuid.New()}, h.box.put); err != nil {
		return nil, explainDeclare(h.queue, err)
	}
	return h.publish(lockProbe, uuid.New(), stateMessage{})
}

// activate waits for the first delivery, reads all that the queue has, which
// ends with a probe of its own, and begins a new term. It gives up when the
// broker refuses a probe.
func (h *hold) activate(ctx context.Context, left stored) error {
	var read []uint64
	probe := ""
	for {
		m := h.box.take()
		if m == nil {
			if err := h.awaitMore(ctx, &left); err != nil {
				return err
			}
			continue
		}
		if found := stateOf(m); m.Type == lockState && !found.before(h.newest) {
			h.newest = found
		}
		read = append(read, m.Tag)
		if probe == "" {
			probe = uuid.New()
			var err error
			if left, err = h.publish(lockProbe, probe, stateMessage{}); err != nil {
				return err
			}
		}
		if m.MessageID == probe {
			return h.begin(ctx, read)
		}
	}
}

// awaitMore returns when there may be another delivery. The probe that was left
// last must not be refused meanwhile.
func (h *hold) awaitMore(ctx context.Context, left *stored) error {
	for {
		select {
		case ack := <-*left:
			if !ack {
				return errNack
			}
			*left = nil
		case <-h.box.ready:
			return nil
		case <-h.ch.Cancelled():
			return errLost
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// begin writes the newest state under a new term and forgets what was read. A
// holder of an earlier term that does not know of its end yet is too late with
// what it writes from now on.
func (h *hold) begin(ctx context.Context, read []uint64) error {
	if !h.driver.goRun(h.listen) {
		return broker.ErrClosed
	}
	next := stateMessage{term: h.newest.term + 1, state: h.newest.state}
	h.saving.Lock()
	defer h.saving.Unlock()
	h.set(stateMessage{}) // its delivery is among those read
	if err := h.write(ctx, next); err != nil {
		return err
	}
	for _, tag := range read {
		_ = h.ch.Ack(tag) // fails with the channel only
	}
	return nil
}

func stateOf(m *wire.Delivery) stateMessage {
	s := stateMessage{tag: m.Tag, term: countOf(m.Headers[headerTerm]), number: countOf(m.Headers[headerNumber])}
	if len(m.Body) > 0 {
		s.state = m.Body
	}
	return s
}

// stored hears whether the broker has stored a message. It implements
// [wire.Receipt].
type stored chan bool

func (s stored) Returned(*wire.Delivery) bool { return false }
func (s stored) Confirmed(ack bool)           { s <- ack }

func (h *hold) publish(kind, id string, s stateMessage) (stored, error) {
	o := &outgoing{key: h.queue.name, msg: wire.Message{
		Headers: wire.Table{headerTerm: s.term, headerNumber: s.number}, Type: kind,
		MessageID: id, DeliveryMode: wire.Persistent, Body: s.state,
	}}
	if err := o.check(h.session.limits()); err != nil {
		return nil, err
	}
	p, ack := o.publishing(), make(stored, 1)
	for !h.ch.Publish(&p, ack) {
		if !h.ch.Await() {
			return nil, reasonOf(h.ch)
		}
	}
	return ack, nil
}

// listen gives what comes back to those who wait for it, and drops the rest:
// probes of those who wait for the lock, and what was late.
func (h *hold) listen() {
	defer h.lose()
	for m := h.next(); m != nil; m = h.next() {
		h.mu.Lock()
		waiter := h.back[m.MessageID]
		delete(h.back, m.MessageID)
		h.mu.Unlock()
		if waiter != nil {
			waiter <- m
		} else {
			_ = m.Ack() // fails with the channel only
		}
	}
}

// next returns nil when the channel has ended.
func (h *hold) next() *wire.Delivery {
	return h.box.next(context.Background(), h.ch.Cancelled())
}

// write publishes next and waits until it is stored and has come back. It wants
// saving held.
func (h *hold) write(ctx context.Context, next stateMessage) error {
	id, back := uuid.New(), make(chan *wire.Delivery, 1)
	h.mu.Lock()
	h.back[id] = back
	h.mu.Unlock()
	done, err := h.publish(lockState, id, next)
	if err != nil {
		h.end()
		return fmt.Errorf("%w: %w", broker.ErrUnknownOutcome, err)
	}
	for {
		select {
		case ack := <-done:
			if !ack {
				h.end()
				return fmt.Errorf("%w: the broker could not store it (nack): %w", broker.ErrUnknownOutcome, broker.ErrLockLost)
			}
			done = nil
		case m := <-back:
			next.tag, back = m.Tag, nil
		case <-h.lost:
			return fmt.Errorf("%w: %w", broker.ErrUnknownOutcome, broker.ErrLockLost)
		case <-ctx.Done():
			h.end() // what is on its way would be taken for late
			return fmt.Errorf("%w: %w", broker.ErrUnknownOutcome, ctx.Err())
		}
		if done == nil && back == nil {
			break
		}
	}
	if old := h.set(next); old.tag != 0 {
		_ = h.ch.Ack(old.tag) // fails with the channel only
	}
	return nil
}

// set makes next the newest state and returns the one before.
func (h *hold) set(next stateMessage) stateMessage {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.newest
	h.newest = next
	return old
}

// keep writes the state anew now and then, until the lock is lost.
func (h *hold) keep() {
	tick := time.NewTicker(lockRenewal)
	defer tick.Stop()
	for {
		select {
		case <-h.lost:
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), lockRenewal)
		_ = h.save(ctx, h.State) // if it fails, the lock is lost
		cancel()
	}
}

func (h *hold) save(ctx context.Context, state func() []byte) error {
	h.saving.Lock()
	defer h.saving.Unlock()
	select {
	case <-h.lost:
		return broker.ErrLockLost
	default:
	}
	h.mu.Lock()
	next := h.newest
	h.mu.Unlock()
	next.number, next.state = next.number+1, state()
	return h.write(ctx, next)
}

// State implements [broker.Lock].
func (h *hold) State() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return bytes.Clone(h.newest.state)
}

// Save implements [broker.Lock]. A Save that ends with ctx gives up the lock:
// there is no knowing what came of it.
func (h *hold) Save(ctx context.Context, state []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := broker.CheckLockState(state); err != nil {
		return err
	}
	own := bytes.Clone(state)
	if err := h.save(ctx, func() []byte { return own }); err != nil {
		return fmt.Errorf("save in %s: %w", h.queue, err)
	}
	return nil
}

// Lost implements [broker.Lock].
func (h *hold) Lost() <-chan struct{} { return h.lost }

// Release implements [broker.Lock].
func (h *hold) Release() {
	patience := time.NewTimer(releaseTime)
	defer patience.Stop()
	select {
	case <-h.end():
	case <-patience.C:
	}
}

// end gives up the lock and begins to close the channel: what is unacknowledged
// goes to the next one then. It returns a channel that is closed when that is
// done.
func (h *hold) end() <-chan struct{} {
	h.lose()
	done := make(chan struct{})
	if !h.driver.goRun(func() {
		defer close(done)
		_ = h.ch.Close(context.Background()) // it ends with its connection at the latest
	}) {
		close(done) // with the link
	}
	return done
}
