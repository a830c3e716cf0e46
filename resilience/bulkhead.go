package resilience

import (
	"context"
	"errors"
	"time"

	"github.com/failsafe-go/failsafe-go/bulkhead"
)

// Bulkhead lets at most so many pieces of work run at once. One that finds no
// place waits for wait at most, and then is refused with ErrFull.
func Bulkhead(most uint, wait time.Duration) Policy {
	places := bulkhead.New[any](most)
	return func(ctx context.Context, do func(ctx context.Context) error) error {
		err := places.AcquirePermitWithMaxWait(ctx, wait)
		if errors.Is(err, bulkhead.ErrFull) {
			return ErrFull
		}
		if err != nil {
			return ended(ctx, err)
		}
		defer places.ReleasePermit()
		return do(ctx)
	}
}

// ended prefers the error of ctx, when it has one.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
