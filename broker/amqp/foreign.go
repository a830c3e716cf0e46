package amqp

import (
	"log/slog"
	"runtime/debug"

	"github.com/enoki-go/enoki/broker"
)

// guard is to be deferred by what reads something that others have written: a
// panic there is a line in the log, and *err where err is not nil.
func guard(log *slog.Logger, what string, err *error) {
	p := recover()
	if p == nil {
		return
	}
	failure := broker.Ended(p)
	log.Error(what+" can't be read", "error", failure, "stack", string(debug.Stack()))
	if err != nil {
		*err = failure
	}
}
