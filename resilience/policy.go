// Package resilience keeps one failing or overloaded part of a system from
// taking the others with it: retry, timeout, circuit breaker, bulkhead, and
// limiters of rate and of concurrency, each a Policy around a piece of work.
// What the work is, it leaves to others; package enoki makes middleware of a
// Policy, and uses some by default.
package resilience

import (
	"context"
	"errors"
)

// Policy does a piece of work in its own way: it may refuse it, bound it in
// time, or do it again. Its error is that of do, or of this package. A Policy
// may be used concurrently.
type Policy func(ctx context.Context, do func(ctx context.Context) error) error

// Why work was refused without being started.
var (
	// ErrOpen: too much of it has failed lately, see Breaker.
	ErrOpen = errors.New("circuit breaker is open")

	// ErrFull: as much of it runs as may, and no place came free in time, see
	// Bulkhead and Adaptive.
	ErrFull = errors.New("too much of it runs at once")

	// ErrLimited: it comes faster than it may, see Rate.
	ErrLimited = errors.New("it comes faster than allowed")
)

// Chain makes one Policy of several, the first one outermost.
func Chain(policies ...Policy) Policy {
	return func(ctx context.Context, do func(ctx context.Context) error) error {
		return chained(ctx, policies, do)
	}
}

func chained(ctx context.Context, policies []Policy, do func(ctx context.Context) error) error {
	if len(policies) == 0 {
		return do(ctx)
	}
	return policies[0](ctx, func(ctx context.Context) error { return chained(ctx, policies[1:], do) })
}
