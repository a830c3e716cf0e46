package amqp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
)

const (
	// replyPatience is how long a reply waits for its caller to bind its queue
	// to an exchange that was deleted: he looks every few seconds.
	replyPatience = 3 * watchPeriod

	replyPause = 200 * time.Millisecond // between two attempts
)

// member is a service instance that has joined.
type member struct {
	driver    *Driver
	service   broker.Service
	log       *slog.Logger
	link      *link       // of all its consumers
	places    int         // that it has on link
	consumers []*consumer // of the service's work
	direct    *consumer   // of calls to this instance alone; nil when it takes none
	control   *consumer   // nil when it is only about a queue

	hard    context.Context // of the handlers; ends when they are to leave at once
	abort   context.CancelFunc
	leaving atomic.Bool
	leave   sync.Once
	left    chan struct{} // closed when all is settled and detached

	mu        sync.Mutex                    // guards what follows
	running   map[string]context.CancelFunc // calls, by correlation id
	cancelled cancelled                     // those that may come yet
}

// Join implements [broker.Broker].
func (d *Driver) Join(ctx context.Context, s broker.Service) (broker.Member, error) {
	if err := d.open(ctx); err != nil {
		return nil, err
	}
	for _, sub := range s.Subscriptions {
		if err := sub.Check(); err != nil {
			return nil, fmt.Errorf("join as %q: %w", s.Name, err)
		}
	}
	m, err := d.newMember(ctx, s, ownConsumers+len(s.Subscriptions))
	if err != nil {
		return nil, fmt.Errorf("join as %q: %w", s.Name, err)
	}
	m.consumers = m.work()
	if s.Serve != nil {
		m.direct = m.newConsumer(m.directQueue(), workersOf(s), m.serveDirect)
	}
	m.control = m.newConsumer(m.controlQueue(), controlPrefetch, m.controlled)
	if err := m.attach(ctx); err != nil {
		return nil, fmt.Errorf("join as %q: %w", s.Name, err)
	}
	return m, nil
}

// ownConsumers are those that a service may have beside its subscriptions: of
// its calls, those at most once, those to the instance alone, and control.
const ownConsumers = 4

// newMember returns a member without any consumer, with places for so many.
func (d *Driver) newMember(ctx context.Context, s broker.Service, places int) (*member, error) {
	l, err := d.crowd.join(ctx, d, places)
	if err != nil {
		return nil, err
	}
	m := &member{
		driver: d, service: s, link: l, places: places, left: make(chan struct{}), running: map[string]context.CancelFunc{},
		log: d.log.With("service", s.Name, "instance", s.ID),
	}
	m.hard, m.abort = context.WithCancel(d.ctx)
	return m, nil
}

// attach starts the consumers and returns when the broker has confirmed them.
// A refusal leaves no queues behind that were not there before.
func (m *member) attach(ctx context.Context) error {
	first, err := m.declareFirst(ctx)
	if err != nil {
		m.abort()
		m.driver.crowd.leave(m.link, m.places)
		first.remove()
		return err
	}
	for _, c := range m.all() {
		if !m.driver.goRun(func() { c.run(m.hard) }) {
			m.abort()
			return broker.ErrClosed
		}
	}
	for _, c := range m.all() {
		err := c.await(ctx)
		if c == m.control && isRefused(err) {
			m.goWithoutControl(err)
			continue
		}
		if err != nil {
			m.abort()
			_ = m.Leave(ctx) // what matters is why it could not join
			if isForGood(err) {
				first.remove()
			}
			return err
		}
	}
	m.driver.add(m)
	return nil
}

// goWithoutControl has a service run that may not use the exchange over which
// instances find each other.
func (m *member) goWithoutControl(err error) {
	m.log.Warn("the user lacks rights on the exchange \""+control.name+"\" or this instance's queue on it, so this service runs without: "+
		"enoki services does not show it, calls that their callers give up run on, and a deleted binding comes back after seconds only; "+
		"enoki perms prints the rights", "error", err)
	m.control.stop()
	<-m.control.finished
	m.control = nil
}

// work returns the consumers of the service's calls and events.
func (m *member) work() []*consumer {
	var work []*consumer
	workers := workersOf(m.service)
	if m.service.Serve != nil {
		requests := m.newConsumer(m.driver.requestsOf(m.service.Name), workers, m.serve)
		requests.goBack = func(d *delivery) { m.goBack(d, "") }
		work = append(work, requests)
	}
	if m.service.Serve != nil && m.service.AtMostOnce && m.driver.config.QueueType != Quorum {
		work = append(work, m.takesAtMostOnce(workers))
	}
	for _, sub := range m.service.Subscriptions {
		h := &handler{member: m, Subscription: sub, queue: m.driver.subscriptionQueue(m.service.Instance, sub)}
		work = append(work, h.newConsumer(workers))
	}
	return work
}

func workersOf(s broker.Service) int {
	return min(max(s.Workers, 1), math.MaxUint16) // the most that a prefetch can be
}

func (m *member) newConsumer(q queue, prefetch int, handle func(*delivery)) *consumer {
	return newConsumer(m.hard, m.link, m.log, work{queue: q, prefetch: prefetch, handle: handle, arrived: m.driver.arrived,
		goBack: func(d *delivery) { m.goBack(d, q.name) }})
}

func (m *member) all() []*consumer {
	all := slices.Clone(m.consumers)
	for _, own := range []*consumer{m.direct, m.control} {
		if own != nil {
			all = append(all, own)
		}
	}
	return all
}

// directKey is the routing key of a call to one instance.
func directKey(instance, method string) string { return "enoki.direct." + instance + "." + method }

// directQueue has the calls to this instance alone, and goes with it.
func (m *member) directQueue() queue {
	return queue{
		name: "enoki.direct-" + m.service.Name + "-" + m.service.ID, exclusive: true,
		bindings: []binding{{exchange: m.driver.rpcExchange(), key: directKey(m.service.ID, "*")}},
	}
}

// requestsOf returns the queue that all instances of a service take its calls
// from.
func (d *Driver) requestsOf(service string) queue {
	return d.lasting(queue{name: "rpc-" + service, bindings: []binding{{exchange: d.rpcExchange(), key: service + ".*"}}})
}

// subscriptionQueue returns Nameko's queue for the events of sub.
func (d *Driver) subscriptionQueue(i broker.Instance, sub broker.Subscription) queue {
	q := queue{
		name:       "evt-" + sub.Source + "-" + sub.Event,
		autoDelete: !sub.Lasts(),
		exclusive:  sub.Mode == broker.Broadcast && !sub.Lasts(),
		bindings:   []binding{{exchange: d.eventsOf(sub.Source), key: sub.Event}},
	}
	if sub.OrderBy != nil && !q.exclusive {
		q.args = wire.Table{"x-single-active-consumer": true}
	}
	if sub.Mode != broker.Singleton {
		q.name += "--" + i.Name + "." + sub.Handler
	}
	if sub.Mode == broker.Broadcast {
		q.name += "-" + cmp.Or(sub.BroadcastID, i.ID)
	}
	return d.lasting(q)
}

// Ready implements [broker.Member].
func (m *member) Ready() error {
	if m.leaving.Load() {
		return fmt.Errorf("service %q has left", m.service.Name)
	}
	var errs []error
	for _, c := range m.all() {
		errs = append(errs, c.ready())
	}
	return errors.Join(errs...)
}

// Leave implements [broker.Member].
func (m *member) Leave(ctx context.Context) error {
	m.leave.Do(func() {
		if !m.driver.goRun(m.detach) {
			m.detach() // at once: the driver has been closed
		}
	})
	select {
	case <-m.left:
		return nil
	case <-ctx.Done():
	}
	m.abort()
	select {
	case <-m.left: // what is not settled has gone back
	case <-time.After(closeTimeout):
	}
	return fmt.Errorf("service %q left without waiting for its handlers: %w", m.service.Name, ctx.Err())
}

// detach takes no more work, waits for what runs, drains, and only then stops
// to listen to callers that cancel.
func (m *member) detach() {
	m.leaving.Store(true)
	for _, c := range m.consumers {
		c.stop()
	}
	for _, c := range m.consumers {
		<-c.finished
	}
	if m.service.Drain != nil {
		m.service.Drain(m.hard)
	}
	for _, own := range []*consumer{m.direct, m.control} {
		if own != nil {
			own.stop()
			<-own.finished
		}
	}
	m.abort()
	m.driver.remove(m)
	m.driver.crowd.leave(m.link, m.places)
	close(m.left)
}

// serve handles one call: run, publish the reply, and only then ack, so that
// the broker gives the request to another instance if this one dies.
func (m *member) serve(d *delivery) { m.serveAs(d, "") }

// serveDirect handles one call to this instance alone.
func (m *member) serveDirect(d *delivery) { m.serveAs(d, m.service.ID) }

func (m *member) serveAs(d *delivery, instance string) {
	if isStale(d) {
		_ = d.Ack()
		return
	}
	method := methodOf(d)
	if instance == "" { // those to one instance end with it
		leave, ok := m.start(d, m.requestBack(d), func() {
			req := message(&d.Delivery)
			m.answerCall(d, method, req, m.service.Failed(method, req, broker.NoOutcome()))
		})
		if !ok {
			return
		}
		defer leave()
	}
	ctx, end := m.begin(d)
	defer end()
	if m.isGivenUp(ctx) {
		_ = d.Ack() // on a closed channel it comes again, to somebody who may know it
		return
	}
	d.begun = time.Now()
	var req *broker.Message
	returned := false
	defer func() {
		if !returned {
			m.answerCall(d, method, req, m.failedCall(d, method, req, broker.Ended(recover())))
		}
	}()
	req = message(&d.Delivery)
	req.Instance = instance
	m.answerCall(d, method, req, m.service.Serve(ctx, method, req))
	returned = true
}

// methodOf returns the method that a request is for: the last part of its
// routing key, or of the one that it had before nameko-amqp-retry sent it by the
// default exchange to its queue again.
func methodOf(d *delivery) string {
	key := d.RoutingKey
	if first, ok := d.Headers[headerMethodID].(string); ok && d.Exchange == "" {
		key = first
	}
	return key[strings.LastIndexByte(key, '.')+1:]
}

// failedCall returns the reply to a request whose handler, or what reads the
// request, has ended with err instead of returning; req is nil when it could
// not be read.
func (m *member) failedCall(d *delivery, method string, req *broker.Message, err error) *broker.Message {
	m.logFailed(d, err)
	if req == nil {
		req = &broker.Message{ID: d.CorrelationID, ContentType: d.ContentType, Body: d.Body, OneWay: d.ReplyTo == ""}
	}
	return m.service.Failed(method, req, err)
}

// answerCall settles a request by its reply; req is nil when it could not be read.
func (m *member) answerCall(d *delivery, method string, req, reply *broker.Message) {
	unread := req != nil && req.OneWay || d.ReplyTo == ""
	switch {
	case m.hard.Err() != nil:
		// The request is another instance's by now, and so is the reply.
	case reply == nil:
		m.handBack(d, "", broker.Settlement{}, broker.DeadLetter{})
	case unread && reply.Reject != "":
		m.bury(d, "", broker.DeadLetter{Handler: method, Kind: reply.RejectKind, Reason: reply.Reject})
	case unread:
		_ = d.Ack()
	default:
		m.reply(d, m.replyTo(d, reply), func(err error) { m.replyTooLarge(d, method, req, err) })
	}
}

// begin returns the context of the handler of d, which ends when the caller
// cancels, or has done so, and what to call when the handler is done.
func (m *member) begin(d *delivery) (ctx context.Context, end func()) {
	ctx, cancel := context.WithCancel(d.attachment.ctx)
	id := d.CorrelationID
	if id == "" {
		return ctx, cancel
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running[id] = cancel
	if m.cancelled.take(id) {
		cancel()
	}
	return ctx, func() {
		m.mu.Lock()
		delete(m.running, id)
		m.mu.Unlock()
		cancel()
	}
}

// isGivenUp tells whether ctx was ended by the caller, and not by the member.
func (m *member) isGivenUp(ctx context.Context) bool {
	return ctx.Err() != nil && m.hard.Err() == nil
}

// cancel ends the call that has this correlation id, or keeps it from
// beginning.
func (m *member) cancel(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if cancel := m.running[id]; cancel != nil {
		cancel()
		return
	}
	m.cancelled.add(id)
}

// replyTo returns the reply as Nameko sends it: without context, to the exchange
// of the requests. It has the request's content type unless it has its own.
func (m *member) replyTo(d *delivery, reply *broker.Message) *outgoing {
	contentType := cmp.Or(reply.ContentType, d.ContentType)
	return &outgoing{
		exchange: m.driver.config.RPCExchange, key: d.ReplyTo, repeatable: true,
		msg: wire.Message{
			ContentType:     contentType,
			ContentEncoding: encodingOf(contentType),
			DeliveryMode:    wire.Persistent,
			CorrelationID:   d.CorrelationID,
			Body:            reply.Body,
		},
	}
}

// reply publishes a reply. It does not wait for the confirm, which settles the
// request. When the broker can never take it, refused is called instead, in a
// goroutine of its own.
func (m *member) reply(d *delivery, o *outgoing, refused func(error)) {
	o.ended = func(err error) { m.replied(d, o, err, refused) }
	if !d.later { // else it is another reply in place of one, and the consumer may look
		d.later = true
	}
	if err := m.driver.publisher.submit(m.hard, o); err != nil {
		m.replied(d, o, err, refused)
	}
}

// replied settles a request once the outcome of its reply is known. It does
// not block.
func (m *member) replied(d *delivery, o *outgoing, err error, refused func(error)) {
	switch {
	case err == nil:
		m.settleReplied(d, nil)
	case errors.Is(err, broker.ErrInvalid) && refused != nil:
		go refused(err)
	case isGone(err):
		go func() { m.settleReplied(d, m.replyAgain(d, o)) }()
	case m.maySucceed(d, err), errors.Is(err, errNack):
		go func() { m.settleReplied(d, m.publish(d, o)) }()
	default:
		m.settleReplied(d, err)
	}
}

// replyTooLarge has the caller told that the reply can't be sent.
func (m *member) replyTooLarge(d *delivery, method string, req *broker.Message, err error) {
	if req == nil {
		m.settleReplied(d, err) // it was about a request that can't be read
		return
	}
	m.reply(d, m.replyTo(d, m.service.Failed(method, req, errTooLarge(err))), nil)
}

func errTooLarge(err error) error { return fmt.Errorf("%w: %w", broker.ErrTooLarge, err) }

// replyAgain sends a reply whose exchange was deleted. Its caller may need a
// moment to bind its queue to the new one.
func (m *member) replyAgain(d *delivery, o *outgoing) error {
	again := o.copy()
	again.mandatory = true
	for end := time.Now().Add(replyPatience); ; {
		m.driver.undeclare(m.driver.rpcExchange())
		err := m.driver.declare(m.hard, m.driver.rpcExchange())
		if err == nil {
			err = m.publish(d, again)
		}
		if !errors.Is(err, errNoRoute) && !isGone(err) || time.Now().After(end) {
			return err
		}
		select {
		case <-time.After(replyPause):
		case <-m.hard.Done():
			return fmt.Errorf("%w: %w", errUnsettled, m.hard.Err())
		}
	}
}

func (m *member) settleReplied(d *delivery, err error) {
	defer d.settled()
	switch {
	case err == nil:
	case m.hard.Err() != nil, errors.Is(err, errUnsettled), errors.Is(err, broker.ErrClosed):
		return // the request is another instance's by now
	default:
		m.log.Error("a reply can't be sent, its caller waits in vain", "method", d.RoutingKey, "error", err)
	}
	_ = d.Ack() // on a closed channel the request comes again
}
