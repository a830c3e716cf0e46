package fault

import (
	"context"
	"errors"
	"net/http"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/resilience"
)

// Code says what kind of failure an error is. It travels with the error and
// becomes a field on the wire, an HTTP status and an exit code. A Code is an
// error too, so that errors.Is(err, fault.NotFound) tells it.
type Code string

// The codes. Handlers return those of the first group; Enoki returns those of the
// second.
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
