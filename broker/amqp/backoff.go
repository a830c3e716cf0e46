package amqp

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	backoffLeast = 100 * time.Millisecond
	backoffMost  = 30 * time.Second

	// backoffSettled is how long something must have worked before the next
	// failure counts as the first again.
	backoffSettled = 5 * time.Second
)

// backoff is the wait between tries: the most it may be grows by half from
// 100 ms to 30 s, and full jitter spreads those who lost the same broker.
type backoff struct {
	most time.Duration // of the next wait
}

// wait returns false when ctx ends first. It waits no longer when early, which
// may be nil, is closed.
func (b *backoff) wait(ctx context.Context, atLeast time.Duration, early <-chan struct{}) bool {
	b.most = min(max(b.most*3/2, backoffLeast), backoffMost)
	t := time.NewTimer(atLeast + rand.N(b.most))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-early:
		return true
	case <-ctx.Done():
		return false
	}
}

// worked tells since when what is tried has worked until now.
func (b *backoff) worked(since time.Time) {
	if time.Since(since) >= backoffSettled {
		b.most = 0
	}
}
