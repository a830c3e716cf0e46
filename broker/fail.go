package broker

import (
	"errors"
	"fmt"
)

// Failed returns the reply to a request whose handler has given none; err
// says why. A driver calls it, and sends what it returns.
func (s *Service) Failed(method string, req *Message, err error) *Message {
	if s.Fail == nil {
		return &Message{ContentType: "text/plain", Body: []byte(err.Error())}
	}
	return s.Fail(method, req, err)
}

// Failed returns what becomes of an event whose handler has not said so; err
// says why. A driver calls it, and settles the event accordingly.
func (s *Subscription) Failed(m *Message, err error) Settlement {
	if s.Fail == nil {
		return Settlement{Verdict: Reject, Reason: err.Error(), Kind: KindOf(err)}
	}
	return s.Fail(m, err)
}

// KindOf returns the kind of the dead letter of a message whose handler has not
// said what becomes of it.
func KindOf(err error) string {
	if errors.Is(err, ErrNoOutcome) {
		return KindNoOutcome
	}
	return KindPanic
}

// Ended returns the error of a function that has not returned: p is what
// recover gave in a deferred function of its goroutine, and nil when
// runtime.Goexit has ended that.
func Ended(p any) error {
	if p == nil {
		return ErrExited
	}
	return fmt.Errorf("%w: %v", ErrPanic, p)
}
