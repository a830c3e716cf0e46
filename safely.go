package enoki

import "errors"

// mayAgain tells whether a call that has failed may be sent again: when it
// surely did not run, or when it may run twice and another try may go well.
func mayAgain(err error, idempotent bool) bool {
	if errors.Is(err, NotDelivered) {
		return true
	}
	return idempotent && (errors.Is(err, UnknownOutcome) || errors.Is(err, Unavailable))
}
