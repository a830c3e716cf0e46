package nats

import (
	"runtime/debug"

	"github.com/enoki-go/enoki/broker"
)

// Subjects go into the control line of NATS's protocol. The server ends the
// connection of a client that writes a longer one than 4 KiB, so what others
// have written must not become a subject without a look.
const (
	// maxSubject is the most of a message's subject and reply subject together
	// that leaves the line its room for sizes, in bytes.
	maxSubject = 4096 - 64

	// maxForeign is the most that an instance may say as its name, in bytes as a
	// token.
	maxForeign = 512
)

// guard is to be deferred by what reads something that others have written: a
// panic there is a line in the log, and *err where err is not nil.
func (d *Driver) guard(what, subject string, err *error) {
	p := recover()
	if p == nil {
		return
	}
	failure := broker.Ended(p)
	d.log.Error(what+" can't be read", "subject", subject, "error", failure, "stack", string(debug.Stack()))
	if err != nil {
		*err = failure
	}
}
