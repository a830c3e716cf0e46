package nats

import "sync"

// workers are up to max goroutines that run one function for each job. They
// are started when needed and stay for the next job: a new goroutine would
// have to grow its stack again in every JSON decoder.
//
// Waking a goroutine costs more than a small job does. So one worker at most
// is on its way to the jobs at any time, and wakes the next when it finds more
// than it takes: short jobs that come in a burst are done by the few who are
// awake, while a job that waits for something holds up none of the others.
type workers[T any] struct {
	max int
	run func(T)

	mu      sync.Mutex // guards what follows
	jobs    queue[T]   // taken, and to be started by workers that are free
	busy    int        // workers that run a job
	started int
	idle    []*worker // who wait, the last one to begin at the end
	waking  bool      // one is on its way to the jobs
	ended   bool
	wanted  int           // callers of do that wait for room
	room    chan struct{} // tells one of them that there may be some
	running sync.WaitGroup
}

// worker is one who may wait.
type worker struct{ wake chan struct{} }

func newWorkers[T any](max int, run func(T)) *workers[T] {
	return &workers[T]{max: max, run: run, room: make(chan struct{}, 1)}
}

// do gives job to a worker, waiting until one is free. It returns false if
// stop was closed before.
func (w *workers[T]) do(job T, stop <-chan struct{}) bool {
	done, _ := w.doOr(job, stop, nil)
	return done
}

// doOr is do that also ends with what comes from others.
func (w *workers[T]) doOr(job T, stop <-chan struct{}, others <-chan taker) (done bool, other taker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.busy+w.jobs.len() >= w.max {
		w.wanted++
		w.mu.Unlock()
		ended := true
		select {
		case <-w.room:
			ended = false
		case <-stop:
		case other = <-others:
		}
		w.mu.Lock()
		w.wanted--
		if ended {
			w.tellRoom() // in case that it was told to us
			return false, other
		}
	}
	w.begin(job)
	return true, other
}

// try gives job to a worker if one is free.
func (w *workers[T]) try(job T) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy+w.jobs.len() >= w.max {
		return false
	}
	w.begin(job)
	return true
}

// begin has a worker begin job. w.mu is held.
func (w *workers[T]) begin(job T) {
	w.jobs.push(job)
	w.wakeOne()
	w.tellRoom()
}

// free returns how many workers are free.
func (w *workers[T]) free() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.max - w.busy - w.jobs.len()
}

// tellRoom lets one go on who waits for room, if there is some. w.mu is held.
func (w *workers[T]) tellRoom() {
	if w.wanted == 0 || w.busy+w.jobs.len() >= w.max {
		return
	}
	select {
	case w.room <- struct{}{}:
	default: // is told already
	}
}

// wakeOne sends a worker to the jobs unless one is on its way. w.mu is held.
func (w *workers[T]) wakeOne() {
	if w.waking {
		return
	}
	if last := len(w.idle) - 1; last >= 0 {
		next := w.idle[last] // its stack is the warmest
		w.idle = w.idle[:last]
		w.waking = true
		next.wake <- struct{}{}
		return
	}
	if w.started < w.max {
		w.started++
		w.waking = true
		w.running.Go(w.work)
	}
}

// work is the life of a worker. It comes awake.
func (w *workers[T]) work() {
	self, returned := &worker{wake: make(chan struct{}, 1)}, false
	defer func() {
		if !returned { // a job has ended the goroutine
			w.replace()
		}
	}()
	w.mu.Lock()
	for {
		w.waking = false
		for w.jobs.len() > 0 {
			w.runNext()
		}
		if w.ended {
			w.mu.Unlock()
			returned = true
			return
		}
		w.idle = append(w.idle, self)
		w.mu.Unlock()
		<-self.wake
		w.mu.Lock()
	}
}

// replace lets another worker be started for one whose goroutine ends in its
// job.
func (w *workers[T]) replace() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy--
	w.started--
	if w.jobs.len() > 0 {
		w.wakeOne()
	}
	w.tellRoom()
}

// runNext takes a job and runs it. w.mu is held, but not meanwhile.
func (w *workers[T]) runNext() {
	job := w.jobs.pop()
	w.busy++
	if w.jobs.len() > 0 {
		w.wakeOne()
	}
	w.mu.Unlock()
	w.run(job)
	w.mu.Lock()
	w.busy--
	w.tellRoom()
}

// dismiss ends the workers once they have finished their jobs and returns a
// channel that is closed then. No do may run or follow.
func (w *workers[T]) dismiss() <-chan struct{} {
	w.mu.Lock()
	w.ended = true
	for _, idle := range w.idle {
		idle.wake <- struct{}{}
	}
	w.idle = nil
	w.mu.Unlock()
	gone := make(chan struct{})
	go func() {
		w.running.Wait()
		close(gone)
	}()
	return gone
}

// queue is first in, first out.
type queue[T any] struct {
	items []T
	head  int // of items: the next to come out
}

func (q *queue[T]) len() int { return len(q.items) - q.head }

func (q *queue[T]) first() T { return q.items[q.head] }

func (q *queue[T]) push(item T) {
	if q.head > 0 && len(q.items) == cap(q.items) { // room is at the front
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, item)
}

func (q *queue[T]) pop() T {
	var none T
	item := q.items[q.head]
	q.items[q.head] = none
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return item
}
