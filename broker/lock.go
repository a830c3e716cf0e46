package broker

import (
	"context"
	"fmt"
)

// Lock is a name that one holder at a time has in the whole cluster, with a few
// bytes of state that outlive their holder. Its methods may be called
// concurrently.
//
// A holder that can't be reached for the length of its lease, which is a few
// seconds, loses the lock and may learn of it late. What must happen only once
// is therefore saved before it is done: Save succeeds for the holder alone.
type Lock interface {
	// State returns a copy of what was saved last under the name, by this
	// holder or an earlier one; nil if nothing was.
	State() []byte

	// Save keeps state, at most 64 KiB, in the place of what was saved before,
	// and returns when the broker has stored it. The error is ErrLockLost when
	// the lock is held no more and nothing was saved, the error of ctx,
	// ErrNotDelivered or ErrUnknownOutcome. After that of ctx and
	// ErrUnknownOutcome it may yet be saved: the State of who holds the lock
	// next tells.
	Save(ctx context.Context, state []byte) error

	// Lost returns a channel that is closed once the lock is held no more, for
	// whatever reason, Release among them.
	Lost() <-chan struct{}

	// Release gives up the lock, at once to one that waits for it. It waits for
	// the broker for at most 2 s; a broker that can't be reached learns of it by
	// the end of the lease. Release may be called twice, and after the lock was
	// lost.
	Release()
}

const (
	maxLockName  = 150      // bytes; escaped, it still fits into what brokers take
	maxLockState = 64 << 10 // bytes
)

// CheckLock returns what is wrong with the name of a lock. Every driver refuses
// it in Lock.
func CheckLock(name string) error {
	if name == "" || len(name) > maxLockName {
		return fmt.Errorf("lock %.40q: the name has %d bytes; give it 1 to %d", name, len(name), maxLockName)
	}
	return nil
}

// CheckLockState returns what is wrong with the state of a lock. Every driver
// refuses it in Lock.Save.
func CheckLockState(state []byte) error {
	if len(state) > maxLockState {
		return fmt.Errorf("%w: the state of a lock has %d bytes; save at most %d", ErrNotDelivered, len(state), maxLockState)
	}
	return nil
}
