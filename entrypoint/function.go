package entrypoint

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/enoki-go/enoki/fault"
	"github.com/enoki-go/enoki/internal/contract"
)

// Function is a Go function whose arguments have names, for entrypoints that
// call it with JSON. It may be used concurrently.
type Function struct {
	method *contract.Method
	fn     reflect.Value
}

// NewFunction checks a function in the same way as enoki.Method. fn takes a
// context and the named arguments. It returns results and an error. "?" after a
// name makes the argument optional.
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

// Name returns the name of the function.
func (f *Function) Name() string { return f.method.Name }

// Args returns the names of the arguments as given, with their "?".
func (f *Function) Args() []string { return f.method.ArgNames() }

// Bind decodes the arguments of a call, which are given by position, by name or
// both. It returns the function that does the call. The result of do is nil if
// the function has no results, and a list if it has several. If the arguments
// do not fit, err is a *fault.Error for the caller, with the code
// IncorrectSignature or InvalidArgument.
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
