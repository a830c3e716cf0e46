package amqp

import (
	"context"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
	"github.com/enoki-go/enoki/internal/turns"
)

// A subscription that has an order has the queue that it would have without,
// with one flag more: RabbitMQ gives the messages to one of its consumers, and
// refuses those, of Enoki or Nameko, that declare the queue without the flag
// and would take messages out of order.

// turnPause is the least time until an event has its turn again that was
// handed back.
const turnPause = 20 * time.Millisecond

// newConsumer returns the consumer of the subscription.
func (h *handler) newConsumer(workers int) *consumer {
	m := h.member
	if h.OrderBy == nil {
		return m.newConsumer(h.queue, workers, h.handle)
	}
	h.ledger = m.newLedger(h.queue)
	return newConsumer(m.hard, m.link, m.log, work{
		queue: h.queue, prefetch: broker.Window, atOnce: workers,
		order: func(d *delivery) string { return h.OrderBy(message(&d.Delivery)) },
		turn:  h.turn,
	})
}

// turn handles an event that has an order, when it is its turn. It is retried
// in its place, so the attempts are counted here: another instance begins to
// count anew.
func (h *handler) turn(d *delivery) (again time.Duration) {
	if d.attachment.isOver() {
		return turns.Done // the broker delivers it again
	}
	ctx, cancel := d.attachment.context(h.member.hard)
	defer cancel()
	if d.begun.IsZero() && d.Redelivered && d.ended == nil {
		leave, again, ok := h.suspect(d)
		if !ok {
			return again
		}
		defer leave()
		if d.attachment.isOver() {
			return turns.Done
		}
	}
	begun := time.Now()
	if d.begun.IsZero() {
		d.begun = begun
	}
	var m *broker.Message
	returned := false
	defer func() {
		if !returned { // it has its turn once more, to be settled
			d.ended, again = &ended{m, broker.Ended(recover())}, turnPause
		}
	}()
	var s broker.Settlement
	if d.ended != nil {
		s = h.failed(d, d.ended.message, d.ended.err)
		d.ended = nil
	} else {
		m = message(&d.Delivery)
		s = h.Handle(ctx, m)
	}
	returned = true
	if d.attachment.isOver() {
		h.ledger.lost(d, begun)
		return turns.Done
	}
	return h.settleTurn(d, s)
}

// settleTurn does what s says, or returns how long it is until the event has
// its turn again.
func (h *handler) settleTurn(d *delivery, s broker.Settlement) time.Duration {
	defer h.ledger.forget(d)
	switch s.Verdict {
	case broker.Retry:
		if d.Headers == nil {
			d.Headers = wire.Table{}
		}
		attempt := attemptOf(d.Headers)
		dropSuspicion(d.Headers)
		d.Headers[headerAttempt] = int32(attempt + 1)
		d.Redelivered = true
		return max(s.Delay, 0)
	case broker.HandBack:
		dropSuspicion(d.Headers)
		d.Redelivered = true
		return turnPause
	}
	h.settle(d, s)
	return turns.Done
}

// context ends when hard does or when the broker has taken back the messages
// of the attachment.
func (a *attachment) context(hard context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(hard)
	go func() {
		select {
		case <-a.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
