package resilience

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

// BreakerOptions are the settings of a Breaker. The zero value is useful.
type BreakerOptions struct {
	// Failed tells whether work that took so long and ended with err counts
	// against what it was sent to. Default: every error does, but for the
	// cancellation of its context.
	Failed func(err error, took time.Duration) bool

	// Rate is the share of failures from which on the breaker opens, when at
	// least Calls pieces of work were done within Window. Default: 0.5 of 20
	// within 10 s.
	Rate   float64
	Calls  uint
	Window time.Duration

	// Delay is how long the breaker stays open before it lets Probes pieces of
	// work through: when these go well it closes, otherwise it opens again.
	// Each delay is up to a quarter longer or shorter. Default: 5 s and 3.
	Delay  time.Duration
	Probes uint

	// OnState is told of every change of state. It must not block.
	// Default: none.
	OnState func(state State)
}

// State is that of a Breaker.
type State string

// The states of a Breaker.
const (
	Closed   State = "closed"    // all work is let through
	Open     State = "open"      // none is
	HalfOpen State = "half-open" // a few pieces of work are let through, to see
)

// Breaker refuses work with ErrOpen while most of it fails: whoever does the
// work gets time to recover, and who sends it does not wait in vain. It may be
// used concurrently.
type Breaker struct {
	failed  func(err error, took time.Duration) bool
	circuit circuitbreaker.CircuitBreaker[any]
}

// NewBreaker returns a closed Breaker.
func NewBreaker(o BreakerOptions) *Breaker {
	b := &Breaker{failed: o.Failed}
	if b.failed == nil {
		b.failed = func(err error, _ time.Duration) bool { return !errors.Is(err, context.Canceled) }
	}
	build := circuitbreaker.NewBuilder[any]().
		WithFailureRateThreshold(cmp.Or(o.Rate, 0.5), cmp.Or(o.Calls, 20), cmp.Or(o.Window, 10*time.Second)).
		WithDelay(cmp.Or(o.Delay, 5*time.Second)).WithJitterFactor(0.25).
		WithSuccessThreshold(cmp.Or(o.Probes, 3))
	if o.OnState != nil {
		build.OnStateChanged(func(e circuitbreaker.StateChangedEvent) { o.OnState(stateOf(e.NewState)) })
	}
	b.circuit = build.Build()
	return b
}

// State returns the present state.
func (b *Breaker) State() State { return stateOf(b.circuit.State()) }

func stateOf(s circuitbreaker.State) State {
	switch s {
	case circuitbreaker.OpenState:
		return Open
	case circuitbreaker.HalfOpenState:
		return HalfOpen
	}
	return Closed
}

// Do is a Policy. Work that panics counts as failed.
func (b *Breaker) Do(ctx context.Context, do func(ctx context.Context) error) error {
	if !b.circuit.TryAcquirePermit() {
		return ErrOpen
	}
	begun, ended := time.Now(), false
	defer func() {
		if !ended {
			b.circuit.RecordFailure()
		}
	}()
	err := do(ctx)
	failed := err != nil && b.failed(err, time.Since(begun))
	ended = true
	if failed {
		b.circuit.RecordFailure()
	} else {
		b.circuit.RecordSuccess()
	}
	return err
}
