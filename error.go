package enoki

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/resilience"
)

// Code says what kind of failure an error is. It travels with the error and
// becomes a field on the wire, an HTTP status and an exit code. A Code is an
// error too, so that errors.Is(err, enoki.NotFound) tells it.
type Code string

// The codes. A handler returns those of the first group; Enoki itself returns
// the others.
const (
	InvalidArgument    Code = "invalid_argument"    // the arguments can never work
	NotFound           Code = "not_found"           // the thing asked for is not there
	AlreadyExists      Code = "already_exists"      // the thing to make is there already
	FailedPrecondition Code = "failed_precondition" // not in this state
	PermissionDenied   Code = "permission_denied"   // known, but not allowed
	Unauthenticated    Code = "unauthenticated"     // not known
	ResourceExhausted  Code = "resource_exhausted"  // a quota or limit is used up
	Unavailable        Code = "unavailable"         // may work later
	Internal           Code = "internal"            // a fault of the service, also a panic
	Unknown            Code = "unknown"             // an error without a code

	Canceled           Code = "canceled"            // the caller lost interest
	DeadlineExceeded   Code = "deadline_exceeded"   // no answer in time
	MalformedRequest   Code = "malformed_request"   // the request is not one
	IncorrectSignature Code = "incorrect_signature" // arguments do not fit the method
	MethodNotFound     Code = "method_not_found"    // the service has no such method
	UnknownService     Code = "unknown_service"     // the broker knows no such service
	NotDelivered       Code = "not_delivered"       // see broker.ErrNotDelivered
	UnknownOutcome     Code = "unknown_outcome"     // see broker.ErrUnknownOutcome
	Blocked            Code = "blocked"             // see broker.ErrBlocked
)

// codeRow is what a Code becomes elsewhere.
type codeRow struct {
	status int    // HTTP
	exit   int    // of a process
	class  string // exc_type on the wire: the name of a Python class
	path   string // exc_path on the wire: its module and name
	onward Code   // of a code that speaks of one hop only: what it is on the next
}

const statusClientClosedRequest = 499 // nginx's, the usual one for a caller who left

func row(status, exit int, class string) codeRow {
	return codeRow{status: status, exit: exit, class: class, path: "enoki." + class}
}

func hopRow(status, exit int, class, module string, onward Code) codeRow {
	return codeRow{status: status, exit: exit, class: class, path: module + "." + class, onward: onward}
}

// codes is the one table of what a code means outside; read only.
var codes = map[Code]codeRow{
	InvalidArgument:    row(http.StatusBadRequest, 3, "InvalidArgument"),
	NotFound:           row(http.StatusNotFound, 4, "NotFound"),
	AlreadyExists:      row(http.StatusConflict, 5, "AlreadyExists"),
	FailedPrecondition: row(http.StatusConflict, 5, "FailedPrecondition"),
	PermissionDenied:   row(http.StatusForbidden, 6, "PermissionDenied"),
	Unauthenticated:    row(http.StatusUnauthorized, 6, "Unauthenticated"),
	ResourceExhausted:  row(http.StatusTooManyRequests, 7, "ResourceExhausted"),
	Unavailable:        row(http.StatusServiceUnavailable, 7, "Unavailable"),
	Internal:           row(http.StatusInternalServerError, 1, "Internal"),
	Unknown:            row(http.StatusInternalServerError, 1, "Error"),
	Canceled:           row(statusClientClosedRequest, 130, "Canceled"),
	DeadlineExceeded:   row(http.StatusGatewayTimeout, 124, "DeadlineExceeded"),
	MalformedRequest:   hopRow(http.StatusBadRequest, 3, "MalformedRequest", "nameko.exceptions", Internal),
	IncorrectSignature: hopRow(http.StatusBadRequest, 3, "IncorrectSignature", "nameko.exceptions", Internal),
	MethodNotFound:     hopRow(http.StatusNotFound, 4, "MethodNotFound", "nameko.exceptions", Internal),
	UnknownService:     hopRow(http.StatusServiceUnavailable, 4, "UnknownService", "nameko.exceptions", Unavailable),
	NotDelivered:       hopRow(http.StatusBadGateway, 7, "NotDelivered", "enoki", Unavailable),
	UnknownOutcome:     hopRow(http.StatusBadGateway, 8, "UnknownOutcome", "enoki", Unavailable),
	Blocked:            hopRow(http.StatusServiceUnavailable, 7, "Blocked", "enoki", Unavailable),
}

// Error returns the code as text.
func (c Code) Error() string { return string(c) }

func (c Code) row() codeRow {
	if r, ok := codes[c]; ok {
		return r
	}
	return codes[Unknown]
}

// HTTPStatus returns the status that a response with this error has: 500 for
// a code that Enoki does not know.
func (c Code) HTTPStatus() int { return c.row().status }

// ExitCode returns the code that a process ends with for this error:
//
//	0 none   1 failure   3 bad request   4 not found   5 conflict   6 denied
//	7 unavailable   8 outcome unknown   124 deadline exceeded   130 canceled
//
// 2 is left for wrong usage of a command.
func (c Code) ExitCode() int {
	if c == "" {
		return 0
	}
	return c.row().exit
}

// Error is an error with a code, in the form in which it crosses the wire. A
// handler may return one; a call returns one whatever the handler returned,
// also when both are in the same process.
type Error struct {
	Code    Code
	Type    string // the name of the error's class, Nameko's exc_type
	Path    string // the class with its module, Nameko's exc_path
	Args    []any  // Nameko's exc_args; text, lists and maps of text once they have crossed the wire
	Message string // Nameko's value

	remote bool  // came from the other side of a call
	unsent bool  // what was to be sent can't be encoded
	cause  error // on this side of the wire only
}

// Errorf returns an error with a code and a message made as by fmt.Errorf; %w
// keeps a cause for errors.Is and errors.As on this side of the wire.
func Errorf(code Code, format string, a ...any) *Error {
	text := fmt.Errorf(format, a...)
	return &Error{Code: code, Message: text.Error(), cause: errors.Unwrap(text)}
}

// Error returns the message, with the class before it when the error came
// from the other side of a call.
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

// nilError is the text of an *Error that is nil and yet an error: an error holds
// its type.
const nilError = "a nil *enoki.Error was returned as an error; where there is none, return nil from a function whose result is of type error"

// Unwrap returns the cause, if there is one on this side of the wire.
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

// code returns the code of e, which is Internal for a nil one: somebody's
// mistake.
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

// RelayedCode returns the code under which a handler's error goes on to who
// called the handler, or to the client of an HTTP route. It is that of the
// error, unless it speaks of a call that the handler made itself, and would say
// something false about the caller's own: MethodNotFound, IncorrectSignature,
// MalformedRequest, and what can't be encoded, are a fault of the handler and so
// Internal; UnknownService, NotDelivered, UnknownOutcome, Blocked, and Canceled
// by the other side, are Unavailable.
func RelayedCode(err error) (code Code) {
	defer func() {
		if recover() != nil {
			code = Internal
		}
	}()
	code = codeOf(err)
	if onward := code.row().onward; onward != "" {
		return onward
	}
	e := find(err)
	switch {
	case e != nil && e.unsent:
		return Internal
	case e != nil && e.remote && code == Canceled:
		return Unavailable
	}
	return code
}

// CodeOf returns the code of err: "" for nil, and Unknown for an error
// without a code. It is Internal for an error whose methods panic, and for a
// nil *Error that is not a nil error.
func CodeOf(err error) (code Code) {
	defer func() {
		if recover() != nil {
			code = Internal
		}
	}()
	return codeOf(err)
}

func codeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	var code Code
	switch {
	case errors.As(err, &e):
		return e.code()
	case errors.As(err, &code):
		return code
	case errors.Is(err, broker.ErrUnknownService):
		return UnknownService
	case errors.Is(err, broker.ErrUnknownOutcome):
		return UnknownOutcome
	case errors.Is(err, broker.ErrBlocked):
		return Blocked
	case errors.Is(err, broker.ErrInvalid):
		return InvalidArgument
	case errors.Is(err, broker.ErrNotDelivered):
		return NotDelivered
	case errors.Is(err, broker.ErrClosed), errors.Is(err, resilience.ErrOpen):
		return Unavailable
	case errors.Is(err, resilience.ErrFull), errors.Is(err, resilience.ErrLimited):
		return ResourceExhausted
	case errors.Is(err, broker.ErrGone):
		return NotFound
	case errors.Is(err, context.DeadlineExceeded):
		return DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return Canceled
	}
	return Unknown
}

// crossed is an error as the other side of a call has it: without its cause,
// its arguments as Nameko sends them.
func crossed(e *Error) *Error {
	args := make([]any, len(e.Args))
	for i, a := range e.Args {
		args[i] = safeArg(a, 0)
	}
	return &Error{Code: e.Code, Type: e.Type, Path: e.Path, Args: args, Message: e.Message, remote: true}
}

// safeArg turns an argument of an error into text, or into lists and maps of
// text, in the words that Python has for it: nothing else crosses the wire. It
// bounds the depth: a list may contain itself.
func safeArg(v any, depth int) any {
	if depth > maxArgDepth {
		return "..."
	}
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case []byte:
		return string(v)
	case error, fmt.Stringer:
		return fmt.Sprint(v)
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Slice, reflect.Array:
		list := make([]any, r.Len())
		for i := range list {
			list[i] = safeArg(r.Index(i).Interface(), depth+1)
		}
		return list
	case reflect.Map:
		table := make(map[string]any, r.Len())
		for key, value := range r.Seq2() {
			table[fmt.Sprint(safeArg(key.Interface(), depth+1))] = safeArg(value.Interface(), depth+1)
		}
		return table
	}
	return fmt.Sprint(v)
}

// maxArgDepth is how deep lists and maps may lie in an argument of an error.
const maxArgDepth = 20

// onWire gives an error the form in which it crosses the wire.
func onWire(err error) *Error {
	code := CodeOf(err)
	out := &Error{Code: code, Type: code.row().class, Path: code.row().path, Message: textOf(err)}
	if e := find(err); e != nil {
		out.remote = e.remote
		if e.Type != "" {
			out.Type, out.Path = e.Type, e.Path
		}
		out.Args = e.Args
		if e.remote {
			out.Message = e.Message
		}
	}
	if out.Args == nil {
		out.Args = []any{out.Message}
	}
	return out
}

// textOf returns the text of an error that a handler made, and says so when
// its Error method panics: the net for panics is not around this any more.
func textOf(err error) (text string) {
	defer func() {
		if p := recover(); p != nil {
			text = fmt.Sprintf("[the text of a %T failed: %v]", err, p)
		}
	}()
	return err.Error()
}
