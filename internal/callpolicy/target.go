// Package callpolicy guards the calls that a process sends. It has a circuit
// breaker for each method, and retries a call if that is safe. Its caller sends
// the calls.
package callpolicy

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/enoki-go/enoki/fault"
	"github.com/enoki-go/enoki/internal/trail"
	"github.com/enoki-go/enoki/resilience"
)

const (
	retryShare = 0.2 // of the calls to one method, see resilience.Budget
	retrySaved = 10
)

// brief is how long a call must have lasted for its deadline to speak against
// the service: a shorter one was the caller's choice.
const brief = 100 * time.Millisecond

// Options say how calls are guarded.
type Options struct {
	Breakers bool // one for each method
	Retries  bool

	// OnBreaker is told of each change of a circuit breaker's state, and OnRetry
	// of each call that is sent again. Neither may be nil, block or panic.
	OnBreaker func(service, method string, state resilience.State)
	OnRetry   func(service, method string)
}

type key struct{ service, method string }

// Targets are what those who share a broker know of the methods they call.
type Targets struct {
	mu    sync.Mutex
	known map[key]*Target
}

// Target guards the calls to one method.
type Target struct {
	options Options
	key
	breaker *resilience.Breaker // nil when switched off
	budget  *resilience.Budget  // nil when switched off
}

// NewTargets returns what nobody knows anything of yet.
func NewTargets() *Targets { return &Targets{known: map[key]*Target{}} }

// Of returns the target of one method. The options are those of who asks first.
func (t *Targets) Of(o Options, service, method string) *Target {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := key{service, method}
	if t.known[k] == nil {
		t.known[k] = newTarget(o, k)
	}
	return t.known[k]
}

func newTarget(o Options, k key) *Target {
	t := &Target{options: o, key: k}
	if o.Breakers {
		t.breaker = resilience.NewBreaker(resilience.BreakerOptions{Failed: isDown, OnState: func(state resilience.State) { o.OnBreaker(k.service, k.method, state) }})
	}
	if o.Retries {
		t.budget = resilience.NewBudget(retryShare, retrySaved)
	}
	return t
}

// isDown tells whether an error speaks against the service, and not against
// its caller.
func isDown(err error, took time.Duration) bool {
	switch fault.CodeOf(err) {
	case fault.Unavailable, fault.UnknownOutcome:
		return true
	case fault.DeadlineExceeded:
		return took >= brief
	}
	return false
}

// Do makes a call over the broker, and again where that is safe.
func (t *Target) Do(ctx context.Context, idempotent bool, call func(ctx context.Context) error) error {
	err := t.First(ctx, call)
	if t.IsLast(err, idempotent) {
		return err
	}
	return t.Again(ctx, err, idempotent, call)
}

// First is the first attempt of Do. Whoever calls it, IsLast and Again itself,
// needs memory for call only when there is a second.
func (t *Target) First(ctx context.Context, call func(ctx context.Context) error) error {
	if t.budget != nil {
		t.budget.Call()
	}
	return t.once(ctx, call)
}

// IsLast tells whether err is what becomes of the call.
func (t *Target) IsLast(err error, idempotent bool) bool {
	return err == nil || t.budget == nil || !MayRepeat(err, idempotent)
}

// Again makes further attempts after the first has ended with err.
func (t *Target) Again(ctx context.Context, err error, idempotent bool, call func(ctx context.Context) error) error {
	retry := resilience.Retry(resilience.RetryOptions{Attempts: 1 + trail.CallRetries, Again: func(err error) bool {
		return MayRepeat(err, idempotent) && ctx.Err() == nil && t.budget.Retry() && trail.Of(ctx).TakeRetry()
	}})
	begun := false
	return retry(ctx, func(ctx context.Context) error {
		if !begun { // the first attempt is behind us
			begun = true
			return err
		}
		t.options.OnRetry(t.service, t.method)
		return t.once(trail.With(ctx, trail.Of(ctx).AsRetry()), call)
	})
}

func (t *Target) once(ctx context.Context, call func(ctx context.Context) error) error {
	if t.breaker == nil {
		return call(ctx)
	}
	err := t.breaker.Do(ctx, call)
	if errors.Is(err, resilience.ErrOpen) && fault.CodeOf(err) == fault.Unavailable {
		return fault.Errorf(fault.Unavailable, "call %s.%s: not sent: most calls to it have failed lately, and it is tried again in a few seconds: %w",
			t.service, t.method, resilience.ErrOpen)
	}
	return err
}

// MayRepeat tells whether a call that has failed may be sent again: when it
// surely did not run, or when it may run twice and another try may go well.
func MayRepeat(err error, idempotent bool) bool {
	switch {
	case errors.Is(err, resilience.ErrOpen):
		return false
	case errors.Is(err, fault.NotDelivered):
		return true
	}
	return idempotent && (errors.Is(err, fault.UnknownOutcome) || errors.Is(err, fault.Unavailable))
}
