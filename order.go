package enoki

import (
	"fmt"
	"reflect"

	"github.com/enoki-go/enoki/broker"
)

// OrderBy has events of one key handled one after the other, in the order in
// which they were emitted, over all instances of the service and over retries
// and restarts; events of different keys are handled side by side. One instance
// is the active one and gets them all, another one takes over when it leaves or
// dies. An event whose handler fails holds back those of its key until it
// succeeds or becomes a dead letter, so keep its retries few. T is the payload
// of the event. key may be called twice for one event and must not block.
//
// The active instance takes up to [broker.Window] events ahead. Events that
// cannot be decoded have the key "".
func OrderBy[T any](key func(payload T) string) SubscribeOption {
	return func(s *subscription) {
		t := reflect.TypeFor[T]()
		switch {
		case key == nil:
			s.mistakes = append(s.mistakes, fmt.Errorf("OrderBy(nil) gives no keys; give it a function of the payload"))
		case t != s.payload:
			s.mistakes = append(s.mistakes, fmt.Errorf("OrderBy is for a payload of type %v, that of the event is %v; give the function that type", t, s.payload))
		}
		s.orderBy = func(payload reflect.Value) string {
			p, _ := payload.Interface().(T)
			return key(p)
		}
	}
}

// order returns the function by which a driver knows the key of an event of
// sub; nil without an order.
func (i *instance) order(sub *subscription) func(m *broker.Message) string {
	if sub.orderBy == nil {
		return nil
	}
	return func(m *broker.Message) (key string) {
		// In a goroutine of its own: what a key function does to that of its
		// driver would reach all other messages.
		err := apart(func() error {
			payload, _, err := i.payload(sub, m)
			if err != nil {
				return nil // it has the empty key
			}
			return i.safely("OrderBy", func() error { key = sub.orderBy(payload); return nil })
		})
		if err != nil {
			i.log.Error("an event has no key, it gets the empty one", "event", sub.source+"."+sub.event, "id", m.ID, "error", err)
		}
		return key
	}
}
