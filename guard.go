package enoki

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/enoki-go/enoki/resilience"
)

// How often calls are sent again. Three services in a row that each tried three
// times would try 27 times; so the retries of a whole tree of calls are bounded,
// and travel with its context data. A call passes on what it does not keep for
// itself, and nothing at all once it is itself a retry.
const (
	callRetries = 2 // of one call
	treeRetries = 4 // that a handler has for its calls, when nothing came with its request

	retryShare = 0.2 // of the calls to one method, see resilience.Budget
	retrySaved = 10
)

// brief is how long a call must have lasted for its deadline to speak against
// the service: a shorter one was the caller's choice.
const brief = 100 * time.Millisecond

// Guarded returns middleware that puts a policy of package resilience around
// every handler or call that it is used for, all of them together.
func Guarded(p resilience.Policy) Middleware {
	return func(next Handler) Handler {
		return func(ctx context.Context, c *Call) error {
			return p(ctx, func(ctx context.Context) error { return next(ctx, c) })
		}
	}
}

// GuardedEach is Guarded with a policy of its own, made by newPolicy when it is
// first needed, for each method, handler or event. It is for names that are
// declared: it keeps a policy for every one that it meets.
func GuardedEach(newPolicy func(service, method string) resilience.Policy) Middleware {
	var policies sync.Map // of resilience.Policy, by targetKey
	return func(next Handler) Handler {
		return func(ctx context.Context, c *Call) error {
			key := targetKey{c.Service, c.Method}
			p, ok := policies.Load(key)
			if !ok {
				p, _ = policies.LoadOrStore(key, newPolicy(c.Service, c.Method))
			}
			return p.(resilience.Policy)(ctx, func(ctx context.Context) error { return next(ctx, c) })
		}
	}
}

type targetKey struct{ service, method string }

// targets are what those who share a broker know of the methods they call.
type targets struct {
	mu    sync.Mutex
	known map[targetKey]*target
}

// target guards the calls to one method.
type target struct {
	options Options
	targetKey
	breaker *resilience.Breaker // nil when switched off
	budget  *resilience.Budget  // nil when switched off
}

func newTargets() *targets { return &targets{known: map[targetKey]*target{}} }

func (t *targets) of(o Options, service, method string) *target {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := targetKey{service, method}
	if t.known[key] == nil {
		t.known[key] = newTarget(o, key)
	}
	return t.known[key]
}

func newTarget(o Options, key targetKey) *target {
	t := &target{options: o, targetKey: key}
	if !o.NoBreaker {
		t.breaker = resilience.NewBreaker(resilience.BreakerOptions{Failed: isDown, OnState: t.changed})
	}
	if !o.NoRetry {
		t.budget = resilience.NewBudget(retryShare, retrySaved)
	}
	return t
}

// changed tells the operator of a breaker's new state.
func (t *target) changed(state resilience.State) {
	log := t.options.Logger.Warn
	if state == resilience.Closed {
		log = t.options.Logger.Info
	}
	log("circuit breaker of a method that is called", "service", t.service, "method", t.method, "state", string(state))
	_ = safely(t.options.Logger, "OnBreaker", func() error { t.options.OnBreaker(t.service, t.method, state); return nil })
}

// isDown tells whether an error speaks against the service, and not against
// its caller.
func isDown(err error, took time.Duration) bool {
	switch CodeOf(err) {
	case Unavailable, UnknownOutcome:
		return true
	case DeadlineExceeded:
		return took >= brief
	}
	return false
}

// do makes a call over the broker, and again where that is safe.
func (t *target) do(ctx context.Context, idempotent bool, call func(ctx context.Context) error) error {
	err := t.first(ctx, call)
	if t.isLast(err, idempotent) {
		return err
	}
	return t.again(ctx, err, idempotent, call)
}

// first is the first attempt of do. Whoever calls it, isLast and again itself,
// needs memory for call only when there is a second.
func (t *target) first(ctx context.Context, call func(ctx context.Context) error) error {
	if t.budget != nil {
		t.budget.Call()
	}
	return t.once(ctx, call)
}

// isLast tells whether err is what becomes of the call.
func (t *target) isLast(err error, idempotent bool) bool {
	return err == nil || t.budget == nil || !mayAgain(err, idempotent)
}

// again makes further attempts after the first has ended with err.
func (t *target) again(ctx context.Context, err error, idempotent bool, call func(ctx context.Context) error) error {
	retry := resilience.Retry(resilience.RetryOptions{Attempts: 1 + callRetries, Again: func(err error) bool {
		return mayAgain(err, idempotent) && ctx.Err() == nil && t.budget.Retry() && trailOf(ctx).takeRetry()
	}})
	begun := false
	return retry(ctx, func(ctx context.Context) error {
		if !begun { // the first attempt is behind us
			begun = true
			return err
		}
		_ = safely(t.options.Logger, "OnRetry", func() error { t.options.OnRetry(t.service, t.method); return nil })
		return t.once(withTrail(ctx, trailOf(ctx).asRetry()), call)
	})
}

func (t *target) once(ctx context.Context, call func(ctx context.Context) error) error {
	if t.breaker == nil {
		return call(ctx)
	}
	err := t.breaker.Do(ctx, call)
	if errors.Is(err, resilience.ErrOpen) && CodeOf(err) == Unavailable {
		return Errorf(Unavailable, "call %s.%s: not sent: most calls to it have failed lately, and it is tried again in a few seconds: %w",
			t.service, t.method, resilience.ErrOpen)
	}
	return err
}

// mayAgain tells whether a call that has failed may be sent again: when it
// surely did not run, or when it may run twice and another try may go well.
func mayAgain(err error, idempotent bool) bool {
	switch {
	case errors.Is(err, resilience.ErrOpen):
		return false
	case errors.Is(err, NotDelivered):
		return true
	}
	return idempotent && (errors.Is(err, UnknownOutcome) || errors.Is(err, Unavailable))
}

// takeRetry takes one of the retries that the handler in hand has for its
// calls. Work outside a handler has as many as its calls may have.
func (t *trail) takeRetry() bool {
	return t.retries == nil || t.retries.Add(-1) >= 0
}

// asRetry returns the trail of a call that is a retry.
func (t *trail) asRetry() *trail {
	next := *t
	next.retried = true
	return &next
}

// retriesToPass returns how many retries a call takes along for the calls that
// it leads to, and whether that is worth a word.
func (t *trail) retriesToPass() (int64, bool) {
	switch {
	case t.retried:
		return 0, true
	case t.retries == nil:
		return 0, false
	}
	return max(0, t.retries.Load()-callRetries), true
}

// granted returns the retries of a handler whose work came with t.
func (t *trail) granted() int64 {
	if t.grant == 0 {
		return treeRetries
	}
	return t.grant - 1
}
