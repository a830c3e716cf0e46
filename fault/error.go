package fault

import (
	"context"
	"errors"
	"fmt"
)

// Error is an error with a code, in the form in which it crosses the wire. A
// handler may return one; a call returns one whatever the handler returned,
// also when both are in the same process.
type Error struct {
	Code    Code
	Type    string // the name of the error's class, Nameko's exc_type
	Path    string // the class with its module, Nameko's exc_path
	Args    []any  // Nameko's exc_args; text, lists and maps of text once they have crossed the wire
	Message string // Nameko's value

	remote bool  // came from the other side of a call
	unsent bool  // what was to be sent can't be encoded
	cause  error // on this side of the wire only
}

// Wrap returns an error with a code, a cause and a message that says it all;
// Errorf is for messages that include the text of their cause.
func Wrap(code Code, cause error, message string) *Error {
	return &Error{Code: code, Message: message, cause: cause}
}

// Unsent is Errorf for arguments or a payload that can't be encoded. A handler
// that fails with it has made a mistake of its own: see [RelayedCode].
func Unsent(format string, a ...any) *Error {
	e := Errorf(InvalidArgument, format, a...)
	e.unsent = true
	return e
}

// Errorf returns an error with a code and a message made as by fmt.Errorf; %w
// keeps a cause for errors.Is and errors.As on this side of the wire.
func Errorf(code Code, format string, a ...any) *Error {
	text := fmt.Errorf(format, a...)
	return &Error{Code: code, Message: text.Error(), cause: errors.Unwrap(text)}
}

// Error returns the message, with the class before it when the error came
// from the other side of a call.
func (e *Error) Error() string {
	switch {
	case e == nil:
		return nilError
	case e.remote && (e.Message == "" || e.Message == string(e.Code)):
		return e.Type
	case e.remote && e.Type != "":
		return e.Type + ": " + e.Message
	case e.Message == "":
		return string(e.Code)
	}
	return e.Message
}

// nilError is the text of an *Error that is nil and yet an error: an error holds
// its type.
const nilError = "a nil *enoki.Error was returned as an error; where there is none, return nil from a function whose result is of type error"

// Unwrap returns the cause, if there is one on this side of the wire.
func (e *Error) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.cause
}

// Is reports whether target is the error's code, or the error of package
// context that the code stands for.
func (e *Error) Is(target error) bool {
	own := e.code()
	switch target {
	case context.DeadlineExceeded:
		return own == DeadlineExceeded
	case context.Canceled:
		return own == Canceled
	}
	code, ok := target.(Code)
	return ok && code == own
}

// code returns the code of e, which is Internal for a nil one: somebody's
// mistake.
func (e *Error) code() Code {
	if e == nil {
		return Internal
	}
	return e.Code
}

// find returns the *Error in the chain of err, or nil.
func find(err error) *Error {
	e, _ := errors.AsType[*Error](err)
	return e
}

// Text returns the text of an error that somebody else has made. It says so when
// the Error method panics.
func Text(err error) (text string) {
	defer func() {
		if p := recover(); p != nil {
			text = fmt.Sprintf("[the text of a %T failed: %v]", err, p)
		}
	}()
	return err.Error()
}
