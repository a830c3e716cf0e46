package amqp

import (
	"context"
	"maps"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
	"github.com/enoki-go/enoki/internal/uuid"
)

// RabbitMQ says of a message that it was delivered before, but a classic queue
// does not count. So a message that comes again without an outcome is replaced
// by a copy that says how often it was started: the copy is a first delivery
// again, and is handled as soon as it comes; if it comes a second time, it had
// no outcome. See broker.AttemptsAlone for what becomes of it.
const (
	headerNoted = ownPrefix + "noted" // starts noted so far; the first one is beside others
	headerStart = ownPrefix + "start" // names the start that the copy was made for
	headerHeld  = ownPrefix + "held"  // it has to wait until no other suspect runs

	// mostStarts is how many starts are noted before a message is started no
	// more. The first delivery of all goes unnoted.
	mostStarts = broker.AttemptsBeside + broker.AttemptsAlone - 1

	// suspectPatience is how long a suspect keeps a worker while another one
	// runs, and suspectPause how long it is away then.
	suspectPatience = time.Second
	suspectPause    = time.Second

	headerDeliveryCount = "x-delivery-count" // of a quorum queue
)

// suspicions are the headers that an outcome ends.
var suspicions = []string{headerNoted, headerStart, headerHeld, headerDeliveryCount}

func dropSuspicion(headers wire.Table) {
	for _, header := range suspicions {
		delete(headers, header)
	}
}

// startsOf returns how many starts of a message are noted. A quorum queue tells
// more than that it was delivered.
func startsOf(d *wire.Delivery) int {
	starts, _ := valueOf(d.Headers[headerNoted]).(int64)
	counted, _ := valueOf(d.Headers[headerDeliveryCount]).(int64)
	if starts == 0 && counted >= broker.AttemptsBeside {
		return broker.AttemptsBeside - 1
	}
	return int(max(starts, 0))
}

// cameAgain tells whether a message is a copy that was made for a start, or of
// one that was handed back.
func cameAgain(headers wire.Table) bool {
	_, again := headers[headerNoted]
	return again
}

// alone returns how many starts of a message before this one had no outcome
// and no other suspect beside them.
func alone(headers wire.Table) int {
	return max(int(countOf(headers[headerNoted]))-broker.AttemptsBeside, 0)
}

// start lets a message begin. It returns false when the message is settled: a
// copy has taken its place, or fail has settled it, because it was started
// often enough. back makes the copy on its way to the queue of the message. The
// caller calls leave when the handler is through.
func (m *member) start(d *delivery, back func(delay time.Duration) (*outgoing, topology), fail func()) (leave func(), ok bool) {
	held := d.Headers[headerHeld] != nil
	if !d.Redelivered && !held {
		leave := m.driver.started(d.Headers)
		d.taken.begin()
		return func() { d.taken.end(); leave() }, true
	}
	starts := startsOf(&d.Delivery)
	next := starts
	if held || d.charged {
		next++
	}
	counted, _ := valueOf(d.Headers[headerDeliveryCount]).(int64)
	switch {
	case starts == 0 && counted > 0: // of a quorum queue, which counts itself
		return func() {}, true
	case next > mostStarts:
		fail()
		return nil, false
	case next < broker.AttemptsBeside:
		return m.startAs(d, func() {}, back, next)
	}
	leave, ok = m.driver.suspects.Enter(m.hard, suspectPatience)
	if ok {
		return m.startAs(d, leave, back, next)
	}
	return m.replacedAs(d, func() {}, suspectPause, back, wire.Table{headerNoted: int32(next - 1), headerHeld: true})
}

// startAs has a copy of d take its place that is started when it comes, and not
// before the broker has forgotten d: if both were there when the process ends,
// there would be two of it, then four.
func (m *member) startAs(d *delivery, leave func(), back func(time.Duration) (*outgoing, topology), starts int) (func(), bool) {
	start := &start{leave: leave, ready: make(chan struct{})}
	defer close(start.ready)
	name := uuid.New()
	m.driver.expectStart(name, start)
	begin, now := m.replacedAs(d, leave, 0, back, wire.Table{headerNoted: int32(starts), headerStart: name})
	if !now {
		d.attachment.sync()
	}
	return begin, now
}

// replacedAs has a copy of d with further headers take its place. One that is
// too large to be sent again begins as it is.
func (m *member) replacedAs(d *delivery, leave func(), delay time.Duration, back func(time.Duration) (*outgoing, topology), headers wire.Table) (func(), bool) {
	o, way := back(delay)
	maps.Copy(o.msg.Headers, headers)
	if err := o.check(m.driver.publisher.limits()); err != nil {
		m.log.Warn("a start can't be noted; if the message ends the process that is not counted", "routing key", d.RoutingKey, "error", err)
		return leave, true
	}
	if !m.replaced(d, m.publishTo(d, way, o)) {
		leave()
	}
	return nil, false
}

// sync returns when the broker has read the acks so far, or the channel has ended:
// it reads what comes on a channel in order.
func (a *attachment) sync() {
	_ = a.ch.Qos(context.Background(), a.prefetch) // what it is already; it counts for consumers to come
}

// start is what a copy is made for.
type start struct {
	leave func()        // to be called when its handler is through
	ready chan struct{} // closed when it may begin
}

// startAge is how long the copy is expected here: it may come to another
// process.
const startAge = time.Minute

func (d *Driver) expectStart(name string, s *start) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.starts[name] = s
	time.AfterFunc(startAge, func() { _ = d.startOf(name) })
}

func (d *Driver) startOf(name string) *start {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.starts[name]
	delete(d.starts, name)
	return s
}

// started waits until a message may begin, and returns what to call when it is
// through.
func (d *Driver) started(headers wire.Table) (leave func()) {
	if name, ok := headers[headerStart].(string); ok {
		if s := d.startOf(name); s != nil {
			<-s.ready
			return s.leave
		}
	}
	return func() {}
}

// backTo makes a copy of a message that goes to the queue it came from.
func (m *member) backTo(d *delivery, queueName string) func(delay time.Duration) (*outgoing, topology) {
	return func(delay time.Duration) (*outgoing, topology) {
		msg := copyOf(d)
		dropSuspicion(msg.Headers)
		msg.Headers[headerFirst] = firstOf(d).UTC().Format(time.RFC3339Nano)
		keepRoute(msg.Headers, d)
		msg.ReplyTo = d.ReplyTo
		return m.wayBack(&outgoing{msg: msg}, queueName, delay)
	}
}

// wayBack sends o to a queue, after delay.
func (m *member) wayBack(o *outgoing, queueName string, delay time.Duration) (*outgoing, topology) {
	// Mandatory: a message that no queue takes would be lost.
	o.key, o.mandatory, o.repeatable, o.received = queueName, true, true, true
	if delay <= 0 {
		return o, straight{}
	}
	n := retrySteps(delay)
	back := retryWay{ladder: ladder{top: topOf(n), events: retryExchange()}, queue: queueName}
	back.headers(o.msg.Headers, n)
	o.exchange = level(back.top).name
	return o, back
}

// requestBack makes a copy of a request, with the way of its reply and under
// the routing key that names its method.
func (m *member) requestBack(d *delivery) func(delay time.Duration) (*outgoing, topology) {
	return func(delay time.Duration) (*outgoing, topology) {
		if delay > 0 { // a caller waits, and the routing key must stay: it keeps its worker instead
			ctx, cancel := context.WithTimeout(m.hard, delay)
			defer cancel()
			<-ctx.Done()
		}
		msg := copyOf(d)
		dropSuspicion(msg.Headers)
		msg.MessageID, msg.ReplyTo, msg.Expiration = d.MessageID, d.ReplyTo, d.Expiration
		return &outgoing{exchange: d.Exchange, key: d.RoutingKey, mandatory: true, repeatable: true, received: true, msg: msg}, straight{}
	}
}
