package amqp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/enoki-go/enoki/broker"
)

// Headers of a dead letter, beside those it had.
const (
	headerService  = ownPrefix + "service"
	headerHandler  = ownPrefix + "handler"
	headerSource   = ownPrefix + "source"
	headerEvent    = ownPrefix + "event"
	headerReason   = ownPrefix + "reason"
	headerDied     = ownPrefix + "died" // RFC 3339
	headerAttempts = ownPrefix + "attempts"
)

// maxReason is how much of a reason is kept, in bytes: headers share one
// frame of 128 KiB.
const maxReason = 8 << 10

// dead is the queue of the dead letters of all services.
var dead = queue{name: "enoki.dead"}

// bury keeps the message of d as a dead letter and acks it then.
func (m *member) bury(d *delivery, l broker.DeadLetter) {
	msg := copyOf(d)
	msg.Headers[headerService] = l.Service
	msg.Headers[headerHandler] = l.Handler
	msg.Headers[headerSource] = l.Source
	msg.Headers[headerEvent] = l.Event
	msg.Headers[headerReason] = strings.ToValidUTF8(l.Reason[:min(len(l.Reason), maxReason)], "")
	msg.Headers[headerAttempts] = int32(l.Attempt)
	msg.Headers[headerDied] = time.Now().UTC().Format(time.RFC3339Nano)
	m.replace(d, dead, &outgoing{key: dead.name, mandatory: true, repeatable: true, msg: msg})
}

// DeadLetters implements [broker.Broker]. While it reads, another process that
// reads sees only the rest.
func (d *Driver) DeadLetters(ctx context.Context, limit int) ([]broker.DeadLetter, error) {
	if err := d.open(ctx); err != nil {
		return nil, err
	}
	d.reading.Lock()
	defer d.reading.Unlock()
	if err := d.declare(ctx, dead); err != nil {
		return nil, err
	}
	s, err := d.consuming.await(ctx)
	if err != nil {
		return nil, err
	}
	ch, err := s.conn.Channel()
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	letters, err := readDead(ctx, ch, limit)
	// Whatever the channel has got and not acked goes back, in its order.
	if closeErr := ch.Close(); err == nil {
		err = closeErr
	}
	if gone, ok := errors.AsType[*amqp091.Error](err); ok && gone.Code == amqp091.NotFound {
		d.undeclare(dead)
		return nil, nil // somebody has deleted them all
	}
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	return letters, nil
}

func readDead(ctx context.Context, ch *amqp091.Channel, limit int) ([]broker.DeadLetter, error) {
	var letters []broker.DeadLetter
	for len(letters) < limit {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		got, ok, err := ch.Get(dead.name, false)
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		letters = append(letters, deadLetter(&got))
	}
	return letters, nil
}

func deadLetter(d *amqp091.Delivery) broker.DeadLetter {
	text := func(header string) string {
		s, _ := d.Headers[header].(string) // somebody else may publish there
		return s
	}
	died, _ := time.Parse(time.RFC3339Nano, text(headerDied))
	attempts, _ := valueOf(d.Headers[headerAttempts]).(int64)
	m := message(d)
	m.Redelivered = false // a dead letter is one by being looked at
	return broker.DeadLetter{
		Service: text(headerService), Handler: text(headerHandler),
		Source: text(headerSource), Event: text(headerEvent),
		Reason: text(headerReason), Attempt: int(attempts), Died: died,
		Message: m,
	}
}
