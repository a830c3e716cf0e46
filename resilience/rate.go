package resilience

import (
	"context"
	"sync"
	"time"
)

// Rate lets at most most pieces of work begin in each period. Further work
// waits for the next period, for wait at the longest. If that is not long
// enough, it is refused with ErrLimited at once.
func Rate(most uint, period, wait time.Duration) Policy {
	r := &rate{most: int64(most), period: period}
	return func(ctx context.Context, do func(ctx context.Context) error) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		delay, ok := r.take(time.Now(), wait)
		if !ok {
			return ErrLimited
		}
		if delay > 0 && !pause(ctx, delay) {
			return ctx.Err()
		}
		return do(ctx)
	}
}

// rate counts the work that may begin. A place that was taken stays taken, even
// if its work gives up while it waits.
type rate struct {
	most   int64
	period time.Duration

	mu    sync.Mutex // guards the fields below
	begun time.Time  // when the period of the next place begins
	taken int64      // how many of that period's places are taken
}

// take takes the next place and returns the delay until it begins. It takes
// none if the delay is longer than wait.
func (r *rate) take(now time.Time, wait time.Duration) (delay time.Duration, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	begun, taken := r.begun, r.taken
	if passed := now.Sub(begun); passed >= r.period {
		begun, taken = now, 0
		if !r.begun.IsZero() {
			begun = now.Add(-(passed % r.period))
		}
	}
	if taken >= r.most {
		begun, taken = begun.Add(r.period), 0
	}
	if delay = max(0, begun.Sub(now)); delay > wait || r.most == 0 {
		return 0, false
	}
	r.begun, r.taken = begun, taken+1
	return delay, true
}
