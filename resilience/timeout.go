package resilience

import (
	"context"
	"time"
)

// Timeout ends the context of the work after limit. It blocks until the work
// has returned, so work that ignores its context goes on.
func Timeout(limit time.Duration) Policy {
	return func(ctx context.Context, do func(ctx context.Context) error) error {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return do(ctx)
	}
}
