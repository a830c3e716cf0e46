package host

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
)

// readiness says whether a process should be given work. Its methods may be
// called concurrently.
type readiness struct {
	mu       sync.Mutex // guards all below
	broker   func() error
	dialing  error // why there is no broker yet
	started  bool
	draining bool
}

// check is one of the reasons to be ready or not.
type check struct {
	name string
	err  error
}

var (
	errNotConnected = errors.New("not connected yet")
	errStarting     = errors.New("starting")
	errDraining     = errors.New("stopping: no new work, please")
)

func (r *readiness) connected(ready func() error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broker = ready
}

// unreachable takes why an attempt to connect failed. Once there is a link, it
// speaks for itself.
func (r *readiness) unreachable(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dialing = fmt.Errorf("%w: %w", errNotConnected, err)
}

func (r *readiness) start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started = true
}

func (r *readiness) drain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.draining = true
}

// checks returns every check with its outcome now.
func (r *readiness) checks() []check {
	r.mu.Lock()
	broker, started, draining := r.broker, r.started, r.draining
	dialing := cmp.Or(r.dialing, errNotConnected)
	r.mu.Unlock()
	all := []check{{"broker", dialing}, {"services", nil}, {"drain", nil}}
	if broker != nil {
		all[0].err = broker()
	}
	if !started {
		all[1].err = errStarting
	}
	if draining {
		all[2].err = errDraining
	}
	return all
}

// err is nil when the process is ready.
func (r *readiness) err() error {
	for _, c := range r.checks() {
		if c.err != nil {
			return c.err
		}
	}
	return nil
}
