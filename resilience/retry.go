package resilience

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"
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
	attempts := cmp.Or(o.Attempts, 3)
	first, last := cmp.Or(o.First, 50*time.Millisecond), cmp.Or(o.Last, time.Second)
	return func(ctx context.Context, do func(ctx context.Context) error) error {
		delay := first
		for made := 1; ; made++ {
			err := do(ctx)
			if err == nil || made >= attempts || o.Again != nil && !o.Again(err) || !pause(ctx, jittered(delay, 0.5)) {
				return err
			}
			delay = max(first, min(2*delay, last))
		}
	}
}

// pause waits, and returns false when ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// jittered returns d, longer or shorter by a share of it at most, so that what
// failed together does not come back together.
func jittered(d time.Duration, share float64) time.Duration {
	return time.Duration(float64(d) * (1 - share + 2*share*rand.Float64()))
}
