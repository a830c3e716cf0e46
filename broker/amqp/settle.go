package amqp

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/enoki-go/enoki/broker"
)

// publishAttempt is how long one try to publish what settles a message may take
// before it is looked at whether the message is still ours.
const publishAttempt = 10 * time.Second

// refusedDelay is how long a message is kept whose retry or dead letter the
// broker refuses, before it goes back to its queue.
const refusedDelay = 5 * time.Second

// errUnsettled says that a message could not be settled and is, or will be,
// the broker's again.
var errUnsettled = errors.New("not settled")

// handler is one subscription of a member.
type handler struct {
	broker.Subscription
	member *member
	queue  queue
	ledger *ledger // of one that has an order
}

// handle handles one event and settles it.
func (h *handler) handle(d *delivery) {
	ctx, cancel := context.WithCancel(d.attachment.ctx)
	defer cancel()
	d.begun = time.Now()
	leave, ok := h.member.start(d, h.member.backTo(d, h.queue.name), func() { h.poisonous(d) })
	if !ok {
		return
	}
	defer leave()
	var m *broker.Message
	returned := false
	defer func() {
		if !returned {
			h.settle(d, h.failed(d, m, broker.Ended(recover())))
		}
	}()
	m = message(&d.Delivery)
	h.settle(d, h.Handle(ctx, m))
	returned = true
}

// poisonous settles an event that was started often enough without an outcome.
func (h *handler) poisonous(d *delivery) {
	delete(d.Headers, headerNoted)
	d.Headers[headerAttempt] = int32(attemptOf(d.Headers) - 1 + broker.AttemptsBeside + broker.AttemptsAlone)
	h.settle(d, h.Failed(message(&d.Delivery), broker.NoOutcome()))
}

// failed says what becomes of an event whose handler, or what reads the event,
// has ended with err instead of returning; m is nil when it could not be read.
func (h *handler) failed(d *delivery, m *broker.Message, err error) broker.Settlement {
	h.member.logFailed(d, err)
	if m == nil {
		return broker.Settlement{Verdict: broker.Reject, Reason: err.Error(), Kind: broker.KindUnreadable}
	}
	return h.Failed(m, err)
}

// logFailed logs why a message was not handled to its end. Of a handler that
// ended its goroutine the service knows more.
func (m *member) logFailed(d *delivery, err error) {
	if !errors.Is(err, broker.ErrExited) {
		m.log.Error("a message can't be handled", "routing key", d.RoutingKey, "error", err, "stack", string(debug.Stack()))
	}
}

func (h *handler) settle(d *delivery, s broker.Settlement) {
	h.member.settle(d, h.queue.name, s, broker.DeadLetter{Handler: h.Handler, Source: h.Source, Event: h.Event})
}

// settle does with a message of a queue what s says; letter says what it is
// about.
func (m *member) settle(d *delivery, queueName string, s broker.Settlement, letter broker.DeadLetter) {
	if m.hard.Err() != nil || d.attachment.isOver() {
		return // the message is another's by now, or comes again
	}
	switch s.Verdict {
	case broker.Retry:
		m.retry(d, queueName, s.Delay, letter)
	case broker.Reject:
		letter.Kind, letter.Reason = s.Kind, s.Reason
		m.bury(d, queueName, letter)
	case broker.HandBack:
		m.handBack(d, queueName, s, letter)
	default:
		_ = d.Ack() // on a closed channel it comes again
	}
}

// replaced acks d after something else has taken its place, and tells whether it
// has: err is nil then.
func (m *member) replaced(d *delivery, err error) bool {
	switch {
	case err == nil:
		_ = d.Ack() // on a closed channel the event comes again, at worst twice
	case errors.Is(err, errUnsettled), m.hard.Err() != nil, d.attachment.isOver():
	default:
		m.log.Error("a message can't be set aside, it goes back to its queue", "queue", d.RoutingKey, "error", err)
		select {
		case <-time.After(refusedDelay):
		case <-m.hard.Done():
		}
		_ = d.Nack(true)
	}
	return err == nil
}

// publishTo publishes to a queue of our own. A message that must not go back to
// its queue stays here until that succeeds.
func (m *member) publishTo(d *delivery, t topology, o *outgoing) error {
	for {
		err := m.tryPublishTo(d, t, o)
		if err == nil || !isCounted(d) || errors.Is(err, errUnsettled) || errors.Is(err, broker.ErrInvalid) ||
			m.hard.Err() != nil || d.attachment.isOver() {
			return err
		}
		m.log.Error("a message can't be set aside, trying again", "queue", d.RoutingKey, "error", err)
		select {
		case <-time.After(refusedDelay):
		case <-d.attachment.ended:
		case <-m.hard.Done():
		}
	}
}

// tryPublishTo takes into account that somebody may have deleted t since it was
// declared.
func (m *member) tryPublishTo(d *delivery, t topology, o *outgoing) error {
	var err error
	for range 2 {
		if err = m.driver.makeLadder(m.hard, t); err != nil {
			return err
		}
		err = m.publish(d, o)
		if !errors.Is(err, errNoRoute) && !isGone(err) {
			return err
		}
		m.driver.undeclare(t)
	}
	return err
}

// publish publishes what settles d, again and again while the outcome is not
// known and d is still ours. The error is errUnsettled when it is not.
func (m *member) publish(d *delivery, o *outgoing) error {
	for {
		ctx, cancel := context.WithTimeout(m.hard, publishAttempt)
		err := m.driver.publisher.publish(ctx, o.copy())
		cancel()
		switch {
		case err == nil:
			return nil
		case m.hard.Err() != nil, errors.Is(err, broker.ErrClosed):
			return fmt.Errorf("%w: %w", errUnsettled, err)
		case !m.maySucceed(d, err):
			if d.attachment.isOver() {
				return fmt.Errorf("%w: %w", errUnsettled, err)
			}
			return err // refused
		}
	}
}

// maySucceed tells whether what settles d is to be published again after err.
func (m *member) maySucceed(d *delivery, err error) bool {
	again := errors.Is(err, broker.ErrUnknownOutcome) || errors.Is(err, context.DeadlineExceeded)
	return again && m.hard.Err() == nil && !errors.Is(err, broker.ErrClosed) && !d.attachment.isOver()
}
