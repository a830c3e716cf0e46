package enoki

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/fault"
	"github.com/enoki-go/enoki/resilience"
)

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

// Guarded returns middleware that puts a policy of package resilience around
// every handler or call that it is used for, all of them together.
func Guarded(p resilience.Policy) Middleware {
	return func(next Handler) Handler {
		return func(ctx context.Context, c *Call) error {
			return p(ctx, func(ctx context.Context) error { return next(ctx, c) })
		}
	}
}

// GuardedEach is Guarded with a policy of its own, made by newPolicy when it is
// first needed, for each method, handler or event. It is for names that are
// declared: it keeps a policy for every one that it meets.
func GuardedEach(newPolicy func(service, method string) resilience.Policy) Middleware {
	type target struct{ service, method string }
	var policies sync.Map // of resilience.Policy, by target
	return func(next Handler) Handler {
		return func(ctx context.Context, c *Call) error {
			key := target{c.Service, c.Method}
			p, ok := policies.Load(key)
			if !ok {
				p, _ = policies.LoadOrStore(key, newPolicy(c.Service, c.Method))
			}
			return p.(resilience.Policy)(ctx, func(ctx context.Context) error { return next(ctx, c) })
		}
	}
}
