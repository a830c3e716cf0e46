package broker

import "fmt"

// A message that ends its process, or is never settled for another reason,
// would come again for ever. It is delivered as any other at first. One that
// has come AttemptsBeside times without an outcome is suspect: each further start
// is noted at the broker before it begins, and suspects run one at a time in a
// process, so that one which only ran beside the culprit is not held to account.
// After AttemptsAlone such starts the subscription's, or the service's, Fail says
// what becomes of it, with ErrNoOutcome. Together that is five, as many as an
// event has attempts by default. An outcome of any kind ends the suspicion.
const (
	AttemptsBeside = 2
	AttemptsAlone  = 3
)

// NoOutcome returns the error of a message that is started no more.
func NoOutcome() error {
	return fmt.Errorf("%w: it was delivered %d times, the last %d of them with no other suspect beside it, and each time the process ended, or lost the message, before its handler had returned",
		ErrNoOutcome, AttemptsBeside+AttemptsAlone, AttemptsAlone)
}
