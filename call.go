package enoki

import (
	"context"
	"reflect"
	"slices"

	"github.com/enoki-go/enoki/entrypoint"
	"github.com/enoki-go/enoki/internal/contract"
	"github.com/enoki-go/enoki/internal/emission"
)

// Call is one piece of work as middleware sees it. The work is on its way into
// a handler, or on its way out to another service. A Call belongs to one
// goroutine and must not be used concurrently.
type Call struct {
	Kind    entrypoint.Kind
	Service string // the service whose handler is called; for an outgoing event, the service that emits it
	Method  string // the RPC method, the event handler or the event type, the timer, the HTTP route

	// Outgoing is true for a call or an event that a service or a client sends.
	Outgoing bool

	exited    bool               // the handler has ended its goroutine
	sensitive []int              // the arguments that no log may show
	emission  *emission.Emission // the options of an outgoing event; nil without options

	ctx     context.Context // the context of the handler's function
	in, out []reflect.Value
	work    func(ctx context.Context) error // the function of a timer or an extension
}

// Args returns the arguments of an RPC call or the payload of an event, without
// the context. It is empty for other kinds of work: Enoki does not know their
// arguments.
func (c *Call) Args() []any { return values(c.in) }

// Results returns the results of an RPC call without the error. It is empty
// until the call has returned.
func (c *Call) Results() []any { return values(c.out) }

// LogArgs returns Args in a form that a log may show, for middleware that
// writes one. It hides the arguments that the contract's tag names, as in
// sensitive:"password,card". It also hides the struct fields that have the tag
// sensitive:"true". Hidden text is "xxxxx"; any other hidden value is the zero
// value of its type.
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

func invoke(fn reflect.Value) Handler {
	return func(ctx context.Context, c *Call) error {
		c.ctx = ctx               // package reflect reads it from here, as the interface that fn wants
		var room [4]reflect.Value // on the stack, and large enough for most calls
		in := append(room[:0], reflect.ValueOf(&c.ctx).Elem())
		out := fn.Call(append(in, c.in...))
		last := len(out) - 1
		c.out = out[:last]
		err, _ := out[last].Interface().(error)
		return err
	}
}
