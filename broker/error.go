package broker

import (
	"errors"
	"fmt"
)

// What can become of a message that was to be sent. Drivers wrap them with
// the broker's own words; tell them by errors.Is.
var (
	// ErrUnknownService: the broker knows no service of that name, so the
	// request was not delivered and never will be.
	ErrUnknownService = errors.New("unknown service")

	// ErrNotDelivered: the broker refused the message or could not route
	// it. It has not been and will not be handled; sending it again is safe.
	ErrNotDelivered = errors.New("not delivered")

	// ErrInvalid: the broker can never take the message as it is: it is too
	// large, or carries what the broker's protocol can't. It was not sent, and
	// sending it again fails in the same way. It is ErrNotDelivered too.
	ErrInvalid = fmt.Errorf("%w, and never will be", ErrNotDelivered)

	// ErrUnknownOutcome: the link was lost after the message was sent and
	// before the broker confirmed it or the reply came. It may or may not
	// have been handled; send it again only if handling it twice is safe.
	ErrUnknownOutcome = errors.New("outcome unknown: the link to the broker was lost meanwhile")

	// ErrBlocked: the broker takes no messages at the moment (a memory or
	// disk alarm) and did not start to before the deadline. The message was
	// not sent.
	ErrBlocked = errors.New("broker is blocked by a resource alarm")

	// ErrLockLost: somebody else holds the lock by now, or may take it any
	// moment.
	ErrLockLost = errors.New("lock is lost")

	// ErrClosed: the Broker has been closed on this side.
	ErrClosed = errors.New("broker is closed")

	// ErrExited: a handler has ended its goroutine by runtime.Goexit, as FailNow
	// of package testing does, instead of returning.
	ErrExited = errors.New("the handler ended its goroutine (runtime.Goexit) instead of returning")

	// ErrPanic: a handler has panicked, or what was to be read before it.
	ErrPanic = errors.New("panic")

	// ErrTooLarge: a reply is larger than the broker takes. Its handler has run.
	// A message too large to be sent in the first place is ErrInvalid.
	ErrTooLarge = errors.New("the reply is too large for the broker")

	// ErrNoOutcome: a message was delivered several times without an outcome:
	// each time its process ended, or lost the message before it was settled.
	ErrNoOutcome = errors.New("no outcome")

	// ErrGone: the dead letter is not there any more; somebody else has
	// retried or discarded it.
	ErrGone = errors.New("the dead letter is gone: somebody else has retried or discarded it")
)
