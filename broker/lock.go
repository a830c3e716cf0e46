package broker

import (
	"context"
	"fmt"
)

// Lock is a name that only one holder in the whole cluster has. It has a few
// bytes of state that outlive the holder. Its methods may be called
// concurrently.
//
// A holder has a lease of a few seconds. A holder that can't be reached for
// that long loses the lock and may learn of it late. If something must happen
// only once, save it before you do it: Save succeeds only for the holder.
type Lock interface {
	// State returns a copy of the state that was last saved under the name, by this
	// holder or an earlier one. It is nil if nothing was saved.
	State() []byte

	// Save replaces the saved state by state, which has at most 64 KiB. It blocks
	// until the broker has stored it. The error is ErrLockLost if the lock is no
	// longer held and nothing was saved. Otherwise it is the error of ctx,
	// ErrNotDelivered or ErrUnknownOutcome. After the error of ctx and after
	// ErrUnknownOutcome the state may still be saved; the State of the next holder
	// shows it.
	Save(ctx context.Context, state []byte) error

	// Lost returns a channel that is closed once the lock is no longer held, for
	// any reason, including Release.
	Lost() <-chan struct{}

	// Release gives up the lock, so that the next one gets it at once. It waits for
	// the broker for at most 2 s. A broker that can't be reached frees the lock
	// when the lease ends. Release may be called twice, and after the lock was
	// lost.
	Release()
}

const (
	maxLockName  = 150      // bytes; even escaped, it fits into what brokers take
	maxLockState = 64 << 10 // bytes
)

// CheckLock returns what is wrong with the name of a lock. Every driver refuses
// such a name in Lock.
func CheckLock(name string) error {
	if name == "" || len(name) > maxLockName {
		return fmt.Errorf("lock %.40q: the name has %d bytes; give it 1 to %d", name, len(name), maxLockName)
	}
	return nil
}

// CheckLockState returns what is wrong with the state of a lock. Every driver
// refuses such a state in Lock.Save.
func CheckLockState(state []byte) error {
	if len(state) > maxLockState {
		return fmt.Errorf("%w: the state of a lock has %d bytes; save at most %d", ErrNotDelivered, len(state), maxLockState)
	}
	return nil
}
