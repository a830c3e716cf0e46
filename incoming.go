package enoki

import (
	"context"
	"reflect"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/entrypoint"
	"github.com/enoki-go/enoki/internal/deadline"
	"github.com/enoki-go/enoki/internal/trail"
)

// incoming is a message together with everything that lives as long as its
// handler. It is one allocation instead of five.
type incoming struct {
	origin trail.Origin
	left   time.Duration // time left for the sender's request; 0 if it has no limit
	limit  deadline.Context
	room   [2]reflect.Value // for the arguments, if there are few
	handling
}

// handling is a call and the context of its handler.
type handling struct {
	call    Call
	context trail.Handler
}

func receive(m *broker.Message, kind entrypoint.Kind, service, method string) *incoming {
	in := new(incoming)
	in.call = Call{Kind: kind, Service: service, Method: method}
	in.left = in.origin.Receive(m)
	return in
}

// within returns the context of the work before the handler. It ends with ctx
// or when the request's time is over.
func (in *incoming) within(ctx context.Context) context.Context {
	if in.left == 0 {
		return ctx
	}
	in.limit.Begin(ctx, in.left)
	return &in.limit
}

// enter returns the context of the handler.
func (in *incoming) enter(ctx context.Context, tracked int) *trail.Handler {
	return in.handling.enter(ctx, &in.origin.Trail, tracked)
}

// enter returns the context of the handler. t is the trail that the work came
// with.
func (h *handling) enter(ctx context.Context, t *trail.Trail, tracked int) *trail.Handler {
	h.context.Context = ctx
	h.context.Enter(t, h.call.Service, h.call.Method, tracked)
	return &h.context
}
