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

// Emit emits an event. It blocks until the broker has stored the event for all
// its subscriptions, and then returns nil. If the link is lost meanwhile, it
// emits again until its deadline. Its errors are those of [broker.Broker.Emit].
// An option with an invalid value is an error with the code InvalidArgument;
// nothing is emitted then. The options apply to this one event. An Emit may be
// called concurrently.
//
// A test sets a variable of this type to a function of its own.
type Emit[T any] func(ctx context.Context, payload T, options ...EmitOption) error

// Emits declares that the service emits ev. It fills *emit at start.
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

// Emitter returns a function that emits ev through c, for use outside a
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

// EmitOption is an option of one emit: when the event is due, which id it has,
// in which form it travels. The same option may be used for many emits.
type EmitOption = emission.Option

// After delivers the event after delay, and never sooner. It comes at most one
// second late, or 1 % of the delay. If RabbitMQ is killed while it moves the
// event, the event comes up to three minutes late; see docs/events.md. The
// broker has stored the event when the emit returns. It keeps the event over
// restarts of itself and of every service. It delivers the event to the
// subscriptions that exist when it is due. A delay of 0 or less means no delay.
// The longest delay is 366 days.
//
//	err := s.reminded(ctx, reminder, enoki.After(time.Hour))
func After(delay time.Duration) EmitOption { return emission.After(delay) }

// At is like After, but takes the time at which the event is due. The time is
// read by the clocks of this machine and of the broker.
func At(due time.Time) EmitOption { return emission.At(due) }

// WithMessageID gives the event this id in place of a new one. An id has 1 to
// 200 bytes, has no control characters and is unique among the events of its
// type. NATS drops an event if one with the same id was emitted in the last two
// minutes. On any broker, a handler whose [Subscription] has an inbox skips an
// event that it has done before.
func WithMessageID(id string) EmitOption { return emission.WithID(id) }

// AsCloudEvent puts the event into the JSON envelope of CloudEvents 1.0.
// subject says what the event is about; an empty subject is left out. Handlers
// in Go read both forms. Handlers in Python need a change, see docs/events.md.
// Options.CloudEvents does the same for all events.
func AsCloudEvent(subject string) EmitOption { return emission.AsCloudEvent(subject) }

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

// insist emits until ctx ends, because an event may be lost together with the
// link. The message keeps its id. An event may come twice; its handlers must
// bear that anyway. Once an attempt may have arrived, the outcome stays
// unknown, even if a later attempt fails for sure.
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

// insistence is the pause between two attempts to emit an event.
const insistence = 100 * time.Millisecond
