package memory

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/enoki-go/enoki/broker"
)

// lock is a name that can be held. hub.mu guards it.
type lock struct {
	state   []byte
	holder  *held   // nil while it is free
	waiting []*held // in the order in which they came
}

// held implements broker.Lock. At first it waits for its lock.
type held struct {
	link *Broker
	lock *lock
	got  chan struct{} // closed, with hub.mu held, once the lock is held
	lost chan struct{} // closed, with hub.mu held, once the lock is no longer held
}

// Lock implements broker.Broker. A lock is lost only when its link is closed.
func (b *Broker) Lock(ctx context.Context, name string) (broker.Lock, error) {
	if err := broker.CheckLock(name); err != nil {
		return nil, err
	}
	if err := b.lock(ctx); err != nil {
		return nil, err
	}
	h := &held{link: b, lock: b.hub.lockOf(name), got: make(chan struct{}), lost: make(chan struct{})}
	h.lock.waiting = append(h.lock.waiting, h)
	h.lock.next()
	b.hub.mu.Unlock()

	select {
	case <-h.got:
		return h, nil
	case <-ctx.Done():
		h.Release()
		return nil, ctx.Err()
	case <-b.closed:
		h.Release() // it may still wait
		return nil, broker.ErrClosed
	}
}

// lockOf returns the lock of that name. hub.mu must be held.
func (h *hub) lockOf(name string) *lock {
	l := h.locks[name]
	if l == nil {
		l = &lock{}
		h.locks[name] = l
	}
	return l
}

// next gives a free lock to the first one that waits. hub.mu must be held.
func (l *lock) next() {
	for l.holder == nil && len(l.waiting) > 0 {
		first := l.waiting[0]
		l.waiting = l.waiting[1:]
		if first.link.err() == nil {
			l.holder = first
			close(first.got)
		}
	}
}

// State implements broker.Lock.
func (h *held) State() []byte {
	h.link.hub.mu.Lock()
	defer h.link.hub.mu.Unlock()
	return bytes.Clone(h.lock.state)
}

// Save implements broker.Lock.
func (h *held) Save(ctx context.Context, state []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := broker.CheckLockState(state); err != nil {
		return err
	}
	h.link.hub.mu.Lock()
	defer h.link.hub.mu.Unlock()
	if h.lock.holder != h {
		return fmt.Errorf("save: %w", broker.ErrLockLost)
	}
	h.lock.state = bytes.Clone(state)
	return nil
}

// Lost implements broker.Lock.
func (h *held) Lost() <-chan struct{} { return h.lost }

// Release implements broker.Lock.
func (h *held) Release() {
	h.link.hub.mu.Lock()
	defer h.link.hub.mu.Unlock()
	h.release()
}

// release gives up the lock. hub.mu must be held.
func (h *held) release() {
	h.lock.waiting = slices.DeleteFunc(h.lock.waiting, func(other *held) bool { return other == h })
	if h.lock.holder != h {
		return
	}
	h.lock.holder = nil
	close(h.lost)
	h.lock.next()
}

// releaseAll gives up all locks of link. hub.mu must be held.
func (h *hub) releaseAll(link *Broker) {
	for _, l := range h.locks {
		if l.holder != nil && l.holder.link == link {
			l.holder.release()
		}
	}
}
