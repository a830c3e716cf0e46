package nameko

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp"
	"github.com/enoki-go/enoki/entrypoint"
)

// Consume declares an entrypoint for the messages of a queue. It declares the
// queue and its bindings at start. A message is done when fn returns nil. If fn
// fails or panics, the message is logged and dropped, see RequeueOnError. A
// message that can't be decoded becomes a dead letter. fn is called
// concurrently.
//
// T determines what fn gets. []byte is the body as it is. string is the body as
// text. Message is the whole message. Any other type is decoded from JSON, or
// from another form that the service accepts. Compressed bodies are
// decompressed before.
func Consume[T any](queue Queue, fn func(ctx context.Context, payload T) error, options ...ConsumeOption) enoki.Part {
	s := settings{name: queue.Name}
	var mistake error
	for n, option := range options {
		if option == nil {
			mistake = fmt.Errorf("option %d of %d is nil; leave it out", n+1, len(options))
			continue
		}
		option(&s)
	}
	c := &consumer{queue: queue, settings: s, mistake: mistake}
	if fn != nil {
		c.handler = func(scope *entrypoint.Scope, m *Message) (func(context.Context) error, error) {
			payload, err := decode[T](scope, m)
			return func(ctx context.Context) error { return fn(ctx, payload) }, err
		}
	}
	return enoki.Extend(c)
}

// consumer is the extension of one Consume.
type consumer struct {
	driver *amqp.Driver // known after Prepare; nil when the service is isolated
	queue  Queue
	settings
	// handler returns the function that handles m, or the reason why m can't be
	// read.
	handler func(scope *entrypoint.Scope, m *Message) (func(context.Context) error, error)
	mistake error         // in the options
	member  broker.Member // nil until started
}

var _ entrypoint.Preparer = (*consumer)(nil)

// Check implements [entrypoint.Extension].
func (c *consumer) Check() error {
	var mistakes []error
	if c.mistake != nil {
		mistakes = append(mistakes, fmt.Errorf("%s: %w", c, c.mistake))
	}
	if c.handler == nil {
		mistakes = append(mistakes, fmt.Errorf("%s has no handler function", c))
	}
	if c.prefetch < 0 || c.prefetch > math.MaxUint16 {
		mistakes = append(mistakes, fmt.Errorf("%s: prefetch is %d; give 1 to %d", c, c.prefetch, math.MaxUint16))
	}
	if err := c.queue.Check(); err != nil {
		mistakes = append(mistakes, fmt.Errorf("%s: %w", c, err))
	}
	return errors.Join(mistakes...)
}

// Prepare implements [entrypoint.Preparer].
func (c *consumer) Prepare(_ context.Context, scope *entrypoint.Scope) (err error) {
	c.driver, err = driverOf(scope, c.String())
	return err
}

// Start implements [entrypoint.Extension].
func (c *consumer) Start(ctx context.Context, scope *entrypoint.Scope) error {
	if c.driver == nil {
		return nil
	}
	var err error
	c.member, err = c.driver.Consume(ctx, amqp.Consumption{
		Service: scope.Service, Queue: c.queue, Prefetch: c.prefetch,
		Handle: func(ctx context.Context, m *Message) broker.Settlement { return c.handle(ctx, scope, m) },
		Buried: scope.DeadLettered,
	})
	return err
}

// Stop implements [entrypoint.Extension].
func (c *consumer) Stop(ctx context.Context) error {
	if c.member == nil {
		return nil
	}
	return c.member.Leave(ctx)
}

// Describe implements [entrypoint.Extension].
func (c *consumer) Describe() []entrypoint.Description {
	return []entrypoint.Description{{Kind: entrypoint.Message, Name: c.name, Text: c.String()}}
}

// String names the consumer for people.
func (c *consumer) String() string { return fmt.Sprintf("consumer of queue %q", c.queue.Name) }

// handle handles one message and settles it.
func (c *consumer) handle(ctx context.Context, scope *entrypoint.Scope, m *Message) broker.Settlement {
	log := scope.Logger.With(slog.String("kind", string(entrypoint.Message)), slog.String("method", c.name), slog.String("id", m.ID))
	fn, err := c.handler(scope, m)
	if err != nil {
		log.ErrorContext(ctx, "message cannot be read and is kept as a dead letter", "error", err)
		return broker.Settlement{Verdict: broker.Reject, Reason: err.Error(), Kind: broker.KindUnreadable}
	}
	started := false
	err = scope.Handle(scope.Received(ctx, &m.Message), entrypoint.Message, c.name, func(ctx context.Context) error {
		started = true
		return fn(ctx)
	})
	stopping := ctx.Err() != nil || !started && errors.Is(err, enoki.Unavailable)
	switch {
	case err == nil:
		return broker.Settlement{}
	case stopping: // the message is not at fault
		return broker.Settlement{Verdict: broker.HandBack}
	}
	log.ErrorContext(ctx, "handler failed", "requeued", c.requeue, "error", err)
	if c.requeue {
		return broker.Settlement{Verdict: broker.HandBack, Reason: err.Error(), Kind: string(enoki.CodeOf(err))}
	}
	return broker.Settlement{}
}

// decode returns the payload of a message in the form that the handler wants.
func decode[T any](scope *entrypoint.Scope, m *Message) (payload T, err error) {
	media, _, _ := strings.Cut(m.ContentType, ";")
	switch p := any(&payload).(type) {
	case *Message:
		*p = *m
	case **Message:
		*p = m
	case *[]byte:
		*p = m.Body
	case *string:
		if media == textType || media == rawType || strings.HasPrefix(media, "text/") {
			*p = string(m.Body)
			return payload, nil
		}
		err = scope.Decode(&m.Message, p)
	default:
		err = scope.Decode(&m.Message, p)
	}
	return payload, err
}
