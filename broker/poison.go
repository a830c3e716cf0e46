package broker

import "fmt"

// A message may end its process, or never be settled for another reason. It
// would then come again for ever. At first it is delivered like any other
// message. Once it has come AttemptsBeside times without an outcome, it is
// suspect. From then on the broker notes each start before it begins, and a
// process runs only one suspect at a time. An innocent message that merely ran
// beside the culprit is thus not counted. After AttemptsAlone such starts, Fail
// of the subscription or service settles the message, with ErrNoOutcome. That
// makes five deliveries, as many as an event has attempts by default. Any
// outcome ends the suspicion.
const (
	AttemptsBeside = 2
	AttemptsAlone  = 3
)

// NoOutcome returns the error of a message that is no longer started.
func NoOutcome() error {
	return fmt.Errorf("%w: it was delivered %d times, the last %d of them with no other suspect beside it, and each time the process ended, or lost the message, before its handler had returned",
		ErrNoOutcome, AttemptsBeside+AttemptsAlone, AttemptsAlone)
}
