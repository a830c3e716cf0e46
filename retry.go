package enoki

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/fault"
)

// ErrorPolicy says what becomes of an event whose handler fails: it is a
// [Retry], [Requeue] or [Drop].
type ErrorPolicy interface {
	onError(sub *subscription)
}

// Retry has an event whose handler returns an error tried again, on any
// instance. When its last attempt fails, the event becomes a dead letter. It
// becomes one at once when its handler panics, or returns an error that is
// [Permanent] or has the code InvalidArgument.
type Retry struct {
	// Attempts is how often the event is tried at most, the first time
	// included; 1 never tries it again. Default: 5.
	Attempts int

	// First is the longest delay after the first attempt. After each further
	// attempt the longest delay is twice the one before, up to Last. Each delay
	// is a random part of the longest. Default: 1 s, or Last if that is shorter.
	First time.Duration

	// Last is the longest of all delays. Default: 5 min, or First if that is
	// longer.
	Last time.Duration
}

// What a Retry has where it says nothing.
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

// Requeue has an event whose handler fails or panics delivered again at once,
// to any instance: Nameko's requeue_on_error=True. One that always fails keeps
// the service busy for ever. On a quorum queue of RabbitMQ with its limit of
// deliveries, it comes 20 times and is a dead letter then. Prefer Retry. An
// event that can't be decoded, or whose error is [Permanent], becomes a dead
// letter all the same.
type Requeue struct{}

func (Requeue) onError(sub *subscription) { sub.policy = requeued }

// Drop forgets an event whose handler fails or panics, and one that can't be
// decoded, and logs it as an error: Nameko's default.
type Drop struct{}

func (Drop) onError(sub *subscription) { sub.policy = dropped }

// policy is which ErrorPolicy a subscription has.
type policy int

const (
	retried policy = iota
	requeued
	dropped
)

// unread says what becomes of an event that can't be decoded: another try
// would find the same.
func (sub *subscription) unread(kind string, err error) broker.Settlement {
	if sub.policy == dropped {
		return broker.Settlement{}
	}
	return broker.Settlement{Verdict: broker.Reject, Reason: err.Error(), Kind: kind}
}

// settle says what becomes of an event whose handler failed.
func (sub *subscription) settle(ctx context.Context, attempt int, err error) broker.Settlement {
	panicked := errors.Is(err, fault.ErrPanic)
	switch {
	case !panicked && ctx.Err() != nil: // stopped at once: no fault of the event
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

// lost says what becomes of an event whose handler did not return: one that
// ended its goroutine is one that panicked; another try of one that ends its
// process would end the next process.
func (sub *subscription) lost(attempt int, err error) broker.Settlement {
	switch {
	case sub.policy == dropped:
		return broker.Settlement{}
	case errors.Is(err, broker.ErrNoOutcome):
		return broker.Settlement{Verdict: broker.Reject, Reason: err.Error(), Kind: broker.KindNoOutcome}
	}
	return sub.settle(context.Background(), attempt, fault.Wrap(Internal, fault.ErrPanic, err.Error()))
}

// backoff returns the delay after an attempt, with full jitter, so that what
// failed together does not come back together.
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
