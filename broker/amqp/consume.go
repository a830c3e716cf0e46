package amqp

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/uuid"
)

// Consumption says which queue to read and what to do with its messages.
type Consumption struct {
	Service string // whose: for the log and for dead letters
	Queue   Queue

	// Prefetch is how many messages are taken before the first of them is
	// settled, and so how many handlers run at once. Default: 10.
	Prefetch int

	// Handle takes one message and says what becomes of it. It runs in a
	// goroutine of its own for each message. HandBack with a Reason counts
	// towards the delivery limit of a quorum queue whose arguments have one, or
	// a dead letter exchange; of another queue the message becomes one of
	// Enoki's dead letters then. ctx ends when the member has to leave at once.
	Handle func(ctx context.Context, m *Received) broker.Settlement

	// Buried is that of [broker.Service].
	Buried func(l broker.DeadLetter)
}

// Received is a message from a queue.
type Received struct {
	broker.Message
	Exchange   string // where it was published
	RoutingKey string // and under which key
	ReplyTo    string // where its sender wants an answer, if it does
}

// defaultPrefetch is Nameko's.
const defaultPrefetch = 10

// Consume declares a queue, takes messages from it, and returns when the broker
// has confirmed the consumer, or when ctx ends. A queue that exists with other
// flags is an error that says what to do. Leave ends it.
func (d *Driver) Consume(ctx context.Context, c Consumption) (broker.Member, error) {
	if err := d.open(ctx); err != nil {
		return nil, err
	}
	if c.Handle == nil {
		return nil, errors.New("consume: there is no function to handle messages")
	}
	if c.Prefetch <= 0 {
		c.Prefetch = defaultPrefetch
	}
	q, err := c.Queue.queue()
	if err != nil {
		return nil, fmt.Errorf("consume: %w", err)
	}
	s := broker.Service{Instance: broker.Instance{Name: c.Service, ID: uuid.New()}, Buried: c.Buried}
	m, err := d.newMember(ctx, s, 1)
	if err != nil {
		return nil, fmt.Errorf("consume: %w", err)
	}
	handle := func(dv *delivery) { m.consume(dv, q, c.Handle) }
	m.consumers = []*consumer{m.newConsumer(q, min(c.Prefetch, math.MaxUint16), handle)}
	if err := m.attach(ctx); err != nil {
		return nil, fmt.Errorf("consume: %w", err)
	}
	return m, nil
}

// consume handles one message of a queue and settles it.
func (m *member) consume(d *delivery, q queue, handle func(context.Context, *Received) broker.Settlement) {
	ctx, cancel := context.WithCancel(d.attachment.ctx)
	defer cancel()
	d.begun = time.Now()
	leave, ok := m.start(d, m.backTo(d, q.name), func() {
		delete(d.Headers, headerNoted)
		d.Headers[headerAttempt] = int32(attemptOf(d.Headers) - 1 + broker.AttemptsBeside + broker.AttemptsAlone)
		err := broker.NoOutcome()
		m.settle(d, q.name, broker.Settlement{Verdict: broker.Reject, Reason: err.Error(), Kind: broker.KindOf(err)}, broker.DeadLetter{Handler: q.name})
	})
	if !ok {
		return
	}
	defer leave()
	returned := false
	defer func() {
		if !returned {
			err := broker.Ended(recover())
			m.logFailed(d, err)
			m.settle(d, q.name, broker.Settlement{Verdict: broker.Reject, Reason: err.Error(), Kind: broker.KindOf(err)}, broker.DeadLetter{Handler: q.name})
		}
	}()
	m.settleReceived(d, q, handle(ctx, received(d)))
	returned = true
}

func (m *member) settleReceived(d *delivery, q queue, s broker.Settlement) {
	if s.Verdict == broker.HandBack && s.Reason != "" && q.limits() && m.hard.Err() == nil && startsOf(&d.Delivery) == 0 {
		_ = d.Reject(true) // on a closed channel it has gone back already
		return
	}
	m.settle(d, q.name, s, broker.DeadLetter{Handler: q.name})
}

// limits tells whether somebody has said what becomes of messages that come back
// too often, or may have.
func (q queue) limits() bool {
	return q.undeclared || q.args["x-delivery-limit"] != nil || q.args["x-dead-letter-exchange"] != nil
}

// received is the message as its sender published it, also after a retry.
func received(d *delivery) *Received {
	r := &Received{Message: *message(&d.Delivery), Exchange: d.Exchange, RoutingKey: d.RoutingKey, ReplyTo: d.ReplyTo}
	if exchange, retried := d.Headers[headerExchange].(string); retried {
		r.Exchange = exchange
		r.RoutingKey, _ = d.Headers[headerRoutingKey].(string)
	}
	return r
}
