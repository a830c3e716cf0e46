package harness

import (
	"context"
	"sync"
	"time"
)

// order is what the client is asked for.
type order struct {
	Callers int           `json:"callers"`
	Time    time.Duration `json:"time"` // ns
	Profile string        `json:"profile,omitempty"`
}

// report is what the client answers.
type report struct {
	Begun   int64         `json:"begun"`   // Unix time in nanoseconds
	Elapsed time.Duration `json:"elapsed"` // ns
	Calls   int           `json:"calls"`
	Errors  int           `json:"errors"`
	Error   string        `json:"error,omitempty"` // the first one
	P50     time.Duration `json:"p50"`             // ns
	P99     time.Duration `json:"p99"`             // ns
	Mallocs uint64        `json:"mallocs"`
}

// load runs the operation in as many goroutines as the order says. Each waits
// for its own before it begins the next one.
func load(ctx context.Context, o order, op Operation) report {
	callers := make([]caller, o.Callers)
	mallocs, begun := mallocs(), time.Now()
	var group sync.WaitGroup
	for i := range callers {
		group.Go(func() { callers[i].call(ctx, begun.Add(o.Time), op) })
	}
	group.Wait()
	r := report{Begun: begun.UnixNano(), Elapsed: time.Since(begun), Mallocs: mallocsSince(mallocs)}
	r.sum(callers)
	return r
}

func (r *report) sum(callers []caller) {
	var all histogram
	for i := range callers {
		c := &callers[i]
		all.merge(&c.times)
		r.Calls += c.calls
		r.Errors += c.errors
		if r.Error == "" && c.err != nil {
			r.Error = c.err.Error()
		}
	}
	r.P50, r.P99 = all.quantile(0.50), all.quantile(0.99)
}

// caller is one of the goroutines.
type caller struct {
	calls, errors int
	err           error // the first one
	times         histogram
}

func (c *caller) call(ctx context.Context, end time.Time, op Operation) {
	for now := time.Now(); now.Before(end); {
		err := op(ctx)
		then := time.Now()
		if err == nil {
			c.calls++
			c.times.add(then.Sub(now))
		} else {
			c.fail(err)
		}
		now = then
	}
}

func (c *caller) fail(err error) {
	c.errors++
	if c.err == nil {
		c.err = err
	}
	time.Sleep(time.Millisecond) // a broken case must not burn the others' CPU
}
