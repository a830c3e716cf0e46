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

// Handler does a piece of work. The arguments and results are in c.
type Handler func(ctx context.Context, c *Call) error

// Middleware wraps a handler, or a call to another service. It may work before
// and after it calls next, or return an error without calling next. It must be
// safe for concurrent use.
type Middleware func(next Handler) Handler

// chain wraps h in the middleware; the first one is outermost. It panics if a
// middleware returns nil.
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

// recovered turns a panic of next into an error with the code Internal and logs
// it with its stack, because one bad request must not end the process. It also
// catches a panic of the methods of the error that next returns. It can't stop
// a next that ends its goroutine. It only logs that. The code that
// started the goroutine must reply, see broker.Service.Fail and apart.
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
			if !c.exited { // otherwise an inner net has logged it
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

// apart runs fn in a new goroutine and waits for it. The caller goes on even
// when fn ends that goroutine. fn must not panic.
func apart(fn func() error) error {
	ended := make(chan error, 1)
	go func() {
		var err error = fault.Exited()
		defer func() { ended <- err }()
		err = fn()
	}()
	return <-ended
}

// Guarded returns middleware that applies one policy of package resilience. All
// handlers or calls with this middleware share the policy.
func Guarded(p resilience.Policy) Middleware {
	return func(next Handler) Handler {
		return func(ctx context.Context, c *Call) error {
			return p(ctx, func(ctx context.Context) error { return next(ctx, c) })
		}
	}
}

// GuardedEach is like Guarded, but each method, handler or event has a policy
// of its own. newPolicy makes it when it is first needed. It may be called
// concurrently, also twice for the same target; one of the two policies is
// dropped then. Policies are kept for ever, so use GuardedEach only for names
// that are declared.
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
