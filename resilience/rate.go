package resilience

import (
	"context"
	"sync"
	"time"
)

// Rate lets at most so many pieces of work begin in each period. One too many
// waits for wait at most, and is refused with ErrLimited, at once, when that
// would not do.
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

// rate counts what may begin. A place that is taken stays taken, also when its
// work gives up while it waits.
type rate struct {
	most   int64
	period time.Duration

	mu    sync.Mutex // guards what follows
	begun time.Time  // of the period in which the next place is
	taken int64      // of that period's places
}

// take takes the next place and returns how long it is until then. It takes none
// when that is longer than wait.
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
