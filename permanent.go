package enoki

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/fault"
)

// Permanent marks the error of an event handler as one that another attempt
// would end with, too: the event becomes a dead letter at once, also with
// [Requeue]. errors.Is and errors.As see through the mark, and its text
// and code stay. It does nothing to nil, and to the error of a call.
//
// An error with the code InvalidArgument needs no mark, unless the subscription
// has [Requeue]. Other codes do: NotFound, FailedPrecondition or PermissionDenied
// may pass when another service has done its part.
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

// kindOf names what kind of failure an error is: its code, or the class that
// it has in Python, or its Go type.
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

// unreadKind tells a body that is no JSON from one of another type, and from one
// whose decoding panicked.
func unreadKind(err error) string {
	if errors.Is(err, fault.ErrPanic) {
		return broker.KindPanic
	}
	if _, broken := errors.AsType[*json.SyntaxError](err); broken {
		return broker.KindUnreadable
	}
	return broker.KindWrongType
}
