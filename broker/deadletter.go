package broker

import (
	"context"
	"slices"
	"time"
)

// DeadLetter is a message that could not be handled, kept to be looked at and
// to be retried or discarded. Message is as its sender sent it, with its id
// and context data.
type DeadLetter struct {
	ID      string `json:"id"`      // of the letter, unique on the broker
	Service string `json:"service"` // whose handler refused it
	Handler string `json:"handler"` // of an event; a call has the method here
	Source  string `json:"source"`  // of an event; empty for a call
	Event   string `json:"event"`   // of an event; empty for a call

	Kind     string    `json:"kind"`     // of the failure: an error's code or type, or one of the kinds below
	Reason   string    `json:"reason"`   // what the last attempt ended with, for people
	Attempts int       `json:"attempts"` // how many there were, since it was retried by hand if it was
	First    time.Time `json:"first"`    // when the first attempt of all began
	Died     time.Time `json:"died"`     // when the last one had failed
	Revived  int       `json:"revived"`  // how often it was retried by hand before

	Message *Message `json:"-"`
}

// Kinds of failures that are not errors of a handler.
const (
	KindPanic      = "panic"      // the handler panicked
	KindUnreadable = "unreadable" // the body can't be decoded
	KindWrongType  = "wrong_type" // the body is not of the type that was declared
	KindNoOutcome  = "no_outcome" // it was delivered several times, and no handler said what became of it
)

// HeldLetter is a dead letter in the hand of who loops over
// Broker.DeadLetters, until the loop goes on. One of its functions may be
// called, once.
type HeldLetter struct {
	DeadLetter

	// Retry sends the message back to the handler it came from, and to no
	// other one: with its id and context data, and with the body and the
	// content type of Message, which may have been changed. Its attempts start
	// anew. Retry returns nil once the broker has stored the message and has
	// forgotten the letter.
	//
	// The error is ErrGone when somebody else has retried or discarded it,
	// ErrNotDelivered when its handler's subscription is not there any more,
	// or one of the others of Emit. The letter is still there then; after
	// ErrUnknownOutcome the message may have gone back all the same.
	Retry func(ctx context.Context) error

	// Discard forgets the letter. The error is ErrGone when it is not there
	// any more, or that of ctx, or the broker's own.
	Discard func(ctx context.Context) error
}

// DeadLetterFilter picks dead letters. The zero value picks all; each field
// that is set leaves out those that differ.
type DeadLetterFilter struct {
	IDs     []string
	Service string
	Handler string
	Since   time.Time // died then or later
	Until   time.Time // died before
}

// Picks tells whether f lets l through.
func (f *DeadLetterFilter) Picks(l *DeadLetter) bool {
	return (len(f.IDs) == 0 || slices.Contains(f.IDs, l.ID)) &&
		(f.Service == "" || f.Service == l.Service) &&
		(f.Handler == "" || f.Handler == l.Handler) &&
		(f.Since.IsZero() || !l.Died.Before(f.Since)) &&
		(f.Until.IsZero() || l.Died.Before(f.Until))
}
