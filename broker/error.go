package broker

import (
	"errors"
	"fmt"
)

// Errors of a message that was to be sent or settled. Drivers wrap them with
// the broker's own words. Use errors.Is to compare them.
var (
	// ErrUnknownService: the broker knows no service of that name. The request was
	// not delivered and never will be.
	ErrUnknownService = errors.New("unknown service")

	// ErrNotDelivered: the broker refused the message or could not route it. It was
	// not handled and never will be. Sending it again is safe.
	ErrNotDelivered = errors.New("not delivered")

	// ErrInvalid: the broker can never take this message. It is too large, or it
	// carries something that the broker's protocol can't carry. It was not sent,
	// and sending it again would fail in the same way. It is also an
	// ErrNotDelivered.
	ErrInvalid = fmt.Errorf("%w, and never will be", ErrNotDelivered)

	// ErrUnknownOutcome: the link was lost after the message was sent and before
	// the broker confirmed it or the reply came. The message may or may not have
	// been handled. Send it again only if handling it twice is safe.
	ErrUnknownOutcome = errors.New("outcome unknown: the link to the broker was lost meanwhile")

	// ErrBlocked: the broker takes no messages at the moment because of a memory or
	// disk alarm, and this lasted until the deadline. The message was not sent.
	ErrBlocked = errors.New("broker is blocked by a resource alarm")

	// ErrLockLost: another holder has the lock, or may take it at any moment.
	ErrLockLost = errors.New("lock is lost")

	// ErrClosed: the Broker was closed on this side.
	ErrClosed = errors.New("broker is closed")

	// ErrExited: a handler has ended its goroutine with runtime.Goexit instead of
	// returning. FailNow of package testing does that.
	ErrExited = errors.New("the handler ended its goroutine (runtime.Goexit) instead of returning")

	// ErrPanic: a handler has panicked, or the code that decodes its arguments.
	ErrPanic = errors.New("panic")

	// ErrTooLarge: a reply is larger than the broker takes. Its handler has run. A
	// request or event that is too large is ErrInvalid.
	ErrTooLarge = errors.New("the reply is too large for the broker")

	// ErrNoOutcome: a message was delivered several times without an outcome. Each
	// time its process ended, or lost the message before it was settled.
	ErrNoOutcome = errors.New("no outcome")

	// ErrGone: the dead letter is no longer there. Somebody else has retried or
	// discarded it.
	ErrGone = errors.New("the dead letter is gone: somebody else has retried or discarded it")
)
