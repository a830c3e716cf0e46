// Package turns runs jobs. Jobs with the same key run one after another, in the
// order in which they were given. Jobs with different keys run concurrently.
package turns

import (
	"sync"
	"time"
)

// Job does a piece of work and returns Done, or how long it has to wait until
// it runs again. Jobs behind it, of its key, wait as long. One that ends its
// goroutine (runtime.Goexit) runs again at once, in another one.
type Job func() time.Duration

// Done is what a job returns that is not to run again.
const Done time.Duration = -1

// Turns run jobs. They may be used concurrently.
type Turns struct {
	slots   chan struct{} // has an item for each job that runs
	stopped chan struct{}

	mu      sync.Mutex       // guards what follows
	waiting map[string][]Job // by key, behind the one whose turn it is
	over    bool
	running sync.WaitGroup // of the keys that have jobs
}

// New returns Turns that run no more than workers jobs at once. A job that
// waits to run again does not count.
func New(workers int) *Turns {
	return &Turns{slots: make(chan struct{}, workers), stopped: make(chan struct{}), waiting: map[string][]Job{}}
}

// Do runs job when those of the same key that were given before are done. It
// does not wait. After Stop it drops job.
func (t *Turns) Do(key string, job Job) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return
	}
	if behind, busy := t.waiting[key]; busy {
		t.waiting[key] = append(behind, job)
		return
	}
	t.waiting[key] = nil
	t.start(key, job)
}

// Stop drops the jobs that have not begun or wait to run again. It may be
// called twice, and does not wait for the jobs that run.
func (t *Turns) Stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.over {
		t.over = true
		close(t.stopped)
	}
}

// Wait returns after Stop when no job runs any more.
func (t *Turns) Wait() {
	<-t.stopped
	t.running.Wait()
}

// run has the jobs of a key run until none waits.
func (t *Turns) run(key string, job Job) {
	exited := true
	defer func() {
		if exited {
			t.start(key, job)
		}
	}()
	for job != nil && t.finish(job) {
		job = t.next(key)
	}
	exited = false
}

func (t *Turns) start(key string, job Job) {
	t.running.Go(func() { t.run(key, job) })
}

// finish runs job until it is done; it returns false when Stop comes before.
func (t *Turns) finish(job Job) bool {
	for wait := time.Duration(0); wait >= 0; {
		if !t.pause(wait) || !t.enter() {
			return false
		}
		wait = t.once(job)
	}
	return true
}

// once runs job and leaves its slot.
func (t *Turns) once(job Job) time.Duration {
	defer func() { <-t.slots }()
	return job()
}

// enter takes a slot.
func (t *Turns) enter() bool {
	select {
	case <-t.stopped:
		return false
	case t.slots <- struct{}{}:
	}
	select {
	case <-t.stopped: // both were possible
		<-t.slots
		return false
	default:
		return true
	}
}

func (t *Turns) pause(wait time.Duration) bool {
	if wait == 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-t.stopped:
		return false
	}
}

// next returns the next job of a key, or ends its turns.
func (t *Turns) next(key string) Job {
	t.mu.Lock()
	defer t.mu.Unlock()
	behind := t.waiting[key]
	if len(behind) == 0 {
		delete(t.waiting, key)
		return nil
	}
	job := behind[0]
	behind[0] = nil // for the garbage collector
	t.waiting[key] = behind[1:]
	return job
}
