package wire

import (
	"errors"
	"fmt"
)

// Codes with which RabbitMQ closes a channel or a connection (AMQP 0-9-1, 1.2).
const (
	ContentTooLarge    = 311
	AccessRefused      = 403
	NotFound           = 404
	ResourceLocked     = 405
	PreconditionFailed = 406
	NotAllowed         = 530

	codeSuccess         = 200
	codeFrameError      = 501
	codeUnexpectedFrame = 505
)

// Error is why the broker has closed a channel or a connection.
type Error struct {
	Code   int    // such as NotFound
	Reason string // by the broker, for people
}

// Error returns the broker's reason and its reply code.
func (e *Error) Error() string { return fmt.Sprintf("%s (code %d)", e.Reason, e.Code) }

var (
	// ErrClosed says that this side has closed the channel or the connection.
	ErrClosed = errors.New("closed")

	// ErrSASL says that the broker offers none of the login methods.
	ErrSASL = errors.New("the broker offers none of the login methods")

	// ErrMalformed says that what was read is no AMQP 0-9-1, or that a peer does
	// not keep to it. It ends the connection.
	ErrMalformed = errors.New("this is no AMQP 0-9-1")

	// ErrSilent says that nothing was read for one and a half heartbeats.
	ErrSilent = errors.New("the broker was silent for too long")
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}
