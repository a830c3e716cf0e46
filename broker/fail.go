package broker

import (
	"errors"
	"fmt"
)

// Failed returns the reply to a request whose handler has not replied. err says
// why. A driver sends the reply that Failed returns.
func (s *Service) Failed(method string, req *Message, err error) *Message {
	if s.Fail == nil {
		return &Message{ContentType: "text/plain", Body: []byte(err.Error())}
	}
	return s.Fail(method, req, err)
}

// Failed settles an event whose handler has not settled it. err says why. A
// driver follows the settlement that Failed returns.
func (s *Subscription) Failed(m *Message, err error) Settlement {
	if s.Fail == nil {
		return Settlement{Verdict: Reject, Reason: err.Error(), Kind: KindOf(err)}
	}
	return s.Fail(m, err)
}

// KindOf returns the kind of the dead letter for an event whose handler has not
// settled it.
func KindOf(err error) string {
	if errors.Is(err, ErrNoOutcome) {
		return KindNoOutcome
	}
	return KindPanic
}

// Ended returns the error of a function that did not return. p is what recover
// returned in a deferred function of its goroutine. It is nil if runtime.Goexit
// has ended the goroutine.
func Ended(p any) error {
	if p == nil {
		return ErrExited
	}
	return fmt.Errorf("%w: %v", ErrPanic, p)
}
