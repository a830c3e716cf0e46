package amqp

import (
	"strings"
	"time"

	"github.com/rabbitmq/amqp091-go"
)

// Headers of an event that is retried. Its queue gets it back by the default
// exchange, so where it came from is kept here.
const (
	headerAttempt    = ownPrefix + "attempt" // deliveries settled with Retry, plus one
	headerFirst      = ownPrefix + "first"   // when the first attempt began, by RFC 3339
	headerExchange   = ownPrefix + "exchange"
	headerRoutingKey = ownPrefix + "routing-key"
)

// rungs are the delays a retry can have; others are rounded up, and none is
// longer than the last. Each is a queue on the broker, so they are few.
var rungs = []time.Duration{
	100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute,
	time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
}

// rung returns the queue where messages wait for at least delay. They leave
// it by their age and go to the queue that their routing key names: the
// default exchange finds it, and no queue of anybody else has to be changed.
func rung(delay time.Duration) queue {
	d := rungs[len(rungs)-1]
	for _, r := range rungs {
		if r >= delay {
			d = r
			break
		}
	}
	name := "enoki.retry." + rungName(d)
	return queue{
		name: name,
		args: amqp091.Table{
			amqp091.QueueMessageTTLArg: int32(d.Milliseconds()),
			"x-dead-letter-exchange":   amqp091.DefaultExchange,
		},
		bindings: []binding{{exchange: exchange{name: name, kind: amqp091.ExchangeFanout}}},
	}
}

// rungName turns 1m0s into 1m, 1h0m0s into 1h.
func rungName(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// retry sends the event of d on a way round that ends at its queue after
// delay, with the next attempt's number.
func (m *member) retry(d *delivery, queueName string, delay time.Duration) {
	msg := copyOf(d)
	msg.Headers[headerAttempt] = int32(attemptOf(d.Headers) + 1)
	msg.Headers[headerFirst] = firstOf(d).UTC().Format(time.RFC3339Nano)
	keepRoute(msg.Headers, d)
	// Mandatory: a message that no queue takes would be lost.
	o := &outgoing{key: queueName, mandatory: true, repeatable: true, msg: msg}
	if delay <= 0 {
		m.replace(d, nowhere{}, o)
		return
	}
	wait := rung(delay)
	o.exchange = wait.name
	m.replace(d, wait, o)
}

// keepRoute notes in headers where d was published.
func keepRoute(headers amqp091.Table, d *delivery) {
	if _, again := d.Headers[headerExchange]; !again {
		headers[headerExchange] = d.Exchange
		headers[headerRoutingKey] = d.RoutingKey
	}
}

// nowhere is the topology of a message that goes straight to a queue that
// exists.
type nowhere struct{}

func (nowhere) declare(*amqp091.Channel) error { return nil }
func (nowhere) String() string                 { return "" }

// copyOf returns the message of d to be published anew: all that its sender
// said, without what RabbitMQ added on the way through a retry, and with an
// ID if the sender gave none, so that the next attempt has the same. Its
// expiration must not come along, it would end the wait early.
func copyOf(d *delivery) amqp091.Publishing {
	headers := make(amqp091.Table, len(d.Headers)+8)
	delayed := waited(d.Headers)
	for k, v := range d.Headers {
		if !delayed || !isWaitHeader(k) {
			headers[k] = v
		}
	}
	return amqp091.Publishing{
		Headers:         headers,
		ContentType:     d.ContentType,
		ContentEncoding: d.ContentEncoding,
		DeliveryMode:    amqp091.Persistent,
		Priority:        d.Priority,
		CorrelationId:   d.CorrelationId,
		MessageId:       orNew(d.MessageId),
		Timestamp:       d.Timestamp,
		Type:            d.Type,
		AppId:           d.AppId,
		Body:            d.Body,
	}
}

// attemptOf returns the number of this attempt, from 1.
func attemptOf(headers amqp091.Table) int {
	if n, ok := valueOf(headers[headerAttempt]).(int64); ok && n > 1 {
		return int(n)
	}
	return 1
}

// firstOf returns when the first attempt at a message began.
func firstOf(d *delivery) time.Time {
	text, _ := d.Headers[headerFirst].(string)
	if first, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return first
	}
	return d.begun
}
