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

// Client calls services and emits events. It may be used concurrently.
type Client struct {
	broker     broker.Broker
	options    Options
	name       string // the sender in the call ids of work that begins here
	errors     fault.Types
	forms      forms
	atMostOnce bool  // every call
	mistake    error // that keeps it from working

	targets *callpolicy.Targets

	// near finds a service of the same process; nil outside Run.
	near func(service string) *instance
}

// NewClient returns a client for use outside a service; o may be nil. It
// needs no closing: the broker is its owner's. Without a broker, or with
// options that can't work, each call and emit fails and says so.
func NewClient(b broker.Broker, o *Options) *Client {
	options := o.withDefaults()
	return &Client{broker: b, mistake: errors.Join(checkBroker(b), o.check()), options: options, name: "enoki_client", errors: options.Errors, forms: formsOf(&options), targets: callpolicy.NewTargets()}
}

// Broker returns the broker that the client sends by, for what it does not do
// itself. The error says why the client can't work.
func (c *Client) Broker() (broker.Broker, error) {
	if c.mistake != nil {
		return nil, Errorf(Internal, "the client can't work: %w", c.mistake)
	}
	return c.broker, nil
}

// ReadBody returns the body of a message as JSON. The error says that the client
// does not accept its content type, or that it is not what the type says.
func (c *Client) ReadBody(m *broker.Message) (json.RawMessage, error) {
	body, _, err := c.forms.read(m)
	return body, err
}

// WriteBody gives a message another body, in its own form if the client knows
// that one, and otherwise as JSON.
func (c *Client) WriteBody(m *broker.Message, body json.RawMessage) error {
	form, _ := c.forms.find(m.ContentType)
	written, err := form.message(body)
	if err == nil {
		m.Body, m.ContentType = written.Body, written.ContentType
	}
	return err
}

// AtMostOnce returns a client whose calls may all be lost rather than be
// handled twice, like those of a method with the tag delivery:"at-most-once".
// On RabbitMQ they are much cheaper, if a method of the service has that tag.
func (c *Client) AtMostOnce() *Client {
	other := *c
	other.atMostOnce = true
	return &other
}

// Bind fills the functions of the contract struct that target points to with
// calls to service. A call that has no deadline gets the client's
// timeout, or that of its timeout tag. Its errors are of type *Error.
func (c *Client) Bind(service string, target any) (err error) {
	if c == nil {
		return fmt.Errorf("bind %q: the client is nil; make one with NewClient", service)
	}
	if err := errors.Join(c.mistake, checkBinding(service, target)); err != nil {
		return fmt.Errorf("bind %q: %w", service, err)
	}
	defer fault.Rescue(&err) // of middleware that makes no handler
	v := reflect.ValueOf(target).Elem()
	fields, _ := contract.Fields(v.Type()) // checked
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

// call is what stands behind the function. It can't return an error beside
// its function's own results, so these are zero then.
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

// way returns how a call of this kind goes.
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

// route sends a call the short way when the service is in this process, and
// over the broker otherwise.
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

// attempt sends the encoded request of c and decodes its reply.
func (b *binding) attempt(ctx context.Context, c *Call, body []byte) error {
	reply, form, err := b.client.request(ctx, b.service, b.method.Name, body, b.method.AtMostOnce)
	if err != nil {
		return err
	}
	c.out, err = b.method.Answer(reply, form == nil)
	return b.client.errors.Restore(err)
}

// request sends an encoded request and returns the body of the reply.
func (c *Client) request(ctx context.Context, service, method string, body []byte, atMostOnce bool) ([]byte, *Serializer, error) {
	m, err := c.message(body, trail.Of(ctx).Send(ctx, c.name))
	if err != nil {
		return nil, nil, Errorf(InvalidArgument, "call %s.%s: %w", service, method, err)
	}
	m.AtMostOnce = atMostOnce || c.atMostOnce
	return c.exchange(ctx, service, method, m)
}

// exchange sends a request and returns the body of the reply; none of a one-way
// one.
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

// result returns the result of a reply as JSON, or its error.
func (c *Client) result(body []byte, form *Serializer, err error) (json.RawMessage, error) {
	if err != nil {
		return nil, err
	}
	raw, err := contract.RawAnswer(body, form == nil)
	return raw, c.errors.Restore(err)
}

// message returns a new message with a JSON body in the form that c sends.
func (c *Client) message(body []byte, data map[string]any) (*broker.Message, error) {
	m, err := c.forms.send.message(body)
	if err != nil {
		return nil, err
	}
	m.ID, m.Context = uuid.New(), data
	return m, nil
}

// payload returns a message that carries payload as an event would, with a new
// id and the context data of ctx.
func (c *Client) payload(ctx context.Context, payload any) (*broker.Message, error) {
	body, err := contract.Marshal(payload)
	if err != nil {
		return nil, err
	}
	// Whoever handles it does so long after its sender's deadline, so it
	// carries none.
	return c.message(body, trail.Of(ctx).Send(context.WithoutCancel(ctx), c.name))
}

// coded gives an error of the broker its code and says what was tried.
func coded(err error, format string, a ...any) error {
	if err == nil {
		return nil
	}
	return fault.Wrap(CodeOf(err), err, fmt.Sprintf(format, a...)+": "+err.Error())
}

// through puts the call middleware around how something is sent, and a net
// around both.
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

// safely sends something: the caller gets an error for a panic of middleware,
// or of methods of what is sent and comes back.
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

// Call calls a method that no contract describes, with arguments by position
// and by name, and returns the result as JSON. Both may be nil.
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

// Emit emits an event in the name of the service source, with any payload
// that encodes as JSON. It is for events that no [Event] describes.
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
