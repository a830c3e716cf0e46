package nameko

import (
	"context"
	"fmt"
	"unicode/utf8"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker/amqp"
	"github.com/enoki-go/enoki/entrypoint"
)

// Publisher publishes payloads to one exchange. It blocks until the broker has
// stored the message for every queue that takes it. If no queue takes it, the
// message is dropped, unless it is Mandatory. The options of a call override
// those of Publishes; headers are combined. A Publisher may be called
// concurrently.
//
// The payload becomes JSON, or the form in which the service sends events. A
// []byte is sent as it is, and so is a string with a ContentType. The message
// carries the context data of ctx. Errors are of type *enoki.Error:
// NotDelivered, UnknownOutcome, Blocked, InvalidArgument for a payload that
// can't be encoded, DeadlineExceeded or Canceled.
type Publisher[T any] func(ctx context.Context, payload T, options ...PublishOption) error

// Publishes declares that the service publishes to an exchange. At start it
// declares the exchange and fills *publish. A test sets *publish to a function
// of its own.
func Publishes[T any](exchange Exchange, publish *Publisher[T], options ...PublishOption) enoki.Part {
	return enoki.Extend(&publisher[T]{exchange: exchange, publish: publish, options: options})
}

// publisher is the extension that fills one Publisher.
type publisher[T any] struct {
	exchange Exchange
	publish  *Publisher[T]
	options  []PublishOption
}

var _ entrypoint.Preparer = (*publisher[int])(nil)

// outgoing returns the message with these options and without a payload.
func (p *publisher[T]) outgoing(options ...PublishOption) *outgoing {
	out := &outgoing{Publishing: amqp.Publishing{Exchange: p.exchange.Name, Declare: []Declaration{p.exchange}}}
	for _, list := range [][]PublishOption{p.options, options} {
		for _, option := range list {
			option(out)
		}
	}
	return out
}

// Check implements [entrypoint.Extension].
func (p *publisher[T]) Check() error {
	if p.publish == nil {
		return fmt.Errorf("%s: give a pointer to the Publisher that is to be filled", p)
	}
	for n, option := range p.options {
		if option == nil {
			return fmt.Errorf("%s: option %d of %d is nil; leave it out", p, n+1, len(p.options))
		}
	}
	if err := p.outgoing().Check(); err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	return nil
}

// Prepare implements [entrypoint.Preparer].
func (p *publisher[T]) Prepare(ctx context.Context, scope *entrypoint.Scope) error {
	driver, err := driverOf(scope, p.String())
	if err != nil {
		return err
	}
	if driver != nil {
		err = driver.Declare(ctx, p.outgoing().Declare...)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	*p.publish = func(ctx context.Context, payload T, options ...PublishOption) error {
		out := p.outgoing(options...)
		return scope.Send(ctx, entrypoint.Message, scope.Service, p.exchange.Name, payload, func(ctx context.Context) error {
			if err := out.carry(ctx, scope, payload); err != nil {
				return enoki.Errorf(enoki.InvalidArgument, "%s: %w", p, err)
			}
			if driver == nil {
				return nil
			}
			if err := driver.Publish(ctx, &out.Publishing); err != nil {
				return enoki.Errorf(enoki.CodeOf(err), "%s, routing key %q: %w", p, out.RoutingKey, err)
			}
			return nil
		})
	}
	return nil
}

// Start implements [entrypoint.Extension]. Prepare has done everything.
func (p *publisher[T]) Start(context.Context, *entrypoint.Scope) error { return nil }

// Stop implements [entrypoint.Extension]. Handlers may publish until they have
// returned.
func (p *publisher[T]) Stop(context.Context) error { return nil }

// Describe implements [entrypoint.Extension].
func (p *publisher[T]) Describe() []entrypoint.Description {
	return []entrypoint.Description{{Kind: entrypoint.Message, Name: p.exchange.Name, Text: p.String()}}
}

// String names the publisher for people.
func (p *publisher[T]) String() string {
	return fmt.Sprintf("publisher to exchange %q", p.exchange.Name)
}

// outgoing is one message under construction.
type outgoing struct {
	amqp.Publishing
	contentType string // of a body that is sent as it is; empty for others
}

// carry puts the payload into the message.
func (o *outgoing) carry(ctx context.Context, sender entrypoint.Sender, payload any) (err error) {
	body, raw := payload.([]byte)
	if text, ok := payload.(string); ok && o.contentType != "" {
		body, raw = []byte(text), true
	}
	switch {
	case !raw && o.contentType != "":
		return fmt.Errorf("a payload with the content type %q is sent as it is and must be a string or []byte, not a %T", o.contentType, payload)
	case !raw:
		o.Message, err = sender.Message(ctx, payload)
		return err
	}
	if o.Message, err = sender.Message(ctx, nil); err != nil { // for its context data
		return err
	}
	o.Message.Body, o.Message.ContentType = body, o.contentType
	if o.contentType == "" {
		o.Message.ContentType = rawType
	}
	if o.Message.ContentType == rawType || !utf8.Valid(body) {
		o.ContentEncoding = "binary"
	}
	return nil
}

// kombu's names of bodies that are not payloads of a serializer. Nameko does
// not accept kombu's text/plain by default.
const (
	rawType  = "application/data"
	textType = "application/text"
)
