package enoki

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/fault"
)

// ErrorPolicy says what happens to an event whose handler fails. It is a
// [Retry], [Requeue] or [Drop].
type ErrorPolicy interface {
	onError(sub *subscription)
}

// Retry delivers an event again after its handler has returned an error. Any
// instance may get it. The event becomes a dead letter when its last attempt
// fails. It becomes a dead letter at once when its handler panics, or when the
// error is [Permanent] or has the code InvalidArgument.
type Retry struct {
	// Attempts is the largest number of attempts, including the first one. 1 means
	// that there is no second attempt. Default: 5.
	Attempts int

	// First is the longest delay after the first attempt. The longest delay doubles
	// after each further attempt, up to Last. The actual delay is a random part of
	// the longest. Default: 1 s, or Last if that is shorter.
	First time.Duration

	// Last is the upper bound of all delays. Default: 5 min, or First if that is
	// longer.
	Last time.Duration
}

// The defaults of a Retry.
const (
	defaultAttempts = 5
	defaultFirst    = time.Second
	defaultLast     = 5 * time.Minute
)

func (r Retry) onError(sub *subscription) {
	sub.policy, sub.attempts, sub.first, sub.last = retried, r.Attempts, r.First, r.Last
	if r.Attempts < 0 {
		sub.mistake("Retry{Attempts: %d} would never handle it; give it at least 1, or 0 for %d", r.Attempts, defaultAttempts)
	}
	if r.First < 0 || r.Last < 0 || r.Last > 0 && r.Last < r.First {
		sub.mistake("Retry{First: %v, Last: %v}: give a first delay above 0 and a last one that is no shorter, or 0 for the default", r.First, r.Last)
	}
	if r.Attempts == 0 {
		sub.attempts = defaultAttempts
	}
	switch {
	case r.First == 0 && r.Last == 0:
		sub.first, sub.last = defaultFirst, defaultLast
	case r.First == 0:
		sub.first = min(defaultFirst, r.Last)
	case r.Last == 0:
		sub.last = max(defaultLast, r.First)
	}
}

// Requeue delivers an event again at once when its handler fails or panics. Any
// instance may get it. It is Nameko's requeue_on_error=True. An event that
// always fails keeps the service busy for ever, so prefer Retry. A quorum queue
// of RabbitMQ with its delivery limit delivers the event 20 times and then
// makes it a dead letter. An event also becomes a dead letter if it can't be
// decoded or if the error is [Permanent].
type Requeue struct{}

func (Requeue) onError(sub *subscription) { sub.policy = requeued }

// Drop forgets an event whose handler fails or panics, or that can't be
// decoded. It logs an error. It is Nameko's default.
type Drop struct{}

func (Drop) onError(sub *subscription) { sub.policy = dropped }

// policy is the ErrorPolicy of a subscription.
type policy int

const (
	retried policy = iota
	requeued
	dropped
)

// unread settles an event that can't be decoded. It does not retry, because
// another attempt would fail in the same way.
func (sub *subscription) unread(kind string, err error) broker.Settlement {
	if sub.policy == dropped {
		return broker.Settlement{}
	}
	return broker.Settlement{Verdict: broker.Reject, Reason: err.Error(), Kind: kind}
}

// settle settles an event whose handler failed.
func (sub *subscription) settle(ctx context.Context, attempt int, err error) broker.Settlement {
	panicked := errors.Is(err, fault.ErrPanic)
	switch {
	case !panicked && ctx.Err() != nil: // the stop has cancelled the handler; the event is not at fault
		return broker.Settlement{Verdict: broker.HandBack}
	case sub.policy == dropped:
		return broker.Settlement{}
	case sub.policy == requeued && !isPermanent(err):
		return broker.Settlement{Verdict: broker.HandBack, Reason: fault.Text(err), Kind: kindOf(err)}
	case panicked, isPermanent(err), CodeOf(err) == InvalidArgument, attempt >= sub.attempts:
		return broker.Settlement{Verdict: broker.Reject, Reason: fault.Text(err), Kind: kindOf(err)}
	}
	return broker.Settlement{Verdict: broker.Retry, Delay: sub.backoff(attempt)}
}

// lost settles an event whose handler did not return. A handler that ended its
// goroutine counts as one that panicked. An event that ended its process is
// rejected, because it would end the next process too.
func (sub *subscription) lost(attempt int, err error) broker.Settlement {
	switch {
	case sub.policy == dropped:
		return broker.Settlement{}
	case errors.Is(err, broker.ErrNoOutcome):
		return broker.Settlement{Verdict: broker.Reject, Reason: err.Error(), Kind: broker.KindNoOutcome}
	}
	return sub.settle(context.Background(), attempt, fault.Wrap(Internal, fault.ErrPanic, err.Error()))
}

// backoff returns the delay after an attempt. It has full jitter, so that
// events that failed together do not come back together.
func (sub *subscription) backoff(attempt int) time.Duration {
	delay := sub.first
	for range attempt - 1 {
		if delay >= sub.last/2 {
			delay = sub.last
			break
		}
		delay *= 2
	}
	return rand.N(delay) + 1
}
