package enoki

import (
	"context"
	"log/slog"
	"reflect"

	"github.com/enoki-go/enoki/fault"
)

// logPanic logs the stack of an error that a panic became, unless err is
// another one.
func logPanic(ctx context.Context, log *slog.Logger, what string, err error) {
	if stack := fault.PanicStack(err); stack != "" {
		log.ErrorContext(ctx, what+" panicked", "call", CallID(ctx), "panic", fault.Text(err), "stack", stack)
	}
}

// safely runs code of a user's that is no handler. A panic is an error, and its
// stack is in the log.
func safely(log *slog.Logger, what string, fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.Panicked(p)
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
	defer fault.Rescue(&err)
	return fn()
}
