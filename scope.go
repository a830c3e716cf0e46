package enoki

import (
	"context"
	"fmt"
	"reflect"
	"sync"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/entrypoint"
	"github.com/enoki-go/enoki/fault"
	"github.com/enoki-go/enoki/internal/contract"
	"github.com/enoki-go/enoki/internal/emission"
	"github.com/enoki-go/enoki/internal/trail"
)

// scope is a running service as its extensions see it.
type scope struct {
	*instance
	client *Client
}

func scopeOf(i *instance) *entrypoint.Scope {
	s := scope{i, i.process.client(i)}
	o := &i.process.options
	return &entrypoint.Scope{
		Service: i.service.name, Logger: i.log, Errors: i.errors, Broker: i.process.broker,
		HTTPAddress: o.HTTPAddress, HTTPHosts: o.HTTPHosts, Isolated: o.Isolated, Memory: o.Memory,
		Worker: s, Sender: s,
	}
}

// Handle implements entrypoint.Worker.
func (s scope) Handle(ctx context.Context, kind entrypoint.Kind, name string, fn func(context.Context) error) error {
	return s.do(ctx, kind, name, fn)
}

// Received implements entrypoint.Worker.
func (s scope) Received(ctx context.Context, m *broker.Message) context.Context {
	var o trail.Origin
	o.Receive(m)
	return trail.With(ctx, &o.Trail)
}

type slotKey struct{}

// Yield implements entrypoint.Worker.
func (s scope) Yield(ctx context.Context) {
	if release, ok := ctx.Value(slotKey{}).(func()); ok {
		release()
	}
}

// DeadLettered implements entrypoint.Worker.
func (s scope) DeadLettered(l broker.DeadLetter) { s.buried(l) }

// Decode implements entrypoint.Worker.
func (s scope) Decode(m *broker.Message, v any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.Panicked(p)
			logPanic(context.Background(), s.log, "decoding of a "+reflect.TypeOf(v).String(), err)
		}
	}()
	body, form, err := s.forms.open(m)
	if err != nil {
		return err
	}
	if err := contract.Unmarshal(body, form == nil, reflect.ValueOf(v).Elem()); err != nil {
		return fmt.Errorf("payload is not as declared: %w", contract.Unfit(reflect.TypeOf(v).Elem(), err))
	}
	return nil
}

// Send implements entrypoint.Sender.
func (s scope) Send(ctx context.Context, kind entrypoint.Kind, service, method string, payload any, fn func(ctx context.Context) error) error {
	send := s.client.through(func(ctx context.Context, _ *Call) error {
		ctx, limit := withTimeout(ctx, 0, s.client.options.Timeout)
		defer limit.End()
		return fn(ctx)
	})
	return send(ctx, &Call{Kind: kind, Service: service, Method: method, Outgoing: true, in: reflected([]any{payload})})
}

// Message implements entrypoint.Sender.
func (s scope) Message(ctx context.Context, payload any) (*broker.Message, error) {
	return s.client.payload(ctx, payload)
}

// EventMessage implements entrypoint.Sender.
func (s scope) EventMessage(ctx context.Context, source, event string, payload any, options ...emission.Option) (*broker.Message, error) {
	m, err := s.client.eventMessage(ctx, source, event, payload, emission.New(options))
	if err != nil {
		return nil, err
	}
	return m, coded(s.client.broker.CheckEvent(source, event, m), "event %s.%s", source, event)
}

// do runs a function as a handler. Its work does not come as a message.
func (i *instance) do(ctx context.Context, kind entrypoint.Kind, name string, fn func(context.Context) error) error {
	if !i.acquire(ctx) {
		if err := ctx.Err(); err != nil {
			return err
		}
		return Errorf(Unavailable, "service %s is stopping", i.service.name)
	}
	release := i.release
	if kind == entrypoint.HTTP { // an HTTP request may become a stream
		release = sync.OnceFunc(release)
		ctx = context.WithValue(ctx, slotKey{}, release) // see Yield
	}
	defer release()
	ctx = trail.Enter(ctx, trail.Of(ctx), i.service.name, name, i.process.options.CallsTracked)
	c := &Call{Kind: kind, Service: i.service.name, Method: name, work: fn}
	if kind == entrypoint.HTTP { // package web replies before this goroutine ends
		return i.work(ctx, c)
	}
	return apart(func() error { return i.work(ctx, c) })
}
