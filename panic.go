package enoki

import (
	"context"
	"log/slog"
	"reflect"

	"github.com/enoki-go/enoki/fault"
)

// logPanic logs the stack of a panic that became err. It logs nothing for any
// other error.
func logPanic(ctx context.Context, log *slog.Logger, what string, err error) {
	if stack := fault.PanicStack(err); stack != "" {
		log.ErrorContext(ctx, what+" panicked", "call", CallID(ctx), "panic", fault.Text(err), "stack", stack)
	}
}

// safely runs a user's function that is not a handler. It turns a panic into an
// error and logs the stack.
func safely(log *slog.Logger, what string, fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.Panicked(p)
			logPanic(context.Background(), log, what, err)
		}
	}()
	return fn()
}

// isNil reports whether v is nil or holds a nil of some type.
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

// declared runs a part of a declaration. It logs nothing, because there is no
// logger yet.
func declared(fn func() error) (err error) {
	defer fault.Rescue(&err)
	return fn()
}
