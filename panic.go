package enoki

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"
)

// This file is the net under the code of users that runs outside a handler:
// the methods of their errors, arguments and results, their serializers, hooks
// and parts. A panic there ends a call, not the process.

// caughtPanic is the cause of an error that a panic became.
type caughtPanic struct{ stack []byte }

func (*caughtPanic) Error() string { return errPanic.Error() }

// Is makes the panic known as errPanic.
func (*caughtPanic) Is(target error) bool { return target == errPanic }

// errPanic stands for every panic that became an error.
var errPanic = errors.New("handler panicked")

// panicError is the error that a panic becomes. It must be called while the
// panic unwinds the stack, which it keeps.
func panicError(p any) *Error {
	return &Error{Code: Internal, Type: "Panic", Path: "enoki.Panic", Message: fmt.Sprint("panic: ", p),
		cause: &caughtPanic{debug.Stack()}}
}

// rescue makes a panic the error of the function that defers it.
func rescue(err *error) {
	if p := recover(); p != nil {
		*err = panicError(p)
	}
}

// logPanic logs the stack of an error that a panic became, unless err is
// another one.
func logPanic(ctx context.Context, log *slog.Logger, what string, err error) {
	if stack := PanicStack(err); stack != "" {
		log.ErrorContext(ctx, what+" panicked", "call", CallID(ctx), "panic", textOf(err), "stack", stack)
	}
}

// PanicStack returns the stack of the panic that err was made of, or "" for an
// error of another kind. It is for the logs of extensions.
func PanicStack(err error) string {
	if caught, ok := errors.AsType[*caughtPanic](err); ok {
		return string(caught.stack)
	}
	return ""
}

// safely runs code of a user's that is no handler. A panic is an error, and its
// stack is in the log.
func safely(log *slog.Logger, what string, fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicError(p)
			logPanic(context.Background(), log, what, err)
		}
	}()
	return fn()
}

// isNil tells whether v is nothing, or a nil of some type.
func isNil(v any) bool {
	if v == nil {
		return true
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Pointer, reflect.Func:
		return r.IsNil()
	}
	return false
}

// declared runs a part of a declaration, before there is a log.
func declared(fn func() error) (err error) {
	defer rescue(&err)
	return fn()
}

// probe asks a handler's error all that is asked of it later, so that a method
// of its own which panics does so within the net of the handler.
func (t errorTypes) probe(err error) {
	if err == nil {
		return
	}
	_ = err.Error()
	codeOf(err)
	errors.Is(err, errPanic)
	errors.Is(err, context.Canceled)
	isPermanent(err)
	for _, known := range t {
		known.args(err)
	}
}
