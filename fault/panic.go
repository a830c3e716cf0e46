package fault

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/enoki-go/enoki/broker"
)

// A panic in a user's code ends a call, not the process. That includes the
// methods of errors, arguments and results, as well as serializers and hooks.

// caughtPanic is the cause of an error that was made from a panic.
type caughtPanic struct{ stack []byte }

func (*caughtPanic) Error() string { return ErrPanic.Error() }

// Is reports that every caught panic is ErrPanic.
func (*caughtPanic) Is(target error) bool { return target == ErrPanic }

// ErrPanic is in the chain of every error that was made from a panic.
var ErrPanic = errors.New("handler panicked")

// Panicked returns the error for the panic p. Call it in the deferred function
// that recovers the panic: it keeps the stack.
func Panicked(p any) *Error {
	return &Error{Code: Internal, Type: "Panic", Path: "enoki.Panic", Message: fmt.Sprint("panic: ", p),
		cause: &caughtPanic{debug.Stack()}}
}

// Rescue turns a panic into the error of the function that defers it.
func Rescue(err *error) {
	if p := recover(); p != nil {
		*err = Panicked(p)
	}
}

// PanicStack returns the stack of the panic from which err was made, or "" for
// any other error. The stack belongs in a log.
func PanicStack(err error) string {
	if caught, ok := errors.AsType[*caughtPanic](err); ok {
		return string(caught.stack)
	}
	return ""
}

// Exited returns the error of a handler that has ended its goroutine.
func Exited() *Error {
	return &Error{Code: Internal, Type: "Panic", Path: "enoki.Panic", Message: broker.ErrExited.Error(), cause: ErrPanic}
}

// WithText returns an error with another text, for an err whose text must not
// be shown. If err is a panic, the result is one too.
func WithText(err error, text string) (out error) {
	defer func() {
		if recover() != nil { // an As or Unwrap method panicked
			out = errors.New(text)
		}
	}()
	if caught, ok := errors.AsType[*caughtPanic](err); ok {
		return &Error{Code: Internal, Type: "Panic", Path: "enoki.Panic", Message: "panic: " + text, cause: caught}
	}
	return errors.New(text)
}

// Probe calls the methods of a handler's error that are needed later. A method
// that panics then does so where the handler's panics are caught.
func (t Types) Probe(err error) {
	if err == nil {
		return
	}
	_ = err.Error()
	codeOf(err)
	errors.Is(err, ErrPanic)
	errors.Is(err, context.Canceled)
	for _, known := range t {
		known.args(err)
	}
}
