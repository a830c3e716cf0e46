package fault

import (
	"errors"
	"fmt"
	"strings"
)

// Type ties a Go error type to the path of a Python class, so that the error
// keeps its type across the wire. errors.As finds it in the error of a call. A
// Python caller that has registered the class gets an instance of it. Make a
// Type with TypeOf or TypeFunc. It may be used concurrently.
type Type struct {
	path    string
	args    func(error) ([]any, bool)
	make    func(args []any, message string) error
	mistake error
}

// TypeOf returns the Type of the error struct E. path is the path of its Python
// class, such as "shop.exceptions.OutOfStock". The exported fields of E, in
// order, are the arguments of the Python exception. They cross the wire as
// text, like all arguments of Nameko's exceptions, and get their Go types back
// on the other side. Numbers and booleans do, and so do types with a text form
// of their own; all other types use their JSON. An error whose arguments don't
// fit stays an *Error.
func TypeOf[E error](path string) Type {
	fields, err := fieldsOf[E]()
	if err != nil {
		return Type{path: path, args: func(error) ([]any, bool) { return nil, false }, mistake: err}
	}
	return TypeFunc(path,
		func(e E) []any { return fields.arguments(e) },
		func(args []any, _ string) E {
			var e E
			fields.fill(&e, args)
			return e
		})
}

// TypeFunc is like TypeOf, for an error type of any shape. args returns the
// arguments of the Python exception, which cross the wire as text; nil means
// the error's message. from makes an E from the arguments and the message that
// came. It may panic if they don't fit; the error then stays an *Error. Both
// functions may be called concurrently.
func TypeFunc[E error](path string, args func(E) []any, from func(args []any, message string) E) Type {
	t := Type{
		path: path,
		args: func(err error) ([]any, bool) {
			var e E
			if !errors.As(err, &e) {
				return nil, false
			}
			if args == nil {
				return []any{Text(e)}, true
			}
			return args(e), true
		},
		make: func(args []any, message string) (err error) {
			defer func() {
				if recover() != nil {
					err = nil // another program sent the arguments, and from may not expect them
				}
			}()
			return from(args, message)
		},
	}
	if path == "" || from == nil {
		t.mistake = fmt.Errorf("%q has no path, or no function to make it of what came; give TypeFunc both", path)
	}
	return t
}

// Types are the error types that one service or client knows.
type Types []Type

// Check returns an error for each Type that was not made by TypeOf or TypeFunc,
// or that lacks a path or a function.
func (t Types) Check() error {
	var mistakes []error
	for n, known := range t {
		switch {
		case known.args == nil:
			mistakes = append(mistakes, fmt.Errorf("error type %d of %d is empty; make it with fault.TypeOf", n+1, len(t)))
		case known.mistake != nil:
			mistakes = append(mistakes, fmt.Errorf("error type %d of %d: %w", n+1, len(t), known.mistake))
		}
	}
	return errors.Join(mistakes...)
}

// Failure returns a handler's error as the caller on the other side sees it. An
// error from a call that the handler made crosses as Nameko's RemoteError,
// unless its type is known. Codes that would say something false about the
// outer call become others, see [RelayedCode].
func (t Types) Failure(err error) (e *Error) {
	defer func() {
		if p := recover(); p != nil {
			e = onWire(Panicked(p))
		}
	}()
	e = onWire(err)
	for _, known := range t {
		if args, ok := known.args(err); ok {
			e.Path, e.Type = known.path, known.path[strings.LastIndexByte(known.path, '.')+1:]
			e.Args, e.remote = args, false
			return e
		}
	}
	code := RelayedCode(err)
	if code == e.Code && !e.remote {
		return e
	}
	if !e.remote {
		switch e.Code {
		case UnknownService, NotDelivered, UnknownOutcome, Blocked: // crosses as Nameko sends it; no caller mistakes it for its own
			e.Code = code
			return e
		}
	}
	text := e.Type
	if e.Message != "" && e.Message != string(e.Code) {
		text += " " + e.Message
	}
	return &Error{
		Code: code, Type: "RemoteError", Path: "nameko.exceptions.RemoteError",
		Args: []any{e.Type, e.Message}, Message: text, remote: true,
	}
}

// Answer returns a handler's error as the other side of a call gets it: Failure
// after crossing the wire.
func (t Types) Answer(err error) *Error { return Crossed(t.Failure(err)) }

// Restore gives an error from the other side of a call its Go type.
func (t Types) Restore(err error) error {
	if err == nil || len(t) == 0 {
		return err
	}
	e := find(err)
	if e == nil || !e.remote {
		return err
	}
	for _, known := range t {
		if known.path == e.Path {
			e.cause = known.make(e.Args, e.Message)
		}
	}
	return err
}
