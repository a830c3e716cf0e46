package amqp

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
)

// Headers of an event that is retried. It comes back by an exchange of
// ours, so where it came from is kept here.
const (
	headerAttempt    = ownPrefix + "attempt" // deliveries settled with Retry, plus one
	headerFirst      = ownPrefix + "first"   // when the first attempt began, by RFC 3339
	headerExchange   = ownPrefix + "exchange"
	headerRoutingKey = ownPrefix + "routing-key"
)

// longestRetry is what a retry waits at most.
const longestRetry = 24 * time.Hour

// retryExchange returns where the ladder of retries ends. A queue is bound to it by
// its name before the first retry goes there. One that was deleted and made
// again since is still found: the alternate leads to the default exchange.
func retryExchange() exchange {
	return exchange{name: "enoki.retry", kind: "direct",
		args: wire.Table{"alternate-exchange": unboundExchange}}
}

const unboundExchange = "enoki.retry.unbound"

// retrySteps returns the steps of a retry, rounded up to two binary digits, so
// that it passes through two queues at most.
func retrySteps(delay time.Duration) uint64 {
	n := stepsOf(min(delay, longestRetry))
	unit := uint64(1) << max(topOf(n)-1, 0)
	return (n + unit - 1) / unit * unit
}

// retryWay is the ladder that leads back to a queue.
type retryWay struct {
	ladder
	queue string
}

func (w retryWay) String() string { return fmt.Sprintf("the way back to queue %q", w.queue) }

func (w retryWay) declare(ctx context.Context, ch *wire.Channel) error {
	unbound := queue{
		name: unboundExchange,
		args: wire.Table{
			"x-message-ttl":          int32(0),
			"x-dead-letter-exchange": "",
		},
		bindings: []binding{{exchange: exchange{name: unboundExchange, kind: "fanout"}}},
	}
	if err := unbound.declare(ctx, ch); err != nil {
		return err
	}
	if err := w.ladder.declare(ctx, ch); err != nil {
		return err
	}
	return explainDeclare(w, ch.BindQueue(ctx, wire.Binding{From: retryExchange().name, To: w.queue, Key: w.queue}))
}

// retry sends the event of d on a way round that ends at its queue after
// delay, with the next attempt's number. One that leaves no room for that is a
// dead letter.
func (m *member) retry(d *delivery, queueName string, delay time.Duration, letter broker.DeadLetter) {
	msg := copyOf(d)
	dropSuspicion(msg.Headers)
	msg.Headers[headerAttempt] = int32(attemptOf(d.Headers) + 1)
	msg.Headers[headerFirst] = firstOf(d).UTC().Format(time.RFC3339Nano)
	keepRoute(msg.Headers, d)
	o, way := m.wayBack(&outgoing{msg: msg}, queueName, delay)
	err := o.check(m.driver.publisher.limits())
	if err == nil {
		err = m.publishTo(d, way, o)
	}
	if errors.Is(err, broker.ErrInvalid) {
		letter.Kind, letter.Reason = kindTooLarge, fmt.Sprintf("it can't be retried: %v", err)
		m.bury(d, queueName, letter)
		return
	}
	m.replaced(d, err)
}

// keepRoute notes in headers where d was published.
func keepRoute(headers wire.Table, d *delivery) {
	if _, again := d.Headers[headerExchange]; !again {
		headers[headerExchange] = d.Exchange
		headers[headerRoutingKey] = d.RoutingKey
	}
}

// straight is the topology of a message that goes straight to a queue that
// exists.
type straight struct{}

func (straight) declare(context.Context, *wire.Channel) error { return nil }
func (straight) String() string                               { return "" }

// copyOf returns the message of d to be published anew: all that its sender
// said, without what RabbitMQ added on the way through a retry, and with an
// ID if the sender gave none, so that the next attempt has the same. Its
// expiration must not come along, it would end the wait early.
func copyOf(d *delivery) wire.Message {
	headers := make(wire.Table, len(d.Headers)+8)
	delayed := waited(d.Headers)
	for k, v := range d.Headers {
		if !delayed || !isWaitHeader(k) {
			headers[k] = v
		}
	}
	delete(headers, headerDeliveryCount) // the queue's own
	for _, k := range routeHeaders {
		delete(headers, k) // it goes to one queue alone
	}
	return wire.Message{
		Headers:         headers,
		ContentType:     d.ContentType,
		ContentEncoding: d.ContentEncoding,
		DeliveryMode:    wire.Persistent,
		Priority:        d.Priority,
		CorrelationID:   d.CorrelationID,
		MessageID:       orNew(d.MessageID),
		Timestamp:       d.Timestamp,
		Type:            d.Type,
		AppID:           d.AppID,
		Body:            d.Body,
	}
}

// attemptOf returns the number of this attempt, from 1.
func attemptOf(headers wire.Table) int {
	n := max(countOf(headers[headerAttempt]), 1)
	return int(min(n+int64(alone(headers)), math.MaxInt32-1))
}

// firstOf returns when the first attempt at a message began.
func firstOf(d *delivery) time.Time {
	text, _ := d.Headers[headerFirst].(string)
	if first, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return first
	}
	return d.begun
}
