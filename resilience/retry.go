package resilience

import (
	"cmp"
	"context"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
)

// RetryOptions are the settings of Retry. The zero value is useful.
type RetryOptions struct {
	// Attempts is how often the work is done at most, the first time included.
	// Default: 3.
	Attempts int

	// First is the delay before the second attempt; it doubles from attempt to
	// attempt up to Last, and each is between half of that and one and a half.
	// Default: 50 ms and 1 s.
	First, Last time.Duration

	// Again tells whether work that ended with err may be done again. It is
	// asked once for each retry. Default: always. Work that is not safe to be
	// done twice must not be.
	Again func(err error) bool
}

// Retry does work again that has failed. When no attempt is left, or ctx ends,
// the error is that of the last attempt.
func Retry(o RetryOptions) Policy {
	again := o.Again
	if again == nil {
		again = func(error) bool { return true }
	}
	attempts := cmp.Or(o.Attempts, 3)
	first, last := cmp.Or(o.First, 50*time.Millisecond), cmp.Or(o.Last, time.Second)
	return func(ctx context.Context, do func(ctx context.Context) error) error {
		made, failed := 0, error(nil)
		policy := retrypolicy.NewBuilder[any]().
			WithMaxAttempts(attempts).WithBackoff(first, max(last, first+1)).WithJitterFactor(0.5).
			HandleIf(func(_ any, err error) bool { return err != nil && made < attempts && again(err) }).
			ReturnLastFailure().Build()
		err := failsafe.With(policy).WithContext(ctx).Run(func() error {
			made++
			failed = do(ctx)
			return failed
		})
		if err != nil && failed != nil {
			return failed // says more than that ctx has ended
		}
		return err
	}
}
