// Package adaptive bounds how much work runs at once by what the work can bear.
// It is apart from package resilience for the library that it stands on.
package adaptive

import (
	"cmp"
	"context"

	"github.com/failsafe-go/failsafe-go/adaptivelimiter"

	"github.com/enoki-go/enoki/resilience"
)

// Options are the settings of Limit. The zero value is useful.
type Options struct {
	// Least, Most and Begin bound how much work runs at once, and say with how
	// much it begins. Default: 1, 200 and 20.
	Least, Most, Begin uint
}

// Limit lets as much work run at once as can without taking longer than usual:
// it watches how long work takes, allows less while that grows and more while it
// does not. What is too much is refused with resilience.ErrFull at once.
func Limit(o Options) resilience.Policy {
	limiter := adaptivelimiter.NewBuilder[any]().
		WithLimits(cmp.Or(o.Least, 1), cmp.Or(o.Most, 200), cmp.Or(o.Begin, 20)).Build()
	return func(ctx context.Context, do func(ctx context.Context) error) error {
		permit, ok := limiter.TryAcquirePermit()
		if !ok {
			return resilience.ErrFull
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
