package fault

import (
	"fmt"
	"reflect"
)

// Exception is Nameko's serialized exception with the code: the "error" of a
// reply.
type Exception struct {
	Type  string `json:"exc_type"`
	Path  string `json:"exc_path"`
	Args  []any  `json:"exc_args"`
	Value string `json:"value"`
	Code  Code   `json:"code,omitempty"`
}

// ExceptionOf returns err in the form that crosses the wire. Everything in it
// is text, so it always encodes as JSON.
func ExceptionOf(err error) *Exception {
	e := Crossed(err)
	return &Exception{e.Type, e.Path, e.Args, e.Message, e.Code}
}

// Error returns the exception as an error. Python sends no code, so Nameko's
// own classes get their code by their path.
func (x *Exception) Error() *Error {
	e := &Error{Code: x.Code, Type: x.Type, Path: x.Path, Args: x.Args, Message: x.Value, remote: true}
	if e.Code != "" {
		return e
	}
	e.Code = Unknown
	for _, code := range []Code{MalformedRequest, IncorrectSignature, MethodNotFound} {
		if x.Path == code.row().path {
			e.Code = code
		}
	}
	return e
}

// Crossed returns err as the other side of a call sees it. It has the class and
// the path of its code, unless it has its own. Its arguments are text, and its
// cause is gone.
func Crossed(err error) *Error {
	e := onWire(err)
	args := make([]any, len(e.Args))
	for i, a := range e.Args {
		args[i] = safeArg(a, 0)
	}
	return &Error{Code: e.Code, Type: e.Type, Path: e.Path, Args: args, Message: e.Message, remote: true}
}

// onWire gives an error the form that crosses the wire.
func onWire(err error) *Error {
	code := CodeOf(err)
	out := &Error{Code: code, Type: code.row().class, Path: code.row().path, Message: Text(err)}
	if e := find(err); e != nil {
		out.remote = e.remote
		if e.Type != "" {
			out.Type, out.Path = e.Type, e.Path
		}
		out.Args = e.Args
		if e.remote {
			out.Message = e.Message
		}
	}
	if out.Args == nil {
		out.Args = []any{out.Message}
	}
	return out
}

// safeArg turns an argument of an error into text, or into lists and maps of
// text, as Python prints them. Nothing else crosses the wire. A depth limit is
// needed because a list may contain itself.
func safeArg(v any, depth int) any {
	if depth > maxArgDepth {
		return "..."
	}
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case []byte:
		return string(v)
	case error, fmt.Stringer:
		return fmt.Sprint(v)
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Slice, reflect.Array:
		list := make([]any, r.Len())
		for i := range list {
			list[i] = safeArg(r.Index(i).Interface(), depth+1)
		}
		return list
	case reflect.Map:
		table := make(map[string]any, r.Len())
		for key, value := range r.Seq2() {
			table[fmt.Sprint(safeArg(key.Interface(), depth+1))] = safeArg(value.Interface(), depth+1)
		}
		return table
	}
	return fmt.Sprint(v)
}

// maxArgDepth is the deepest nesting of lists and maps in an argument.
const maxArgDepth = 20
