package fault

import (
	"context"
	"errors"
	"fmt"
)

// Error is an error with a code, in the form that crosses the wire. A handler
// may return one. A call always returns one, whatever the handler returned,
// even when both run in the same process. An Error must not be changed once it
// is returned.
type Error struct {
	Code    Code
	Type    string // the name of the error's class, Nameko's exc_type
	Path    string // the class with its module, Nameko's exc_path
	Args    []any  // Nameko's exc_args; after crossing the wire: text, lists and maps of text
	Message string // Nameko's value

	remote bool  // it came from the other side of a call
	unsent bool  // the arguments or the payload can't be encoded
	cause  error // lost on the wire
}

// Wrap returns an error with a code and a cause. The message stands alone: the
// text of the cause is not added to it, unlike in Errorf.
func Wrap(code Code, cause error, message string) *Error {
	return &Error{Code: code, Message: message, cause: cause}
}

// Unsent is like Errorf, for arguments or a payload that can't be encoded. A
// handler that fails with it has made a mistake itself, see [RelayedCode].
func Unsent(format string, a ...any) *Error {
	e := Errorf(InvalidArgument, format, a...)
	e.unsent = true
	return e
}

// Errorf returns an error with a code. Format and arguments are those of
// fmt.Errorf. A cause given with %w stays visible to errors.Is and errors.As in
// this process.
func Errorf(code Code, format string, a ...any) *Error {
	text := fmt.Errorf(format, a...)
	return &Error{Code: code, Message: text.Error(), cause: errors.Unwrap(text)}
}

// Error returns the message. If the error came from the other side of a call,
// the class stands before the message.
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

// nilError is the text of a nil *Error inside a non-nil error.
const nilError = "a nil *enoki.Error was returned as an error; where there is none, return nil from a function whose result is of type error"

// Unwrap returns the cause, or nil. The cause does not cross the wire.
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

// code returns the code of e. A nil e is a programmer's mistake, so its code is
// Internal.
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

// Text returns the text of a user's error. If its Error method panics, the text
// says so.
func Text(err error) (text string) {
	defer func() {
		if p := recover(); p != nil {
			text = fmt.Sprintf("[the text of a %T failed: %v]", err, p)
		}
	}()
	return err.Error()
}
