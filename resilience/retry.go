package resilience

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"
)

// RetryOptions are the settings of Retry. The zero value is useful.
type RetryOptions struct {
	// Attempts is the largest number of attempts, including the first one. Default:
	// 3.
	Attempts int

	// First is the delay before the second attempt. The delay doubles from attempt
	// to attempt, up to Last. The actual delay is between half and one and a half
	// of that. Default: 50 ms and 1 s.
	First, Last time.Duration

	// Again reports whether work that failed with err may be done again. It is
	// called once before each retry. It must return false for work that is not safe
	// to do twice. Default: always true.
	Again func(err error) bool
}

// Retry does failed work again. It returns the error of the last attempt when
// no attempt is left or ctx ends.
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

// pause waits for d. It returns false if ctx ends first.
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

// jittered returns d, longer or shorter by at most that share. The jitter keeps
// work that failed together from coming back together.
func jittered(d time.Duration, share float64) time.Duration {
	return time.Duration(float64(d) * (1 - share + 2*share*rand.Float64()))
}
