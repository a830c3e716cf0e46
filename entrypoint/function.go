package entrypoint

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/enoki-go/enoki/fault"
	"github.com/enoki-go/enoki/internal/contract"
)

// Function is a Go function whose arguments have names, for entrypoints that are
// called with JSON. It may be used concurrently.
type Function struct {
	method *contract.Method
	fn     reflect.Value
}

// NewFunction checks a function as enoki.Method does: fn takes a context and the
// named arguments, and returns results and an error; "?" after a name allows a
// caller to leave the argument out.
func NewFunction(name string, fn any, args ...string) (*Function, error) {
	m, v, err := contract.Of(name, fn, args...)
	if err == nil && (m.Item != nil || m.Reply != nil) {
		return nil, fmt.Errorf("method %q returns a %s, which only a contract can carry; return a slice", name, m.Func.Out(0))
	}
	if err != nil {
		return nil, err
	}
	return &Function{m, v}, nil
}

// Name returns the name that the function was given.
func (f *Function) Name() string { return f.method.Name }

// Args returns the names of the arguments as they were given, with their "?".
func (f *Function) Args() []string { return f.method.ArgNames() }

// Bind decodes the arguments of a call, by position, by name or both, and
// returns what does the call. Its result is nil for a function without results,
// a list for one with several. Arguments that do not fit are an *fault.Error as
// the caller should see it, with the code IncorrectSignature or InvalidArgument.
func (f *Function) Bind(positional []json.RawMessage, named map[string]json.RawMessage) (do func(context.Context) (any, error), err error) {
	defer fault.Rescue(&err)
	args, refused := f.method.Bind(positional, named)
	if refused != nil {
		return nil, fault.Crossed(refused)
	}
	return func(ctx context.Context) (any, error) {
		out := f.fn.Call(append([]reflect.Value{reflect.ValueOf(ctx)}, args...))
		last := len(out) - 1
		if err, _ := out[last].Interface().(error); err != nil {
			return nil, err
		}
		switch last {
		case 0:
			return nil, nil
		case 1:
			return out[0].Interface(), nil
		}
		results := make([]any, last)
		for i := range results {
			results[i] = out[i].Interface()
		}
		return results, nil
	}, nil
}
