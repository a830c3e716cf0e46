package enokitest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
)

// Captured holds the events of one type that were emitted on a kit. Its methods
// may be called concurrently.
type Captured[T any] struct {
	kit *Kit

	mu      sync.Mutex // guards the fields below
	events  []T
	taken   int // how many Next has returned
	changed chan struct{}
}

// Capture records the events that are emitted from now on. It returns once the
// subscription exists.
func Capture[T any](t testing.TB, k *Kit, event enoki.Event[T]) *Captured[T] {
	t.Helper()
	c := &Captured[T]{kit: k, changed: make(chan struct{})}
	name := fmt.Sprintf("capture-%d", k.captures.Add(1))
	k.run(t, k.options, []*enoki.Service{enoki.NewService(name, enoki.On(event, c.take))})
	return c
}

func (c *Captured[T]) take(_ context.Context, payload T) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, payload)
	close(c.changed)
	c.changed = make(chan struct{})
	return nil
}

// All returns the payloads that have come so far, in the order in which they
// came.
func (c *Captured[T]) All() []T {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.events)
}

// Next returns the next event. It waits for it until the kit's Patience is over
// and then fails the test. Each event is returned only once.
func (c *Captured[T]) Next(t testing.TB) T {
	t.Helper()
	late := time.NewTimer(c.kit.Patience)
	defer late.Stop()
	for {
		c.mu.Lock()
		changed := c.changed
		if c.taken < len(c.events) {
			c.taken++
			payload := c.events[c.taken-1]
			c.mu.Unlock()
			return payload
		}
		c.mu.Unlock()
		select {
		case <-changed:
		case <-late.C:
			t.Fatalf("waited %v in vain for an event; %d have come before", c.kit.Patience, len(c.All()))
		}
	}
}
