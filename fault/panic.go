package fault

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/enoki-go/enoki/broker"
)

// A panic in code of users ends a call, not the process: also in the methods of
// their errors, arguments and results, and in their serializers and hooks.

// caughtPanic is the cause of an error that a panic became.
type caughtPanic struct{ stack []byte }

func (*caughtPanic) Error() string { return ErrPanic.Error() }

// Is makes the panic known as ErrPanic.
func (*caughtPanic) Is(target error) bool { return target == ErrPanic }

// ErrPanic stands for every panic that became an error.
var ErrPanic = errors.New("handler panicked")

// Panicked is the error that a panic becomes. It must be called while the
// panic unwinds the stack, which it keeps.
func Panicked(p any) *Error {
	return &Error{Code: Internal, Type: "Panic", Path: "enoki.Panic", Message: fmt.Sprint("panic: ", p),
		cause: &caughtPanic{debug.Stack()}}
}

// Rescue makes a panic the error of the function that defers it.
func Rescue(err *error) {
	if p := recover(); p != nil {
		*err = Panicked(p)
	}
}

// PanicStack returns the stack of the panic that err was made of, or "" for an
// error of another kind. It belongs in a log.
func PanicStack(err error) string {
	if caught, ok := errors.AsType[*caughtPanic](err); ok {
		return string(caught.stack)
	}
	return ""
}

// Exited is the error of a handler that has ended its goroutine.
func Exited() *Error {
	return &Error{Code: Internal, Type: "Panic", Path: "enoki.Panic", Message: broker.ErrExited.Error(), cause: ErrPanic}
}

// WithText returns an error with another text, which is still a panic if err is
// one: for an err that shows what must not be shown.
func WithText(err error, text string) (out error) {
	defer func() {
		if recover() != nil { // of an As or Unwrap
			out = errors.New(text)
		}
	}()
	if caught, ok := errors.AsType[*caughtPanic](err); ok {
		return &Error{Code: Internal, Type: "Panic", Path: "enoki.Panic", Message: "panic: " + text, cause: caught}
	}
	return errors.New(text)
}

// Probe asks a handler's error all that is asked of it later, so that a method
// of its own which panics does so within the net of the handler.
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
