package enoki

import (
	"context"
	"reflect"
	"slices"

	"github.com/enoki-go/enoki/entrypoint"
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
