package web

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/websocket"
)

// unfit marks an error of binding arguments, made before any handler ran. It
// is shown as it is, while a handler's would be one of another hop.
type unfit struct{ error }

func (u unfit) Unwrap() error { return u.error }

// exception returns an error as clients of Nameko's entrypoints see it. The
// text of an error is that of a problem, which hides what is not the client's
// fault, since these clients sit on the far side of the internet, too. Only an
// error to which the handler gave a class of its own shows its text.
func (h *handler) exception(err error) *enoki.Error {
	var binding unfit
	var e *enoki.Error
	if errors.As(err, &binding) && errors.As(err, &e) && e != nil && e.Code.HTTPStatus() < http.StatusInternalServerError {
		return e
	}
	var socket *websocket.Error
	if errors.As(err, &socket) && socket != nil {
		return &enoki.Error{Code: enoki.InvalidArgument, Type: socket.Type, Path: socket.Path, Args: anys(socket.Args), Message: socket.Value}
	}
	e = h.scope.Errors.Answer(err)
	switch {
	case e.Type == "RemoteError": // of a call that the handler made
		if e.Code.HTTPStatus() < http.StatusInternalServerError {
			return e
		}
		e.Message = publicText(e.Code)
	case strings.HasPrefix(e.Path, "enoki."):
		e.Message = problemOf(err).Detail
	default:
		return e
	}
	e.Args = []any{e.Message}
	return e
}

// socketError is an exception in the form of package websocket.
func socketError(e *enoki.Error) *websocket.Error {
	args := make([]string, len(e.Args))
	for i, a := range e.Args {
		args[i] = fmt.Sprint(a)
	}
	return &websocket.Error{Type: e.Type, Path: e.Path, Args: args, Value: e.Message}
}

func anys(texts []string) []any {
	out := make([]any, len(texts))
	for i, text := range texts {
		out[i] = text
	}
	return out
}
