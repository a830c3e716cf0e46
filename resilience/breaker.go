package resilience

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"
)

// BreakerOptions are the settings of a Breaker. The zero value is useful.
type BreakerOptions struct {
	// Failed reports whether an outcome counts as a failure. err is the error of
	// the work and took is how long the work ran. Default: every error counts,
	// except context.Canceled.
	Failed func(err error, took time.Duration) bool

	// The breaker opens if at least Calls pieces of work ended within Window and
	// the share of failures is Rate or more. Default: 0.5, 20 and 10 s.
	Rate   float64
	Calls  uint
	Window time.Duration

	// Delay is how long the breaker stays open. Then it lets Probes pieces of work
	// through. If they succeed, it closes; otherwise it opens again. The delay of
	// each breaker is up to a quarter longer or shorter. Default: 5 s and 3.
	Delay  time.Duration
	Probes uint

	// OnState is called at every change of state. It must not block and must not
	// use the breaker. Default: none.
	OnState func(state State)
}

// State is the state of a Breaker.
type State string

// The states of a Breaker.
const (
	Closed   State = "closed"    // all work is let through
	Open     State = "open"      // no work is let through
	HalfOpen State = "half-open" // a few pieces of work are let through as a test
)

// Breaker refuses work with ErrOpen while most of it fails. The callee gets
// time to recover, and the caller does not wait in vain. A Breaker may be used
// concurrently.
type Breaker struct {
	failed  func(err error, took time.Duration) bool
	circuit *gobreaker.TwoStepCircuitBreaker[any]
}

// NewBreaker returns a closed Breaker.
func NewBreaker(o BreakerOptions) *Breaker {
	b := &Breaker{failed: o.Failed}
	if b.failed == nil {
		b.failed = func(err error, _ time.Duration) bool { return !errors.Is(err, context.Canceled) }
	}
	rate, calls, window := cmp.Or(o.Rate, 0.5), cmp.Or(o.Calls, 20), cmp.Or(o.Window, 10*time.Second)
	settings := gobreaker.Settings{
		Interval: window, BucketPeriod: window / 10,
		Timeout:     jittered(cmp.Or(o.Delay, 5*time.Second), 0.25),
		MaxRequests: uint32(cmp.Or(o.Probes, 3)),
		ReadyToTrip: func(n gobreaker.Counts) bool {
			return uint(n.Requests) >= calls && float64(n.TotalFailures) >= rate*float64(n.Requests)
		},
	}
	if o.OnState != nil {
		settings.OnStateChange = func(_ string, _, state gobreaker.State) { o.OnState(stateOf(state)) }
	}
	b.circuit = gobreaker.NewTwoStepCircuitBreaker[any](settings)
	return b
}

// State returns the present state.
func (b *Breaker) State() State { return stateOf(b.circuit.State()) }

func stateOf(s gobreaker.State) State {
	switch s {
	case gobreaker.StateOpen:
		return Open
	case gobreaker.StateHalfOpen:
		return HalfOpen
	}
	return Closed
}

// errFailed tells the circuit that the work has failed.
var errFailed = errors.New("the work has failed")

// Do is a Policy. Work that panics or ends its goroutine counts as failed.
func (b *Breaker) Do(ctx context.Context, do func(ctx context.Context) error) error {
	done, err := b.circuit.Allow()
	if err != nil {
		return ErrOpen
	}
	outcome := errFailed
	defer func() { done(outcome) }()
	begun := time.Now()
	if err = do(ctx); err == nil || !b.failed(err, time.Since(begun)) {
		outcome = nil
	}
	return err
}
