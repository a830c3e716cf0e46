package fault

import (
	"context"
	"errors"
	"net/http"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/resilience"
)

// Code says what kind of failure an error is. It travels with the error. It
// becomes a field on the wire, an HTTP status and an exit code. A Code is also
// an error, so errors.Is(err, fault.NotFound) recognises it.
type Code string

// The codes. Handlers return the codes of the first group. Enoki returns the
// codes of the second group.
const (
	InvalidArgument    Code = "invalid_argument"    // the arguments can never work
	NotFound           Code = "not_found"           // the requested thing does not exist
	AlreadyExists      Code = "already_exists"      // the thing to create exists already
	FailedPrecondition Code = "failed_precondition" // not possible in the present state
	PermissionDenied   Code = "permission_denied"   // the caller is known, but not allowed
	Unauthenticated    Code = "unauthenticated"     // the caller is not known
	ResourceExhausted  Code = "resource_exhausted"  // a quota or limit is used up
	Unavailable        Code = "unavailable"         // may work later
	Internal           Code = "internal"            // a fault of the service, such as a panic
	Unknown            Code = "unknown"             // an error without a code

	Canceled           Code = "canceled"            // the caller has given up
	DeadlineExceeded   Code = "deadline_exceeded"   // no reply in time
	MalformedRequest   Code = "malformed_request"   // the message is not a valid request
	IncorrectSignature Code = "incorrect_signature" // the arguments do not fit the method
	MethodNotFound     Code = "method_not_found"    // the service has no such method
	UnknownService     Code = "unknown_service"     // the broker knows no such service
	NotDelivered       Code = "not_delivered"       // see broker.ErrNotDelivered
	UnknownOutcome     Code = "unknown_outcome"     // see broker.ErrUnknownOutcome
	Blocked            Code = "blocked"             // see broker.ErrBlocked
)

// codeRow is what a Code becomes elsewhere.
type codeRow struct {
	status int    // the HTTP status
	exit   int    // the exit code of a process
	class  string // exc_type on the wire: the name of a Python class
	path   string // exc_path on the wire: its module and name
	onward Code   // for a code that describes one hop: the code on the next hop
}

const statusClientClosedRequest = 499 // nginx's status for a client that closed the request

func row(status, exit int, class string) codeRow {
	return codeRow{status: status, exit: exit, class: class, path: "enoki." + class}
}

func hopRow(status, exit int, class, module string, onward Code) codeRow {
	return codeRow{status: status, exit: exit, class: class, path: module + "." + class, onward: onward}
}

// codes is the one table of what a code means outside. It is read only.
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

// HTTPStatus returns the HTTP status of a response with this error. It is 500
// for a code that Enoki does not know.
func (c Code) HTTPStatus() int { return c.row().status }

// ExitCode returns the code with which a process ends for this error:
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

// RelayedCode returns the code that the caller of a handler gets for the
// handler's error, or the client of an HTTP route. It is the error's own code,
// unless the error comes from a call that the handler itself has made. Some
// codes would then say something false about the outer call:
//
//   - MethodNotFound, IncorrectSignature, MalformedRequest and a value that can't
//     be encoded are mistakes of the handler. They become Internal.
//   - UnknownService, NotDelivered, UnknownOutcome, Blocked, and Canceled by the
//     other side become Unavailable.
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

// CodeOf returns the code of err. It is "" for nil and Unknown for an error
// without a code. It is Internal for an error whose methods panic, and for a
// nil *Error inside a non-nil error.
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
