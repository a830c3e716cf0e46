// Package resilience keeps one failing or overloaded part of a system from
// taking the others with it. It has retry, timeout, circuit breaker, bulkhead
// and rate limiter. Each is a Policy around a piece of work. Package adaptive
// below this one limits concurrency by how long the work takes.
//
// This package does not know what the work is. Package enoki makes middleware
// of a Policy, and uses some policies by default.
package resilience

import (
	"context"
	"errors"
)

// Policy runs a piece of work under a rule: it may refuse the work, bound its
// time or run it again. Its error is that of do or one of this package. A
// Policy may be used concurrently.
type Policy func(ctx context.Context, do func(ctx context.Context) error) error

// The errors of work that was refused and not started.
var (
	// ErrOpen: too much work has failed lately, see Breaker.
	ErrOpen = errors.New("circuit breaker is open")

	// ErrFull: as much work runs as is allowed, and no place came free in time, see
	// Bulkhead.
	ErrFull = errors.New("too much of it runs at once")

	// ErrLimited: work comes faster than is allowed, see Rate.
	ErrLimited = errors.New("it comes faster than allowed")
)

// Chain combines several policies into one; the first one is outermost.
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
