package enoki

import "github.com/enoki-go/enoki/fault"

// Code says what kind of failure an error is: see package fault.
type Code = fault.Code

// Error is an error with a code, in the form in which it crosses the wire: see
// package fault.
type Error = fault.Error

// The codes. Handlers return those of the first group; Enoki returns those of the
// second.
const (
	InvalidArgument    = fault.InvalidArgument    // the arguments can never work
	NotFound           = fault.NotFound           // the thing asked for is not there
	AlreadyExists      = fault.AlreadyExists      // the thing to make is there already
	FailedPrecondition = fault.FailedPrecondition // not in this state
	PermissionDenied   = fault.PermissionDenied   // known, but not allowed
	Unauthenticated    = fault.Unauthenticated    // not known
	ResourceExhausted  = fault.ResourceExhausted  // a quota or limit is used up
	Unavailable        = fault.Unavailable        // may work later
	Internal           = fault.Internal           // a fault of the service, also a panic
	Unknown            = fault.Unknown            // an error without a code

	Canceled           = fault.Canceled           // the caller lost interest
	DeadlineExceeded   = fault.DeadlineExceeded   // no answer in time
	MalformedRequest   = fault.MalformedRequest   // the request is not one
	IncorrectSignature = fault.IncorrectSignature // arguments do not fit the method
	MethodNotFound     = fault.MethodNotFound     // the service has no such method
	UnknownService     = fault.UnknownService     // the broker knows no such service
	NotDelivered       = fault.NotDelivered       // see broker.ErrNotDelivered
	UnknownOutcome     = fault.UnknownOutcome     // see broker.ErrUnknownOutcome
	Blocked            = fault.Blocked            // see broker.ErrBlocked
)

// Errorf returns an error with a code and a message made as by fmt.Errorf; %w
// keeps a cause for errors.Is and errors.As on this side of the wire.
func Errorf(code Code, format string, a ...any) *Error { return fault.Errorf(code, format, a...) }

// CodeOf returns the code of err: "" for nil, and Unknown for an error without a
// code.
func CodeOf(err error) Code { return fault.CodeOf(err) }

// Errors declares the error types that the service's handlers return and its
// calls get, beside those of Options.Errors.
func Errors(types ...fault.Type) Part {
	return partFunc(func(s *Service) error {
		s.errors = append(s.errors, types...)
		return fault.Types(types).Check()
	})
}
