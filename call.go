package enoki

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"
	"slices"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/entrypoint"
	"github.com/enoki-go/enoki/fault"
	"github.com/enoki-go/enoki/internal/contract"
	"github.com/enoki-go/enoki/internal/emission"
)

// Call is one piece of work as middleware sees it: on the way into a handler,
// or on the way out to another service. It belongs to one goroutine.
type Call struct {
	Kind    entrypoint.Kind
	Service string // whose handler it is for; for an event on its way out, who emits it
	Method  string // the RPC method, the event handler or event type, the timer, the HTTP route

	// Outgoing is true for a call or event that a service or client sends.
	Outgoing bool

	exited    bool               // the handler has ended its goroutine
	sensitive []int              // which arguments no log shows
	emission  *emission.Emission // of an event that is emitted; nil without options

	ctx     context.Context // of the handler's function
	in, out []reflect.Value
	work    func(ctx context.Context) error // of a timer or an extension
}

// Args returns the arguments of an RPC call or the payload of an event,
// without the context. Work of other kinds has none that Enoki knows.
func (c *Call) Args() []any { return values(c.in) }

// Results returns what an RPC call has returned, without the error; empty
// before it has.
func (c *Call) Results() []any { return values(c.out) }

// LogArgs returns Args as a log may show them, for middleware that writes one.
// Arguments that the contract's tag names, as in sensitive:"password,card", are
// hidden, and so are fields of structs with the tag sensitive:"true": text is
// "xxxxx", anything else its zero value.
func (c *Call) LogArgs() []any {
	out := make([]any, len(c.in))
	for i, v := range c.in {
		if slices.Contains(c.sensitive, i) {
			out[i] = contract.Hidden
		} else {
			out[i] = contract.WithoutSecrets(v).Interface()
		}
	}
	return out
}

func values(list []reflect.Value) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v.Interface()
	}
	return out
}

// Handler does a piece of work. The work's arguments and results are in c.
type Handler func(ctx context.Context, c *Call) error

// Middleware puts something around a handler, or around a call to another
// service: it does its own work before and after it calls next, or answers
// itself with an error. It must be safe for concurrent use.
type Middleware func(next Handler) Handler

// chain puts the middlewares around h, the first one outermost. It panics when
// one of them makes no handler.
func chain(h Handler, middleware ...[]Middleware) Handler {
	for _, list := range slices.Backward(middleware) {
		for n, m := range slices.Backward(list) {
			if h = m(h); h == nil {
				panic(fmt.Sprintf("middleware %d of %d returned no handler; return one that calls next", n+1, len(list)))
			}
		}
	}
	return h
}

// recovered turns a panic of next, or of the error that it returns, into an
// error with code Internal and logs it with its stack: one bad request must not
// end the process. A next that ends its goroutine can't be kept from that. It is
// logged here; who has started the goroutine answers, see broker.Service.Fail
// and apart.
func recovered(log *slog.Logger, known fault.Types, next Handler) Handler {
	return func(ctx context.Context, c *Call) (err error) {
		returned := false
		defer func() {
			if returned {
				return
			}
			if p := recover(); p != nil {
				log.ErrorContext(ctx, "handler panicked", "kind", string(c.Kind), "method", c.Method,
					"call", CallID(ctx), "panic", p, "stack", string(debug.Stack()))
				err = fault.Panicked(p)
				return
			}
			if !c.exited { // otherwise an inner net has seen it
				c.exited = true
				log.ErrorContext(ctx, broker.ErrExited.Error(), "kind", string(c.Kind), "method", c.Method,
					"call", CallID(ctx), "stack", string(debug.Stack()))
			}
		}()
		err = next(ctx, c)
		known.Probe(err)
		returned = true
		return err
	}
}

// apart runs fn in a goroutine of its own and waits for it, so that its caller
// goes on when fn ends the goroutine. fn must not panic.
func apart(fn func() error) error {
	ended := make(chan error, 1)
	go func() {
		var err error = fault.Exited()
		defer func() { ended <- err }()
		err = fn()
	}()
	return <-ended
}

// invoke returns the handler that calls fn with the arguments of a Call.
func invoke(fn reflect.Value) Handler {
	return func(ctx context.Context, c *Call) error {
		c.ctx = ctx               // where package reflect finds it as the interface that fn wants
		var room [4]reflect.Value // on the stack, where most calls have enough of it
		in := append(room[:0], reflect.ValueOf(&c.ctx).Elem())
		out := fn.Call(append(in, c.in...))
		last := len(out) - 1
		c.out = out[:last]
		err, _ := out[last].Interface().(error)
		return err
	}
}
