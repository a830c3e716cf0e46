package enoki

import (
	"context"
	"sync"
	"time"
)

// deadline is a context with a deadline that starts its timer when somebody
// first waits for it. Most calls within a process end before anybody does, and
// a timer costs as much as all the rest of such a call.
type deadline struct {
	context.Context // the parent
	at              time.Time

	mu     sync.Mutex // guards what follows
	ended  bool
	timed  context.Context // made by the first Done
	cancel context.CancelFunc
}

// withDeadline returns a context that ends in the given time or with parent,
// and what ends it at once.
func withDeadline(parent context.Context, in time.Duration) (context.Context, *deadline) {
	d := new(deadline)
	d.begin(parent, in)
	return d, d
}

func (d *deadline) begin(parent context.Context, in time.Duration) {
	d.Context, d.at = parent, time.Now().Add(in)
	if earlier, ok := parent.Deadline(); ok && earlier.Before(d.at) {
		d.at = earlier
	}
}

func (d *deadline) Deadline() (time.Time, bool) { return d.at, true }

// Done hands over to a context of the standard library, whose children then
// find it as they find each other.
func (d *deadline) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.timed != nil:
	case d.ended:
		d.timed, d.cancel = context.WithCancel(d.Context)
		d.cancel()
	default:
		d.timed, d.cancel = context.WithDeadline(d.Context, d.at)
	}
	return d.timed.Done()
}

func (d *deadline) Err() error {
	d.mu.Lock()
	timed, ended := d.timed, d.ended
	d.mu.Unlock()
	if timed == nil && !ended && d.Context.Err() == nil && time.Now().Before(d.at) {
		return nil
	}
	d.Done() // from now on the answer stays the same
	return d.timed.Err()
}

func (d *deadline) Value(key any) any {
	d.mu.Lock()
	timed := d.timed
	d.mu.Unlock()
	if timed == nil {
		timed = d.Context
	}
	return timed.Value(key)
}

// end gives up what waits for the deadline; there may be none.
func (d *deadline) end() {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	if d.cancel != nil {
		d.cancel()
	}
}
