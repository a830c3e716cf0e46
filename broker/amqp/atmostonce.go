package amqp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
	"github.com/enoki-go/enoki/internal/uuid"
)

// Calls at most once go past Nameko: to a queue of the service's own, straight
// by its name, and back by RabbitMQ's direct reply-to. Nothing is stored,
// confirmed or acked. Whatever hinders one before a handler has it, a service
// without that queue, in Python or older, or one that is leaving or has too
// much to do, makes it an ordinary call.

const (
	// onceExpiry is how long the queue stays that a broker has found again at
	// its start, and no service since.
	onceExpiry = time.Minute

	// onceBacklog is how many calls at most once an instance lets wait for a
	// free worker.
	onceBacklog = 1024

	// proofPatience is how long a call waits for the proof of its channel, and
	// proofPause how long it takes until the next try at one.
	proofPatience = 100 * time.Millisecond
	proofPause    = 50 * time.Millisecond

	directReplies = "amq.rabbitmq.reply-to"

	// onceBody is the largest body that goes past the confirms, in bytes: one
	// that the broker refuses ends its channel, and nobody could tell which.
	onceBody = maxFrame
)

// The types of messages that answer instead of a handler.
const (
	typeNotStarted  = "enoki.not-started"
	typeInterrupted = "enoki.interrupted" // the handler had to leave, and nobody knows what it has done
)

func onceQueue(service string) queue {
	return queue{name: "enoki.at-most-once-" + service, autoDelete: true,
		args: wire.Table{"x-expires": int32(onceExpiry.Milliseconds())}}
}

// transients is where a driver sends and receives what is not kept.
type transients struct {
	driver  *Driver
	opening chan struct{} // has an item while somebody opens a channel
	channel atomic.Pointer[transient]
}

// transient is the life of one channel. Direct replies come on the channel
// of their requests.
type transient struct {
	*wire.Channel
	session *session
	proven  chan struct{} // closed when a direct reply has come

	mu      sync.Mutex
	waiters map[string]chan *delivery // by correlation id
}

func newTransients(d *Driver) *transients {
	return &transients{driver: d, opening: make(chan struct{}, 1)}
}

// await returns the channel of the moment, and opens one when there is none.
func (t *transients) await(ctx context.Context) (*transient, error) {
	if ch := t.now(); ch != nil {
		return ch, nil
	}
	select {
	case t.opening <- struct{}{}:
		defer func() { <-t.opening }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: no channel to send on: %w", broker.ErrNotDelivered, ctx.Err())
	}
	if ch := t.now(); ch != nil {
		return ch, nil
	}
	s, err := t.driver.publishing.await(ctx)
	if err == nil {
		var ch *transient
		if ch, err = openTransient(ctx, s); err == nil {
			t.channel.Store(ch)
			t.driver.goRun(ch.prove)
			return ch, nil
		}
	}
	if errors.Is(err, broker.ErrClosed) {
		return nil, err
	}
	return nil, fmt.Errorf("%w: %w", broker.ErrNotDelivered, err)
}

// now returns nil while there is no channel.
func (t *transients) now() *transient {
	ch := t.channel.Load()
	if ch == nil {
		return nil
	}
	select {
	case <-ch.Done():
		return nil
	default:
		return ch
	}
}

// close returns when the broker has all that was sent.
func (t *transients) close() {
	if ch := t.now(); ch != nil {
		ch.session.leave(ch.Channel)
	}
}

func openTransient(ctx context.Context, s *session) (*transient, error) {
	ch, err := s.Channel(ctx)
	if err != nil {
		return nil, err
	}
	t := &transient{Channel: ch, session: s, proven: make(chan struct{}), waiters: map[string]chan *delivery{}}
	ch.OnReturn(func(d *wire.Delivery) { t.bounced(&delivery{Delivery: *d}) })
	from := wire.Consumption{Queue: directReplies, Tag: "enoki-" + uuid.New(), NoAck: true}
	if err := ch.Consume(ctx, from, func(d *wire.Delivery) { t.answered(&delivery{Delivery: *d}) }); err != nil {
		s.leave(ch)
		return nil, err
	}
	return t, nil
}

// send returns false when it would have to wait, and when the channel has ended.
func (t *transient) send(o *outgoing) bool {
	p := o.publishing()
	return t.Publish(&p, nil)
}

// prove replies to itself until that arrives: RabbitMQ drops direct replies
// while it starts, when it takes connections already.
func (t *transient) prove() {
	id := uuid.New()
	arrived, err := t.expect(id)
	if err != nil {
		return // never: the id is new
	}
	defer t.forget(id)
	pause := time.NewTicker(proofPause)
	defer pause.Stop()
	for address := ""; ; {
		probe := &outgoing{key: address, msg: wire.Message{CorrelationID: id}}
		if address == "" {
			// Nobody has this queue; what comes back tells where replies go.
			probe.key, probe.mandatory, probe.msg.ReplyTo = "enoki.nobody-"+id, true, directReplies
		}
		t.send(probe)
		select {
		case d := <-arrived:
			if d.Type != typeNotStarted {
				close(t.proven)
				return
			}
			address = d.ReplyTo
			continue
		case <-pause.C:
		case <-t.Done():
			return
		}
	}
}

// proof returns whether direct replies arrive on the channel.
func (t *transient) proof(ctx context.Context) bool {
	select {
	case <-t.proven:
		return true
	default:
	}
	patience := time.NewTimer(proofPatience)
	defer patience.Stop()
	select {
	case <-t.proven:
		return true
	case <-t.Done():
	case <-patience.C:
	case <-ctx.Done():
	}
	return false
}

// expect has the reply to id kept for the waiter, until forget.
func (t *transient) expect(id string) (chan *delivery, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, taken := t.waiters[id]; taken {
		return nil, errInUse(id)
	}
	w := make(chan *delivery, 1)
	t.waiters[id] = w
	return w, nil
}

func (t *transient) forget(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.waiters, id)
}

func (t *transient) answered(d *delivery) {
	t.mu.Lock()
	w := t.waiters[d.CorrelationID]
	t.mu.Unlock()
	if w == nil {
		return // late
	}
	select {
	case w <- d:
	default:
	}
}

// bounced has a request that no queue took answered as not started.
func (t *transient) bounced(d *delivery) {
	d.Type = typeNotStarted
	t.answered(d)
}

// errNotStarted says that a call at most once is to be made in the usual way.
var errNotStarted = errors.New("not started")

// callAtMostOnce sends a request in the cheap way. The error is errNotStarted
// when that did not lead to a handler.
func (d *Driver) callAtMostOnce(ctx context.Context, service, method string, o *outgoing) (*broker.Message, error) {
	t, err := d.transients.await(ctx)
	if err != nil {
		return nil, err
	}
	if !t.proof(ctx) {
		return nil, errNotStarted
	}
	id := o.msg.CorrelationID
	w, err := t.expect(id)
	if err != nil {
		return nil, err
	}
	defer t.forget(id)
	o.key, o.mandatory = onceQueue(service).name, true
	o.msg.Type, o.msg.ReplyTo, o.msg.DeliveryMode = method, directReplies, wire.Transient
	if err := o.check(t.session.limits()); err != nil {
		return nil, err
	}
	if len(o.msg.Body) > onceBody {
		return nil, errNotStarted
	}
	if !t.session.takes() || !t.send(o) {
		return nil, errNotStarted // who has to wait does so in the usual way
	}
	select {
	case reply := <-w:
		switch reply.Type {
		case typeNotStarted:
			return nil, errNotStarted
		case typeInterrupted:
			return nil, fmt.Errorf("%w: the instance had to leave before its handler was done", broker.ErrUnknownOutcome)
		}
		return message(&reply.Delivery), nil
	case <-t.Done():
		return nil, cmp.Or(d.closedError(), error(broker.ErrUnknownOutcome))
	case <-ctx.Done():
		d.goCancel(service, id)
		return nil, ctx.Err()
	}
}

// closedError returns errClosedUnanswered after Close.
func (d *Driver) closedError() error {
	if d.ctx.Err() != nil {
		return errClosedUnanswered
	}
	return nil
}

// takesAtMostOnce returns the consumer of calls that nothing keeps.
func (m *member) takesAtMostOnce(workers int) *consumer {
	return newConsumer(m.hard, m.link, m.log, work{
		queue: onceQueue(m.service.Name), prefetch: workers, handle: m.serveAtMostOnce, refuse: m.notStarted,
	})
}

// serveAtMostOnce handles a call that nothing keeps.
func (m *member) serveAtMostOnce(d *delivery) {
	ctx, end := m.begin(d)
	defer end()
	if m.isGivenUp(ctx) {
		return
	}
	var req *broker.Message
	returned := false
	defer func() {
		if !returned {
			m.replyAtMostOnce(d, req, m.failedCall(d, d.Type, req, broker.Ended(recover())))
		}
	}()
	req = message(&d.Delivery)
	m.replyAtMostOnce(d, req, m.service.Serve(ctx, d.Type, req))
	returned = true
}

// replyAtMostOnce sends the reply to req, which is nil when it could not be
// read.
func (m *member) replyAtMostOnce(d *delivery, req, reply *broker.Message) {
	switch {
	case m.hard.Err() != nil:
		m.answerAtMostOnce(d, wire.Message{Type: typeInterrupted})
	case reply == nil:
		m.notStarted(d)
	case len(reply.Body) > onceBody && req != nil:
		m.replyLarge(d, req, reply)
	default:
		m.answerAtMostOnce(d, m.transientReply(d, reply))
	}
}

func (m *member) transientReply(d *delivery, reply *broker.Message) wire.Message {
	contentType := cmp.Or(reply.ContentType, d.ContentType)
	return wire.Message{ContentType: contentType, ContentEncoding: encodingOf(contentType), Body: reply.Body}
}

// replyLarge sends what the broker may refuse by way of the confirms.
func (m *member) replyLarge(d *delivery, req, reply *broker.Message) {
	o := &outgoing{key: d.ReplyTo, repeatable: true, msg: m.transientReply(d, reply)}
	o.msg.CorrelationID, o.msg.DeliveryMode = d.CorrelationID, wire.Transient
	ctx, cancel := context.WithTimeout(m.hard, publishAttempt)
	defer cancel()
	err := m.driver.publisher.publish(ctx, o)
	switch {
	case errors.Is(err, broker.ErrInvalid):
		m.answerAtMostOnce(d, m.transientReply(d, m.service.Failed(d.Type, req, errTooLarge(err))))
	case err != nil:
		m.log.Warn("a reply to a call at most once is lost", "method", d.Type, "error", err)
	}
}

// notStarted has the caller of d make the call in the usual way.
func (m *member) notStarted(d *delivery) {
	m.answerAtMostOnce(d, wire.Message{Type: typeNotStarted})
}

func (m *member) answerAtMostOnce(d *delivery, msg wire.Message) {
	msg.CorrelationID, msg.DeliveryMode = d.CorrelationID, wire.Transient
	o := &outgoing{key: d.ReplyTo, msg: msg}
	if err := o.check(m.driver.publisher.limits()); err != nil {
		m.log.Error("a reply can't be sent, its caller waits in vain", "method", d.Type, "error", err)
		return
	}
	m.driver.transients.send(o)
}

// send hands over what may be lost. It does not wait: what can't be written at
// once is tried again beside.
func (t *transients) send(o *outgoing) {
	if ch := t.now(); ch != nil && ch.send(o) {
		return
	}
	t.driver.goRun(func() {
		ctx, cancel := context.WithTimeout(t.driver.ctx, publishAttempt)
		defer cancel()
		ch, err := t.await(ctx)
		for err == nil && !ch.send(o) {
			if !ch.Await() {
				err = errLost
			}
		}
		if err != nil {
			t.driver.log.Warn("an answer to a call at most once is lost", "error", err)
		}
	})
}
