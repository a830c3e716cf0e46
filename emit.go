package enoki

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/entrypoint"
	"github.com/enoki-go/enoki/fault"
	"github.com/enoki-go/enoki/internal/emission"
)

// Emit emits an event. It returns nil once the broker has stored the event for
// all its subscriptions; its errors are those of [broker.Broker.Emit]. When the
// link is lost meanwhile, it emits again until its deadline. It may be called
// concurrently. The options are for this one event. An option that can't be
// meant is an error with the code InvalidArgument, and nothing is emitted.
//
// A test sets a variable of this type to a function of its own.
type Emit[T any] func(ctx context.Context, payload T, options ...EmitOption) error

// Emits declares that the service emits ev, and fills *emit at start.
func Emits[T any](ev Event[T], emit *Emit[T]) Part {
	return partFunc(func(s *Service) error {
		if err := ev.check(); err != nil {
			return fmt.Errorf("event %s.%s: %w", ev.Source, ev.Name, err)
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
func Emitter[T any](c *Client, ev Event[T]) Emit[T] {
	send := c.through(c.emit)
	return func(ctx context.Context, payload T, options ...EmitOption) error {
		return send(ctx, &Call{
			Kind: entrypoint.Event, Service: ev.Source, Method: ev.Name, Outgoing: true,
			in: []reflect.Value{reflect.ValueOf(&payload).Elem()}, emission: emission.New(options),
		})
	}
}

// EmitOption says something of the one event of an emit: when it is due, what
// its id is, in which form it travels. It may be used for many emits.
type EmitOption = emission.Option

// After delivers the event no sooner than delay after the emit: within a second
// of that, or 1 % of the delay. When RabbitMQ is killed while it moves the
// event, that is up to three minutes later; see docs/events.md. The broker has
// stored the event when the emit returns. It keeps it over restarts of itself
// and of every service, and delivers it to the subscriptions that are there
// when it is due. A delay of 0 or less is none; the longest is 366 days.
//
//	err := s.reminded(ctx, reminder, enoki.After(time.Hour))
func After(delay time.Duration) EmitOption { return emission.After(delay) }

// At is After with the time at which the event is due, by the clocks of this
// machine and the broker's.
func At(due time.Time) EmitOption { return emission.At(due) }

// WithMessageID gives the event an id in place of a new one: 1 to 200 bytes
// without control characters, unique among the events of its type. NATS drops
// an event that was emitted with the same id within the last two minutes; a
// handler on any broker does if its [Subscription] has an inbox.
func WithMessageID(id string) EmitOption { return emission.WithID(id) }

// AsCloudEvent puts the event into the JSON envelope of CloudEvents 1.0.
// Subject is what the event is about; an empty one is left out. Handlers in Go
// read both forms. Those in Python have to be told, see docs/events.md.
// Options.CloudEvents does it for all events.
func AsCloudEvent(subject string) EmitOption { return emission.AsCloudEvent(subject) }

// emit encodes the event of call and hands it to the broker.
func (c *Client) emit(ctx context.Context, call *Call) error {
	source, event := call.Service, call.Method
	m, err := c.eventMessage(ctx, source, event, call.in[0].Interface(), call.emission)
	if err != nil {
		return err
	}
	ctx, limit := withTimeout(ctx, 0, c.options.Timeout)
	defer limit.End()
	return coded(c.insist(ctx, source, event, m), "emit %s.%s", source, event)
}

// eventMessage returns the message that carries an event.
func (c *Client) eventMessage(ctx context.Context, source, event string, payload any, e *emission.Emission) (*broker.Message, error) {
	if err := errors.Join(e.Mistakes...); err != nil {
		return nil, Errorf(InvalidArgument, "event %s.%s: %w", source, event, err)
	}
	m, err := c.payload(ctx, payload)
	if err != nil {
		return nil, fault.Unsent("event %s.%s: %w", source, event, err)
	}
	m.Due = e.Due
	if e.ID != "" {
		m.ID = e.ID
	}
	if e.CloudEvent || c.options.CloudEvents {
		if err := envelop(m, source, event, e.Subject); err != nil {
			return nil, Errorf(InvalidArgument, "event %s.%s: %w", source, event, err)
		}
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

// insistence is the time between two attempts to emit an event.
const insistence = 100 * time.Millisecond
