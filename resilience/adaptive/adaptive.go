// Package adaptive limits how much work runs at once by how long the work
// takes. It is separate from package resilience because it needs a library that
// others should not have to import.
package adaptive

import (
	"cmp"
	"context"

	"github.com/failsafe-go/failsafe-go/adaptivelimiter"

	"github.com/enoki-go/enoki/resilience"
)

// Options are the settings of Limit. The zero value is useful.
type Options struct {
	// Least and Most bound how much work runs at once. Begin is the limit at the
	// start. Default: 1, 200 and 20.
	Least, Most, Begin uint
}

// Limit lets as much work run at once as is possible without taking longer than
// usual. It measures how long work takes. It lowers the limit while that time
// grows and raises it while the time stays the same. Work beyond the limit is
// refused with resilience.ErrFull at once.
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
				permit.Drop() // cut short, it says nothing about how long it takes
			}
		}()
		err := do(ctx)
		whole = ctx.Err() == nil
		return err
	}
}
