package enoki

import (
	"context"
	"fmt"
	"reflect"
)

// Event names an event and the type of its payload. It belongs to one
// service, the only one that emits it. Declare it beside the contract of that
// service:
//
//	var Posted = enoki.NewEvent[Comment]("comments", "posted")
type Event[T any] struct {
	Source string // the service that emits it
	Name   string // its type: ASCII letters, digits, '_' and '-', a letter first
}

// NewEvent returns the event name of the service source, with payload T.
func NewEvent[T any](source, name string) Event[T] {
	return Event[T]{Source: source, Name: name}
}

func (ev Event[T]) check() error {
	if err := checkName("service", ev.Source); err != nil {
		return fmt.Errorf("event %s.%s: %w", ev.Source, ev.Name, err)
	}
	if err := checkName("event", ev.Name); err != nil {
		return fmt.Errorf("event %s.%s: %w", ev.Source, ev.Name, err)
	}
	if err := checkJSON(reflect.TypeFor[T]()); err != nil {
		return fmt.Errorf("event %s.%s: payload %w", ev.Source, ev.Name, err)
	}
	return nil
}

// On declares a handler for an event: each event goes to one instance of the
// service, and is kept for it while none is there. The event is done when fn
// returns nil; an error has it tried again, see Retry; an event that cannot be
// decoded, and one whose handler panics, is kept as a dead letter at once.
// Options change each of these.
func On[T any](ev Event[T], fn func(ctx context.Context, payload T) error, options ...SubscribeOption) Part {
	sub := &subscription{
		source: ev.Source, event: ev.Name, handler: "on_" + ev.Name, attempts: defaultAttempts,
		first: firstDelay, last: lastDelay,
		payload: reflect.TypeFor[T](),
		fn: func(ctx context.Context, c *Call) error {
			payload, _ := c.in[0].Interface().(T)
			return fn(ctx, payload)
		},
	}
	for n, option := range options {
		if option == nil {
			sub.mistakes = append(sub.mistakes, fmt.Errorf("option %d of %d is nil; leave it out", n+1, len(options)))
			continue
		}
		option(sub)
	}
	return partFunc(func(s *Service) error {
		if err := ev.check(); err != nil {
			return err
		}
		if fn == nil {
			return fmt.Errorf("event %s.%s has no handler function", ev.Source, ev.Name)
		}
		return s.subscribe(sub)
	})
}

// MessageID returns the id of the event in hand, which stays the same over
// retries and redeliveries; "" outside an event handler.
func MessageID(ctx context.Context) string {
	if m := trailOf(ctx).event; m != nil {
		return m.ID
	}
	return ""
}

// Attempt returns which attempt at the event in hand this is, from 1; 0
// outside an event handler.
func Attempt(ctx context.Context) int {
	if m := trailOf(ctx).event; m != nil {
		return m.Attempt
	}
	return 0
}
