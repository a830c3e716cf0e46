package broker

import (
	"context"
	"slices"
	"time"
)

// DeadLetter is a message that could not be handled. The broker keeps it until
// somebody retries or discards it. Message is as its sender sent it, with its
// id and its context data.
type DeadLetter struct {
	ID      string `json:"id"`      // the letter's id, unique on the broker
	Service string `json:"service"` // the service whose handler refused it
	Handler string `json:"handler"` // the event handler; for a call, the method
	Source  string `json:"source"`  // for an event; empty for a call
	Event   string `json:"event"`   // for an event; empty for a call

	Kind     string    `json:"kind"`     // the kind of failure: an error's code or type, or one of the kinds below
	Reason   string    `json:"reason"`   // how the last attempt ended, for people
	Attempts int       `json:"attempts"` // how many there were, since the last retry by hand if there was one
	First    time.Time `json:"first"`    // when the very first attempt began
	Died     time.Time `json:"died"`     // when the last attempt had failed
	Revived  int       `json:"revived"`  // how often it was retried by hand before

	Message *Message `json:"-"`
}

// Kinds of failures that are not errors of a handler.
const (
	KindPanic      = "panic"      // the handler panicked
	KindUnreadable = "unreadable" // the body can't be decoded
	KindWrongType  = "wrong_type" // the body is not of the declared type
	KindNoOutcome  = "no_outcome" // it was delivered several times, and no handler settled it
)

// HeldLetter is a dead letter inside a loop over Broker.DeadLetters. It is
// valid until the loop goes on. At most one of its functions may be called, and
// only once.
type HeldLetter struct {
	DeadLetter

	// Retry sends the message back to the handler that it came from, and to no
	// other one. It keeps its id and its context data. Its body and content type
	// are those of Message, which you may change before. Its attempts begin anew.
	// Retry blocks until the broker has stored the message and has forgotten the
	// letter.
	//
	// The error is ErrGone if somebody else has retried or discarded the letter. It
	// is ErrNotDelivered if the handler's subscription no longer exists. All other
	// errors are those of Emit. After an error the letter is still there. After
	// ErrUnknownOutcome the message may have gone back all the same.
	Retry func(ctx context.Context) error

	// Discard forgets the letter. The error is ErrGone if the letter is no longer
	// there, the error of ctx, or the broker's own error.
	Discard func(ctx context.Context) error
}

// DeadLetterFilter picks dead letters. The zero value picks all. Each field
// that is set leaves out the letters that differ.
type DeadLetterFilter struct {
	IDs     []string
	Service string
	Handler string
	Since   time.Time // died then or later
	Until   time.Time // died before
}

// Picks reports whether f lets l through.
func (f *DeadLetterFilter) Picks(l *DeadLetter) bool {
	return (len(f.IDs) == 0 || slices.Contains(f.IDs, l.ID)) &&
		(f.Service == "" || f.Service == l.Service) &&
		(f.Handler == "" || f.Handler == l.Handler) &&
		(f.Since.IsZero() || !l.Died.Before(f.Since)) &&
		(f.Until.IsZero() || l.Died.Before(f.Until))
}
