package nats

import "sync"

// workers are up to max goroutines that run one function for each job. They
// are started when needed and stay for the next job: a new goroutine would
// have to grow its stack again in every JSON decoder.
type workers[T any] struct {
	max  int
	run  func(T)
	jobs chan T // unbuffered: what is not started stays where it can be handed back

	mu      sync.Mutex // guards started
	started int
	running sync.WaitGroup
}

func newWorkers[T any](max int, run func(T)) *workers[T] {
	return &workers[T]{max: max, run: run, jobs: make(chan T)}
}

// do gives job to a worker, waiting until one is free. It returns false if
// stop was closed before.
func (w *workers[T]) do(job T, stop <-chan struct{}) bool {
	select {
	case w.jobs <- job:
		return true
	default:
	}
	if w.hire(job) {
		return true
	}
	select {
	case w.jobs <- job:
		return true
	case <-stop:
		return false
	}
}

// hire starts another worker with job, unless there are enough.
func (w *workers[T]) hire(job T) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.started == w.max {
		return false
	}
	w.started++
	w.running.Go(func() {
		w.run(job)
		for job := range w.jobs {
			w.run(job)
		}
	})
	return true
}

// dismiss ends the workers once they have finished their jobs and returns a
// channel that is closed then. No do may run or follow.
func (w *workers[T]) dismiss() <-chan struct{} {
	close(w.jobs)
	idle := make(chan struct{})
	go func() {
		w.running.Wait()
		close(idle)
	}()
	return idle
}
