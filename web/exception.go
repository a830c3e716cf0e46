package web

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/websocket"
)

// unfit marks an error of binding arguments, from before any handler ran. It is
// shown unchanged. The same error of a handler would come from another hop.
type unfit struct{ error }

func (u unfit) Unwrap() error { return u.error }

// exception returns an error as clients of Nameko's entrypoints see it. Its
// text is that of a problem. A problem hides what is not the client's fault,
// and these clients are on the internet too. Only an error with a class of its
// own shows its own text.
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
	case e.Type == "RemoteError": // from a call that the handler made
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

// socketError returns an exception in the form of package websocket.
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
