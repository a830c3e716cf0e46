package enoki

import "github.com/enoki-go/enoki/fault"

// Code says what kind of failure an error is; see package fault.
type Code = fault.Code

// Error is an error with a code, in the form that crosses the wire; see package
// fault.
type Error = fault.Error

// The codes. Handlers return the codes of the first group. Enoki returns the
// codes of the second group.
const (
	InvalidArgument    = fault.InvalidArgument    // the arguments can never work
	NotFound           = fault.NotFound           // the requested thing does not exist
	AlreadyExists      = fault.AlreadyExists      // the thing to create exists already
	FailedPrecondition = fault.FailedPrecondition // not possible in the present state
	PermissionDenied   = fault.PermissionDenied   // the caller is known, but not allowed
	Unauthenticated    = fault.Unauthenticated    // the caller is not known
	ResourceExhausted  = fault.ResourceExhausted  // a quota or limit is used up
	Unavailable        = fault.Unavailable        // may work later
	Internal           = fault.Internal           // a fault of the service, such as a panic
	Unknown            = fault.Unknown            // an error without a code

	Canceled           = fault.Canceled           // the caller has given up
	DeadlineExceeded   = fault.DeadlineExceeded   // no reply in time
	MalformedRequest   = fault.MalformedRequest   // the message is not a valid request
	IncorrectSignature = fault.IncorrectSignature // the arguments do not fit the method
	MethodNotFound     = fault.MethodNotFound     // the service has no such method
	UnknownService     = fault.UnknownService     // the broker knows no such service
	NotDelivered       = fault.NotDelivered       // see broker.ErrNotDelivered
	UnknownOutcome     = fault.UnknownOutcome     // see broker.ErrUnknownOutcome
	Blocked            = fault.Blocked            // see broker.ErrBlocked
)

// Errorf returns an error with a code. Format and arguments are those of
// fmt.Errorf. A cause given with %w stays visible to errors.Is and errors.As in
// this process.
func Errorf(code Code, format string, a ...any) *Error { return fault.Errorf(code, format, a...) }

// CodeOf returns the code of err. It is "" for nil and Unknown for an error
// without a code.
func CodeOf(err error) Code { return fault.CodeOf(err) }

// Errors declares error types of the service, in addition to those of
// Options.Errors. Its handlers return them and its calls get them.
func Errors(types ...fault.Type) Part {
	return partFunc(func(s *Service) error {
		s.errors = append(s.errors, types...)
		return fault.Types(types).Check()
	})
}
