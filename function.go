package enoki

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
)

// Function is a Go function whose arguments have names, for entrypoints of
// other packages that are called with JSON. It may be used concurrently.
type Function struct {
	method *method
	fn     reflect.Value
}

// NewFunction checks a function as Method does: fn takes a context and the
// named arguments, and returns results and an error; "?" after a name allows a
// caller to leave the argument out.
func NewFunction(name string, fn any, args ...string) (*Function, error) {
	f, err := newFunction(name, fn, args...)
	if err == nil && (f.method.item != nil || f.method.reply != nil) {
		return nil, fmt.Errorf("method %q returns a %s, which only a contract can carry; return a slice", name, f.method.fn.Out(0))
	}
	return f, err
}

func newFunction(name string, fn any, args ...string) (*Function, error) {
	v := reflect.ValueOf(fn)
	if !v.IsValid() || v.Kind() == reflect.Func && v.IsNil() {
		return nil, fmt.Errorf("method %q has no function", name)
	}
	m, err := newMethod(name, v.Type(), args)
	if err != nil {
		return nil, fmt.Errorf("method %q: %w", name, err)
	}
	return &Function{method: m, fn: v}, nil
}

// Name returns the name that the function was given.
func (f *Function) Name() string { return f.method.name }

// Args returns the names of the arguments as they were given, with their "?".
func (f *Function) Args() []string { return f.method.argNames() }

// Bind decodes the arguments of a call, by position, by name or both, and
// returns what does the call. Its result is nil for a function without
// results, a list for one with several. Arguments that do not fit are an
// *Error as the caller should see it, with the code IncorrectSignature or
// InvalidArgument.
func (f *Function) Bind(positional []json.RawMessage, named map[string]json.RawMessage) (do func(context.Context) (any, error), err error) {
	defer rescue(&err)
	args, refused := f.method.bind(&call{Args: &positional, Kwargs: &named})
	if refused != nil {
		return nil, crossed(onWire(refused))
	}
	handle := invoke(f.fn)
	return func(ctx context.Context) (any, error) {
		c := &Call{Method: f.method.name, in: args}
		if err := handle(ctx, c); err != nil {
			return nil, err
		}
		switch results := c.Results(); len(results) {
		case 0:
			return nil, nil
		case 1:
			return results[0], nil
		default:
			return results, nil
		}
	}, nil
}

// Answer returns a handler's error as the other side of a call sees it: under
// the class and path of its code unless it has its own or its type is known,
// its arguments as text, without its cause. An error that came from another
// call becomes Nameko's RemoteError.
func Answer(err error, known ...ErrorType) *Error {
	return crossed(errorTypes(known).failure(err))
}
