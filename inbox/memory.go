// Package inbox has inboxes for event handlers. An inbox remembers which events
// were handled, so that an event that comes twice is handled only once. A
// handler gets an inbox by the field Once of enoki.Subscription.
package inbox

import (
	"context"
	"sync"
	"time"
)

// Keep is how long an inbox remembers by default. It is longer than any retry
// of a broker or of an emit.
const Keep = 24 * time.Hour

// Memory is an inbox in this process. It forgets everything when the process
// ends, and other instances do not share it. It may be used concurrently, by
// any number of handlers.
type Memory struct {
	keep time.Duration

	mu      sync.Mutex // guards the fields below
	done    map[string]struct{}
	oldest  []entry // the entries of done, the oldest first
	running map[string]chan struct{}
}

type entry struct {
	key string
	at  time.Time
}

// NewMemory returns an inbox that remembers for the duration keep. 0 means
// Keep.
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

// begin reports whether key is done. If another caller works on it, other is
// closed when that one ends. If other is nil, the caller works on it from now
// on.
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

// run does the work, and remembers it if it succeeds. A panic is not a success.
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

// forget drops the entries from before that time.
func (m *Memory) forget(before time.Time) {
	for len(m.oldest) > 0 && m.oldest[0].at.Before(before) {
		delete(m.done, m.oldest[0].key)
		m.oldest = m.oldest[1:]
	}
}
