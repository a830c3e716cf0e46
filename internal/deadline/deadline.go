// Package deadline is a cheaper context.WithTimeout, for contexts that mostly
// end before anybody waits for their end.
package deadline

import (
	"context"
	"sync"
	"time"
)

// Context is a context with a deadline that starts its timer when somebody
// first waits for it. Most calls within a process and most HTTP requests end
// before anybody does, and a timer costs as much as all the rest of such a
// call. It may lie in what lives as long, to be made with it.
type Context struct {
	context.Context // the parent
	at              time.Time

	mu     sync.Mutex // guards what follows
	ended  bool
	timed  context.Context // made by the first Done
	cancel context.CancelFunc
}

// In returns a context that ends in the given time or with parent.
func In(parent context.Context, in time.Duration) *Context {
	d := new(Context)
	d.Begin(parent, in)
	return d
}

// Begin makes a new Context end in the given time or with parent.
func (d *Context) Begin(parent context.Context, in time.Duration) {
	d.Context, d.at = parent, time.Now().Add(in)
	if earlier, ok := parent.Deadline(); ok && earlier.Before(d.at) {
		d.at = earlier
	}
}

// Deadline returns when the context ends.
func (d *Context) Deadline() (time.Time, bool) { return d.at, true }

// Done hands over to a context of the standard library, whose children then
// find it as they find each other.
func (d *Context) Done() <-chan struct{} {
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

// Err returns why the context has ended, or nil.
func (d *Context) Err() error {
	d.mu.Lock()
	timed, ended := d.timed, d.ended
	d.mu.Unlock()
	if timed == nil && !ended && d.Context.Err() == nil && time.Now().Before(d.at) {
		return nil
	}
	d.Done() // from now on the answer stays the same
	return d.timed.Err()
}

// Value returns the parent's value.
func (d *Context) Value(key any) any {
	d.mu.Lock()
	timed := d.timed
	d.mu.Unlock()
	if timed == nil {
		timed = d.Context
	}
	return timed.Value(key)
}

// End ends the context and gives up its timer. A nil Context has none.
func (d *Context) End() {
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
