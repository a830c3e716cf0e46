package enoki

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/fault"
)

// Permanent marks an error of an event handler as permanent: another attempt
// would fail in the same way. The event becomes a dead letter at once, even
// with [Requeue]. errors.Is and errors.As see through the mark. The error keeps
// its text and its code. Permanent does nothing to nil or to the error of a
// call.
//
// An error with the code InvalidArgument needs no mark, unless the subscription
// has [Requeue]. Other codes need one. NotFound, FailedPrecondition and
// PermissionDenied, for instance, may pass once another service has done its
// part.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanent{err}
}

type permanent struct{ error }

func (p *permanent) Unwrap() error { return p.error }

func isPermanent(err error) bool {
	_, marked := errors.AsType[*permanent](err)
	return marked
}

// kindOf returns the kind of a failure: the error's code, or its class in
// Python, or its Go type.
func kindOf(err error) string {
	if errors.Is(err, fault.ErrPanic) {
		return broker.KindPanic
	}
	if code := CodeOf(err); code != Unknown {
		return string(code)
	}
	if e, ok := errors.AsType[*Error](err); ok && e.Type != "" {
		return e.Type
	}
	for ; err != nil; err = errors.Unwrap(err) {
		name := fmt.Sprintf("%T", err)
		if !strings.HasPrefix(name, "*fmt.") && !strings.HasPrefix(name, "*errors.") && !isMark(err) {
			return name
		}
	}
	return string(Unknown)
}

func isMark(err error) bool {
	_, mark := err.(*permanent)
	return mark
}

// unreadKind returns why a body could not be decoded: it is not JSON, it has
// the wrong type, or its decoding panicked.
func unreadKind(err error) string {
	if errors.Is(err, fault.ErrPanic) {
		return broker.KindPanic
	}
	if _, broken := errors.AsType[*json.SyntaxError](err); broken {
		return broker.KindUnreadable
	}
	return broker.KindWrongType
}
