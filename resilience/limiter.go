package resilience

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/failsafe-go/failsafe-go/adaptivelimiter"
	"github.com/failsafe-go/failsafe-go/ratelimiter"
)

// Rate lets at most so many pieces of work begin in each period. One too many
// waits for wait at most, and is refused with ErrLimited, at once, when that
// would not do.
func Rate(most uint, period, wait time.Duration) Policy {
	limiter := ratelimiter.NewBursty[any](most, period)
	return func(ctx context.Context, do func(ctx context.Context) error) error {
		err := limiter.AcquirePermitWithMaxWait(ctx, wait)
		if errors.Is(err, ratelimiter.ErrExceeded) {
			return ErrLimited
		}
		if err != nil {
			return ended(ctx, err)
		}
		return do(ctx)
	}
}

// AdaptiveOptions are the settings of Adaptive. The zero value is useful.
type AdaptiveOptions struct {
	// Least, Most and Begin bound how much work runs at once, and say with how
	// much it begins. Default: 1, 200 and 20.
	Least, Most, Begin uint
}

// Adaptive lets as much work run at once as can without taking longer than
// usual: it watches how long work takes, allows less while that grows and more
// while it does not. What is too much is refused with ErrFull at once.
func Adaptive(o AdaptiveOptions) Policy {
	limiter := adaptivelimiter.NewBuilder[any]().
		WithLimits(cmp.Or(o.Least, 1), cmp.Or(o.Most, 200), cmp.Or(o.Begin, 20)).Build()
	return func(ctx context.Context, do func(ctx context.Context) error) error {
		permit, ok := limiter.TryAcquirePermit()
		if !ok {
			return ErrFull
		}
		whole := false
		defer func() {
			if whole {
				permit.Record()
			} else {
				permit.Drop() // cut short, it says nothing of how long it takes
			}
		}()
		err := do(ctx)
		whole = ctx.Err() == nil
		return err
	}
}
