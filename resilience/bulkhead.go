package resilience

import (
	"context"
	"time"
)

// Bulkhead lets at most that many pieces of work run at once. Further work
// waits for a place, for wait at the longest. Then it is refused with ErrFull.
func Bulkhead(most uint, wait time.Duration) Policy {
	places := make(chan struct{}, most)
	return func(ctx context.Context, do func(ctx context.Context) error) error {
		if err := enter(ctx, places, wait); err != nil {
			return err
		}
		defer func() { <-places }()
		return do(ctx)
	}
}

func enter(ctx context.Context, places chan<- struct{}, wait time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case places <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case places <- struct{}{}:
		return nil
	case <-timer.C:
		return ErrFull
	case <-ctx.Done():
		return ctx.Err()
	}
}
