package amqp

import (
	"errors"
	"fmt"
	"maps"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
)

// A quorum queue counts how often a message came back to it, and drops it beyond
// a limit, which a policy sets and RabbitMQ 4 has by default (20). So a message
// that was counted once does not go back there: it is published to its queue
// anew, which begins to count at nothing, and forgotten then.

const (
	headerRequeued = ownPrefix + "requeued" // how often the handler has failed that wants it at once again

	// mostRequeues is how often that may be on a queue that counts. It is
	// RabbitMQ's own limit, beyond which it would drop the message.
	mostRequeues = 20
)

// isCounted tells whether the queue of d may drop it because it came back.
func isCounted(d *delivery) bool {
	_, counted := d.Headers[headerDeliveryCount]
	return counted
}

// goesBack tells whether d goes back to its queue by a nack. If its starts are
// noted, it does not: a queue can't tell this outcome from none.
func goesBack(d *delivery) bool { return !isCounted(d) && startsOf(&d.Delivery) == 0 }

// handBack has the queue of d deliver it again, to any instance.
func (m *member) handBack(d *delivery, queueName string, s broker.Settlement, letter broker.DeadLetter) {
	if goesBack(d) {
		_ = d.Nack(true) // on a closed channel it has gone back already
		return
	}
	back := m.requestBack(d)
	if queueName != "" {
		back = m.backTo(d, queueName)
	}
	o, way := back(0)
	o.msg.Headers[headerNoted] = int32(0)
	if s.Reason != "" && isCounted(d) {
		times := requeuedOf(d)
		if times >= mostRequeues {
			letter.Kind = s.Kind
			letter.Reason = fmt.Sprintf("%s (its handler asked for it %d times, and the queue has a limit for that)", s.Reason, times)
			m.bury(d, queueName, letter)
			return
		}
		o.msg.Headers[headerRequeued] = int32(times + 1)
	}
	err := m.publishTo(d, way, o)
	if errors.Is(err, broker.ErrInvalid) { // it is too large to be published
		_ = d.Nack(true)
		return
	}
	m.replaced(d, err)
}

// requeuedOf returns how often a message has been requeued.
func requeuedOf(d *delivery) int {
	requeued, _ := valueOf(d.Headers[headerRequeued]).(int64)
	counted, _ := valueOf(d.Headers[headerDeliveryCount]).(int64)
	return int(requeued + counted)
}

// goBack hands back a message that was not started. It does not block.
func (m *member) goBack(d *delivery, queueName string) {
	if goesBack(d) {
		_ = d.Nack(true) // on a closed channel it has gone back already
		d.settled()
		return
	}
	go func() {
		defer d.settled()
		m.handBack(d, queueName, broker.Settlement{}, broker.DeadLetter{})
	}()
}

// renew publishes a dead letter anew, if looking at it has counted, and forgets
// the one that was looked at. If that fails it goes back, as it was.
func (r *deadReader) renew(d *wire.Delivery) {
	if n, _ := valueOf(d.Headers[headerDeliveryCount]).(int64); n == 0 {
		return
	}
	msg := copyOf(&delivery{Delivery: *d})
	msg.Headers = maps.Clone(d.Headers)
	delete(msg.Headers, headerDeliveryCount)
	msg.MessageID = d.MessageID
	o := &outgoing{key: dead.name, mandatory: true, repeatable: true, received: true, msg: msg}
	r.renewing.Add(1)
	o.ended = func(err error) {
		defer r.renewing.Done()
		if err == nil {
			_ = d.Ack() // on a closed channel it has gone back, and is there twice
		}
	}
	if err := r.driver.publisher.submit(r.driver.ctx, o); err != nil {
		r.renewing.Done()
	}
}
