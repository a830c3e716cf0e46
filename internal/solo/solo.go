// Package solo runs work one at a time if it may end the process, so that it
// takes no other such work with it.
package solo

import (
	"context"
	"sync"
	"time"
)

// hold is how long one has the lane for itself. After that the next one may
// enter: a message that takes long must not hold up the others for as long.
const hold = 2 * time.Second

// Lane is passed by one at a time. It may be used concurrently.
type Lane struct{ taken chan struct{} }

// New returns an empty Lane.
func New() *Lane { return &Lane{make(chan struct{}, 1)} }

// Enter waits until the lane is empty, and no longer than patience or ctx. The
// caller calls leave when it is through; leave may be called twice, and has
// been called by itself after a while.
func (l *Lane) Enter(ctx context.Context, patience time.Duration) (leave func(), ok bool) {
	select {
	case l.taken <- struct{}{}:
		return l.entered(), true
	default:
	}
	if patience <= 0 {
		return nil, false
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case l.taken <- struct{}{}:
		return l.entered(), true
	case <-late.C:
	case <-ctx.Done():
	}
	return nil, false
}

func (l *Lane) entered() func() {
	leave := sync.OnceFunc(func() { <-l.taken })
	timer := time.AfterFunc(hold, leave)
	return func() {
		timer.Stop()
		leave()
	}
}
