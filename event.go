package enoki

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/enoki-go/enoki/broker"
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

// Emits declares that the service emits ev, and fills *emit at start. A call
// of it returns when the broker has stored the event; its errors are those of
// [broker.Broker.Emit]. When the link is lost meanwhile, it emits again until
// its deadline. What is special about one event is said by its context: see
// [After], [At] and [WithMessageID]. A test fills it with a function of its own.
func Emits[T any](ev Event[T], emit *func(ctx context.Context, payload T) error) Part {
	return partFunc(func(s *Service) error {
		if err := ev.check(); err != nil {
			return err
		}
		if ev.Source != s.name {
			return fmt.Errorf("event %s.%s belongs to service %s; service %s can emit only its own", ev.Source, ev.Name, ev.Source, s.name)
		}
		if emit == nil {
			return fmt.Errorf("event %s.%s: Emits has no function to fill; give it a pointer to one", ev.Source, ev.Name)
		}
		s.emits = append(s.emits, broker.Event{Source: ev.Source, Name: ev.Name})
		s.fills = append(s.fills, func(c *Client) error {
			*emit = Emitter(c, ev)
			return nil
		})
		return nil
	})
}

// Emitter returns the function that emits ev through c, for use outside a
// service.
func Emitter[T any](c *Client, ev Event[T]) func(ctx context.Context, payload T) error {
	send := c.through(func(ctx context.Context, call *Call) error {
		return c.emit(ctx, ev.Source, ev.Name, call.in[0].Interface())
	})
	return func(ctx context.Context, payload T) error {
		call := &Call{Kind: KindEvent, Service: ev.Source, Method: ev.Name, Outgoing: true,
			in: []reflect.Value{reflect.ValueOf(&payload).Elem()}}
		return send(ctx, call)
	}
}

// emit encodes an event and hands it to the broker.
func (c *Client) emit(ctx context.Context, source, event string, payload any) error {
	m, err := c.eventMessage(ctx, source, event, payload)
	if err != nil {
		return err
	}
	ctx, limit := withTimeout(ctx, 0, c.options.Timeout)
	defer limit.End()
	return coded(c.insist(ctx, source, event, m), "emit %s.%s", source, event)
}

// EventMessage returns the message that an emit of the event would hand to the
// broker, with all that ctx says of it. It is for extensions that keep events
// before the broker gets them. The error has the code InvalidArgument, also
// when the broker could never take the event; see [broker.Broker.CheckEvent].
func (c *Client) EventMessage(ctx context.Context, source, event string, payload any) (*broker.Message, error) {
	m, err := c.eventMessage(ctx, source, event, payload)
	if err != nil {
		return nil, err
	}
	return m, coded(c.broker.CheckEvent(source, event, m), "event %s.%s", source, event)
}

func (c *Client) eventMessage(ctx context.Context, source, event string, payload any) (*broker.Message, error) {
	m, err := c.Message(ctx, payload)
	unsent := err != nil
	e := trailOf(ctx).ofEvents()
	if err == nil {
		err = e.stamp(m)
	}
	if err == nil && (e.cloud || c.options.CloudEvents) {
		err = envelop(m, source, event, e.subject)
	}
	if err != nil {
		refused := Errorf(InvalidArgument, "event %s.%s: %w", source, event, err)
		refused.unsent = unsent
		return nil, refused
	}
	return m, nil
}

// insist emits again what may not have arrived because the link was lost, for
// as long as ctx lasts. The message keeps its id; that an event may come twice
// is what its handlers have to bear anyway. Once a try may have arrived, the
// outcome stays unknown, whatever is said of a later one.
func (c *Client) insist(ctx context.Context, source, event string, m *broker.Message) error {
	var unknown error
	for {
		err := c.broker.Emit(ctx, source, event, m)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, broker.ErrUnknownOutcome):
			unknown = err
		case unknown != nil:
			return fmt.Errorf("%w; tried again: %w", unknown, err)
		default:
			return err
		}
		select {
		case <-ctx.Done():
			return unknown
		case <-time.After(insistence):
		}
	}
}

// insistence is the time between two tries to emit an event.
const insistence = 100 * time.Millisecond
