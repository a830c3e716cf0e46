package enoki

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrorType ties a Go error type to the path of a Python class, so that the
// error crosses the wire as itself: errors.As finds it in the error of a
// call, and a Python caller that has registered the class gets an instance of
// it. Make one with ErrorAs.
type ErrorType struct {
	path string
	args func(error) ([]any, bool)
	make func(args []any, message string) error
}

// ErrorAs returns the error type E with the path of its Python class, such as
// "shop.exceptions.OutOfStock". args gives the arguments that Python makes the
// exception of, which cross the wire as text; nil gives the error's message.
// from makes an E of the arguments and message that came.
func ErrorAs[E error](path string, args func(E) []any, from func(args []any, message string) E) ErrorType {
	t := ErrorType{
		path: path,
		args: func(err error) ([]any, bool) {
			var e E
			if !errors.As(err, &e) {
				return nil, false
			}
			if args == nil {
				return []any{textOf(e)}, true
			}
			return args(e), true
		},
		make: func(args []any, message string) (err error) {
			defer func() {
				if recover() != nil {
					err = nil // the arguments are another program's: they may not be what from expects
				}
			}()
			return from(args, message)
		},
	}
	if from == nil {
		t.make = nil
	}
	return t
}

// Errors declares the error types that the service's handlers return and its
// calls get, beside those of Options.Errors.
func Errors(types ...ErrorType) Part {
	return partFunc(func(s *Service) error {
		s.errors = append(s.errors, types...)
		return errorTypes(types).check()
	})
}

// errorTypes are those that one service or client knows.
type errorTypes []ErrorType

// check finds types that ErrorAs has not made, and those that it was given too
// little for.
func (t errorTypes) check() error {
	var mistakes []error
	for n, known := range t {
		switch {
		case known.args == nil:
			mistakes = append(mistakes, fmt.Errorf("error type %d of %d is empty; make it with enoki.ErrorAs", n+1, len(t)))
		case known.path == "" || known.make == nil:
			mistakes = append(mistakes, fmt.Errorf("error type %d of %d, %q, has no path or no function to make it of what came; give ErrorAs both", n+1, len(t), known.path))
		}
	}
	return errors.Join(mistakes...)
}

func (t errorTypes) and(more []ErrorType) errorTypes { return slices.Concat(t, more) }

// failure is what a caller on the other side sees of a handler's error. An
// error from a call of the handler's own crosses as Nameko's RemoteError,
// unless its type is known; so do the codes of one hop, which would say
// something false about the caller's own.
func (t errorTypes) failure(err error) (e *Error) {
	defer func() {
		if p := recover(); p != nil {
			e = onWire(panicError(p))
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
	if e.Code == UnknownService && !e.remote { // Nameko's own form of it, which no caller takes for its own
		e.Code = code
		return e
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

// restore gives an error that came from the other side of a call its Go type.
func (t errorTypes) restore(err error) error {
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
