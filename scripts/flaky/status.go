package main

import (
	"fmt"
	"time"
)

// keepStatus shows how far the round is, until it is told to stop.
func (r *rounds) keepStatus(n int, start time.Time) (stop func()) {
	every := time.Minute
	if r.terminal {
		every = time.Second
	}
	ticker, done, ended := time.NewTicker(every), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-ticker.C:
				r.showStatus(n, start)
			case <-done:
				return
			}
		}
	}()
	return func() {
		ticker.Stop()
		close(done)
		<-ended
	}
}

func (r *rounds) showStatus(n int, start time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	status := fmt.Sprintf("round %d of %d: %d packages done, %s", r.begun, n, r.ended, took(start))
	if !r.terminal {
		fmt.Fprintln(r.out, status)
		return
	}
	fmt.Fprintf(r.out, "\r\x1b[K%s", status)
	r.shown = true
}

// say writes where the status stood.
func (r *rounds) say(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.shown {
		fmt.Fprint(r.out, "\r\x1b[K")
		r.shown = false
	}
	fmt.Fprintf(r.out, format, args...)
}

func took(start time.Time) string { return time.Since(start).Round(time.Second).String() }
