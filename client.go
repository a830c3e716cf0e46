package enoki

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/entrypoint"
	"github.com/enoki-go/enoki/fault"
	"github.com/enoki-go/enoki/internal/callpolicy"
	"github.com/enoki-go/enoki/internal/contract"
	"github.com/enoki-go/enoki/internal/trail"
	"github.com/enoki-go/enoki/internal/uuid"
)

// Client calls services and emits events. Its methods may be called
// concurrently.
type Client struct {
	broker     broker.Broker
	options    Options
	name       string // the sender in the call ids of work that begins at this client
	errors     fault.Types
	forms      forms
	atMostOnce bool  // true for every call of this client
	mistake    error // the reason why the client can't work

	targets *callpolicy.Targets

	// near finds a service that runs in the same process. It is nil outside Run.
	near func(service string) *instance
}

// NewClient returns a client for use outside a service. o may be nil. The
// client needs no closing; the broker belongs to its owner. Without a broker,
// or with options that can't work, each call and each emit returns an error
// that says so.
func NewClient(b broker.Broker, o *Options) *Client {
	options := o.withDefaults()
	return &Client{broker: b, mistake: errors.Join(checkBroker(b), o.check()), options: options, name: "enoki_client", errors: options.Errors, forms: formsOf(&options), targets: callpolicy.NewTargets()}
}

// Broker returns the broker that the client uses, for operations that the
// client does not have. The error says why the client can't work.
func (c *Client) Broker() (broker.Broker, error) {
	if c.mistake != nil {
		return nil, Errorf(Internal, "the client can't work: %w", c.mistake)
	}
	return c.broker, nil
}

// ReadBody returns the body of a message as JSON. It returns an error if the
// client does not accept the content type, or if the body does not match it.
func (c *Client) ReadBody(m *broker.Message) (json.RawMessage, error) {
	body, _, err := c.forms.read(m)
	return body, err
}

// WriteBody replaces the body of a message. It keeps the message's content type
// if the client knows it, and writes JSON otherwise.
func (c *Client) WriteBody(m *broker.Message, body json.RawMessage) error {
	form, _ := c.forms.find(m.ContentType)
	written, err := form.message(body)
	if err == nil {
		m.Body, m.ContentType = written.Body, written.ContentType
	}
	return err
}

// AtMostOnce returns a client whose calls may be lost but are never handled
// twice, like the calls of a method with the tag delivery:"at-most-once". On
// RabbitMQ such calls are much cheaper if at least one method of the service
// has that tag.
func (c *Client) AtMostOnce() *Client {
	other := *c
	other.atMostOnce = true
	return &other
}

// Bind fills the functions of the contract struct that target points to. Each
// function then calls the service. A call ends at the deadline of its context,
// and at the timeout of its method's timeout tag if that is earlier. Without
// either, it has the client's timeout. The errors of the functions are of type
// *Error.
func (c *Client) Bind(service string, target any) (err error) {
	if c == nil {
		return fmt.Errorf("bind %q: the client is nil; make one with NewClient", service)
	}
	if err := errors.Join(c.mistake, checkBinding(service, target)); err != nil {
		return fmt.Errorf("bind %q: %w", service, err)
	}
	defer fault.Rescue(&err) // middleware may return a nil handler, which panics
	v := reflect.ValueOf(target).Elem()
	fields, _ := contract.Fields(v.Type()) // checkBinding has seen the error
	for _, f := range fields {
		b := &binding{client: c, service: service, method: f.Method, target: c.targets.Of(c.options.policy(), service, f.Method.Name)}
		b.send = chain(b.way(), c.options.CallMiddleware)
		v.Field(f.Index).Set(reflect.MakeFunc(f.Func, b.call))
	}
	return nil
}

func checkBinding(service string, target any) error {
	if err := contract.CheckName("service", service); err != nil {
		return err
	}
	t := reflect.TypeOf(target)
	if t == nil || t.Kind() != reflect.Pointer || reflect.ValueOf(target).IsNil() {
		return fmt.Errorf("contract is a %v; give a pointer to the contract struct that is to be filled", t)
	}
	_, err := contract.Fields(t.Elem())
	return err
}

// binding is one function of a bound contract.
type binding struct {
	client  *Client
	service string
	method  *contract.Method
	target  *callpolicy.Target
	send    Handler
}

var noError = reflect.Zero(reflect.TypeFor[error]())

func errorValue(err error) reflect.Value {
	if err == nil {
		return noError
	}
	return reflect.ValueOf(err).Convert(reflect.TypeFor[error]())
}

// call is the body of the bound function. When there is an error, the
// function's results are zero.
func (b *binding) call(args []reflect.Value) []reflect.Value {
	ctx, _ := args[0].Interface().(context.Context)
	if ctx == nil {
		ctx = context.Background()
	}
	c := &Call{Kind: entrypoint.RPC, Service: b.service, Method: b.method.Name, Outgoing: true, in: args[1:], sensitive: b.method.Sensitive}
	err := b.client.safely(ctx, b.send, c)
	if err == nil && len(c.out) == b.method.Func.NumOut()-1 {
		return append(c.out, noError)
	}
	out := make([]reflect.Value, 0, len(b.method.Results)+1)
	for i := range b.method.Func.NumOut() - 1 {
		if err != nil || i >= len(c.out) {
			out = append(out, reflect.Zero(b.method.Func.Out(i)))
			continue
		}
		out = append(out, c.out[i])
	}
	return append(out, errorValue(err))
}

// way returns the handler that sends calls of this method.
func (b *binding) way() Handler {
	switch {
	case b.method.OneWay:
		return b.hand
	case b.method.Reply != nil:
		return b.gather
	case b.method.Item != nil:
		return b.openStream
	}
	return b.route
}

// route calls the service directly when it runs in this process, and over the
// broker otherwise.
func (b *binding) route(ctx context.Context, c *Call) error {
	ctx, limit := withTimeout(ctx, b.method.Timeout, b.client.options.Timeout)
	defer limit.End()
	if b.client.near != nil {
		if callee := b.client.near(b.service); callee != nil {
			if done, err := callee.callNear(ctx, b.method, c); done {
				return b.client.errors.Restore(err)
			}
		}
	}
	body, err := b.method.Request(c.in)
	if err != nil {
		return err
	}
	err = b.target.First(ctx, func(ctx context.Context) error { return b.attempt(ctx, c, body) })
	if b.target.IsLast(err, b.method.Idempotent) {
		return err
	}
	return b.target.Again(ctx, err, b.method.Idempotent, func(ctx context.Context) error { return b.attempt(ctx, c, body) })
}

func (b *binding) attempt(ctx context.Context, c *Call, body []byte) error {
	reply, form, err := b.client.request(ctx, b.service, b.method.Name, body, b.method.AtMostOnce)
	if err != nil {
		return err
	}
	c.out, err = b.method.Answer(reply, form == nil)
	return b.client.errors.Restore(err)
}

// request sends an encoded request and returns the body of its reply.
func (c *Client) request(ctx context.Context, service, method string, body []byte, atMostOnce bool) ([]byte, *Serializer, error) {
	m, err := c.message(body, trail.Of(ctx).Send(ctx, c.name))
	if err != nil {
		return nil, nil, Errorf(InvalidArgument, "call %s.%s: %w", service, method, err)
	}
	m.AtMostOnce = atMostOnce || c.atMostOnce
	return c.exchange(ctx, service, method, m)
}

// exchange sends a request and returns the body of its reply. A one-way request
// has none.
func (c *Client) exchange(ctx context.Context, service, method string, m *broker.Message) ([]byte, *Serializer, error) {
	begun := time.Now()
	reply, err := c.broker.Call(ctx, service, method, m)
	switch {
	case errors.Is(err, broker.ErrUnknownService):
		return nil, nil, fault.Wrap(UnknownService, err,
			fmt.Sprintf("call %s.%s: unknown service %q: nothing on this broker serves it; start it, or check the name", service, method, service))
	case errors.Is(err, context.DeadlineExceeded):
		return nil, nil, coded(err, "call %s.%s: no answer within %v", service, method, time.Since(begun).Round(time.Millisecond))
	case err != nil:
		return nil, nil, coded(err, "call %s.%s", service, method)
	}
	if m.OneWay {
		return nil, nil, nil
	}
	body, form, err := c.forms.open(reply)
	if err != nil {
		return nil, nil, Errorf(Internal, "call %s.%s: reply cannot be read: %w", service, method, err)
	}
	return body, form, nil
}

// result returns the result in a reply as JSON, or the error in it.
func (c *Client) result(body []byte, form *Serializer, err error) (json.RawMessage, error) {
	if err != nil {
		return nil, err
	}
	raw, err := contract.RawAnswer(body, form == nil)
	return raw, c.errors.Restore(err)
}

// message returns a new message with the JSON body, written in the client's
// form.
func (c *Client) message(body []byte, data map[string]any) (*broker.Message, error) {
	m, err := c.forms.send.message(body)
	if err != nil {
		return nil, err
	}
	m.ID, m.Context = uuid.New(), data
	return m, nil
}

// payload returns a message with the payload of an event. The message has a new
// id and carries the context data of ctx.
func (c *Client) payload(ctx context.Context, payload any) (*broker.Message, error) {
	body, err := contract.Marshal(payload)
	if err != nil {
		return nil, err
	}
	// An event is often handled long after its sender's deadline, so the message
	// carries no deadline.
	return c.message(body, trail.Of(ctx).Send(context.WithoutCancel(ctx), c.name))
}

// coded gives a broker's error its code and adds what was tried.
func coded(err error, format string, a ...any) error {
	if err == nil {
		return nil
	}
	return fault.Wrap(CodeOf(err), err, fmt.Sprintf(format, a...)+": "+err.Error())
}

// through puts the call middleware around send. It catches panics of both.
func (c *Client) through(send Handler) Handler {
	err := c.mistake
	if err == nil {
		err = safely(c.options.Logger, "middleware", func() error { send = chain(send, c.options.CallMiddleware); return nil })
	}
	if err != nil {
		return func(context.Context, *Call) error {
			return Errorf(Internal, "the client can't work: %w", err)
		}
	}
	return func(ctx context.Context, call *Call) error { return c.safely(ctx, send, call) }
}

// safely runs send. It turns a panic into an error. Middleware may panic, and
// so may the user's methods that encode and decode values.
func (c *Client) safely(ctx context.Context, send Handler, call *Call) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.Panicked(p)
		}
		if err != nil {
			logPanic(ctx, c.options.Logger, "call of "+call.Service+"."+call.Method, err)
		}
	}()
	err = send(ctx, call)
	c.errors.Probe(err)
	return err
}

// Call calls a method without a contract, with arguments by position and by
// name, and returns the result as JSON. args and kwargs may be nil. It blocks
// until the reply comes, ctx ends or the client's timeout is over.
func (c *Client) Call(ctx context.Context, service, method string, args []any, kwargs map[string]any) (json.RawMessage, error) {
	if err := errors.Join(contract.CheckName("service", service), contract.CheckName("method", method)); err != nil {
		return nil, Errorf(InvalidArgument, "call %s.%s: %w", service, method, err)
	}
	if args == nil {
		args = []any{}
	}
	if kwargs == nil {
		kwargs = map[string]any{}
	}
	body, err := contract.Marshal(map[string]any{"args": args, "kwargs": kwargs})
	if err != nil {
		return nil, fault.Unsent("call %s.%s: %w", service, method, err)
	}
	var raw json.RawMessage
	send := c.through(func(ctx context.Context, _ *Call) error {
		ctx, limit := withTimeout(ctx, 0, c.options.Timeout)
		defer limit.End()
		raw, err = c.result(c.request(ctx, service, method, body, false))
		return err
	})
	call := &Call{Kind: entrypoint.RPC, Service: service, Method: method, Outgoing: true, in: reflected(args)}
	return raw, send(ctx, call)
}

// Emit emits an event without an [Event] value, in the name of the service
// source. The payload is any value that encodes as JSON. Blocking and errors
// are those of [Emit].
func (c *Client) Emit(ctx context.Context, source, event string, payload any, options ...EmitOption) error {
	if err := errors.Join(contract.CheckName("service", source), contract.CheckName("event", event)); err != nil {
		return Errorf(InvalidArgument, "emit %s.%s: %w", source, event, err)
	}
	return Emitter(c, Event[any]{Source: source, Name: event})(ctx, payload, options...)
}

func reflected(list []any) []reflect.Value {
	out := make([]reflect.Value, len(list))
	for i := range list {
		out[i] = reflect.ValueOf(&list[i]).Elem()
	}
	return out
}
