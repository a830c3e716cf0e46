// Package inbox has inboxes for event handlers: they remember which events
// were handled, so that one that comes twice is handled once. Which handler
// has one is said in package enoki, by its option Once.
package inbox

import (
	"context"
	"sync"
	"time"
)

// Keep is how long an inbox remembers unless told otherwise: longer than any
// retry of a broker or an emitter.
const Keep = 24 * time.Hour

// Memory is an inbox in this process: it forgets all when the process ends,
// and other instances don't know what it knows. It may be used concurrently,
// by any number of handlers.
type Memory struct {
	keep time.Duration

	mu      sync.Mutex // guards what follows
	done    map[string]struct{}
	oldest  []entry // of done, in the order of their age
	running map[string]chan struct{}
}

type entry struct {
	key string
	at  time.Time
}

// NewMemory returns an inbox that remembers for as long as keep; 0 is Keep.
func NewMemory(keep time.Duration) *Memory {
	if keep <= 0 {
		keep = Keep
	}
	return &Memory{keep: keep, done: map[string]struct{}{}, running: map[string]chan struct{}{}}
}

// Once implements enoki.Inbox.
func (m *Memory) Once(ctx context.Context, key string, do func(ctx context.Context) error) error {
	for {
		known, other := m.begin(key)
		switch {
		case known:
			return nil
		case other == nil:
			return m.run(ctx, key, do)
		}
		select {
		case <-other:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// begin tells whether key is done, or returns what is closed when the one that
// works on it ends; otherwise the caller works on it from now on.
func (m *Memory) begin(key string) (known bool, other <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(time.Now().Add(-m.keep))
	if _, known = m.done[key]; known {
		return true, nil
	}
	if running, ok := m.running[key]; ok {
		return false, running
	}
	m.running[key] = make(chan struct{})
	return false, nil
}

// run does the work and remembers it if it succeeds; a panic is no success.
func (m *Memory) run(ctx context.Context, key string, do func(ctx context.Context) error) (err error) {
	succeeded := false
	defer func() { m.end(key, succeeded) }()
	err = do(ctx)
	succeeded = err == nil
	return err
}

func (m *Memory) end(key string, succeeded bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.running[key])
	delete(m.running, key)
	if succeeded {
		m.done[key] = struct{}{}
		m.oldest = append(m.oldest, entry{key, time.Now()})
	}
}

// forget drops what was done before that time.
func (m *Memory) forget(before time.Time) {
	for len(m.oldest) > 0 && m.oldest[0].at.Before(before) {
		delete(m.done, m.oldest[0].key)
		m.oldest = m.oldest[1:]
	}
}
