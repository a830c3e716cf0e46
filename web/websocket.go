package web

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/entrypoint"
	"github.com/enoki-go/enoki/fault"
	"github.com/enoki-go/enoki/websocket"
)

// SocketFunction is a method that clients call over a WebSocket. SocketMethod
// makes one for WebSocket.
type SocketFunction struct {
	function *entrypoint.Function
	mistake  error
}

// socketIDArg is Nameko's name of the argument with the caller's socket id. A
// client can't set it itself.
const socketIDArg = "socket_id"

// SocketMethod makes a method of fn. fn takes a context, the id of the calling
// socket and the named arguments. It returns results and an error, as in
//
//	func(ctx context.Context, socketID, channel string, last int) ([]string, error)
//
// with the names "channel" and "last?". "?" after a name makes the argument
// optional.
func SocketMethod(name string, fn any, args ...string) SocketFunction {
	if t := reflect.TypeOf(fn); t != nil && t.Kind() == reflect.Func && (t.NumIn() < 2 || t.In(1).Kind() != reflect.String) {
		return SocketFunction{mistake: fmt.Errorf("method %q: %s takes no socket id; make its second argument a string", name, t)}
	}
	f, err := entrypoint.NewFunction(name, fn, append([]string{socketIDArg}, args...)...)
	return SocketFunction{function: f, mistake: err}
}

// WebSocket makes a route on which clients open WebSockets and call methods in
// Nameko's frames. Package websocket describes the frames; the options of the
// hub have the limits. An empty path is "/ws", which is Nameko's.
//
// Each call runs as a handler of the service: with a worker slot, a deadline
// (Timeout of Options), a call id and the middleware. Middleware sees the kind
// entrypoint.WebSocket and the client's method. Request returns the request
// that opened the socket.
//
// When the service stops, running calls are finished and get their reply. Then
// their sockets are closed with 1001.
func WebSocket(path string, hub *websocket.Hub, methods ...SocketFunction) Route {
	path = cmp.Or(path, "/ws")
	return Route{method: socketMethod, path: path, functions: describeSocket(path, methods), register: func(site *handler, r *Route) {
		if hub == nil {
			panic("its hub is nil; make one with websocket.NewHub") // add turns it into an error
		}
		functions, err := socketFunctions(methods)
		if err != nil {
			panic(err)
		}
		site.socket(r, hub, functions)
	}}
}

// socketMethod stands where other routes have their HTTP method.
const socketMethod = "WS"

// describeSocket describes the methods.
func describeSocket(path string, methods []SocketFunction) []entrypoint.Description {
	var all []entrypoint.Description
	for _, m := range methods {
		if m.mistake == nil && m.function != nil {
			about := broker.Method{Name: m.function.Name(), Args: m.function.Args()[1:]} // without the socket's id
			all = append(all, entrypoint.Description{
				Kind: entrypoint.WebSocket, Name: about.Name, Method: &about, Route: &entrypoint.Route{Method: http.MethodGet, Path: path},
				Text: fmt.Sprintf("WS %s %s(%s)", path, about.Name, strings.Join(about.Args, ", ")),
			})
		}
	}
	return all
}

func socketFunctions(methods []SocketFunction) (map[string]*entrypoint.Function, error) {
	functions := make(map[string]*entrypoint.Function, len(methods))
	var mistakes []error
	for n, m := range methods {
		if m.mistake == nil && m.function == nil {
			m.mistake = fmt.Errorf("method %d of %d is empty; make it with SocketMethod, or leave it out", n+1, len(methods))
		}
		if m.mistake != nil {
			mistakes = append(mistakes, m.mistake)
			continue
		}
		name := m.function.Name()
		if functions[name] != nil {
			mistakes = append(mistakes, fmt.Errorf("method %q is there twice", name))
		}
		functions[name] = m.function
	}
	return functions, errors.Join(mistakes...)
}

// socket registers a route of WebSockets.
func (h *handler) socket(r *Route, hub *websocket.Hub, functions map[string]*entrypoint.Function) {
	sockets := websocket.NewServer(hub, func(ctx context.Context, c *websocket.Call) (any, error) {
		result, err := h.callSocket(ctx, r, functions[c.Method], c)
		if err == nil {
			return result, nil
		}
		e := h.exception(err)
		if e.Code.HTTPStatus() >= http.StatusInternalServerError {
			h.scope.Logger.ErrorContext(ctx, "handler failed", "kind", string(entrypoint.WebSocket), "method", c.Method,
				"socket", c.SocketID, "code", string(e.Code), "error", err, "stack", fault.PanicStack(err))
		}
		return nil, socketError(e)
	})
	sockets.Trust(h.guard.trusted...)
	h.sockets = append(h.sockets, sockets)
	h.handle("GET "+r.path, r, func(a *answer, req *http.Request) {
		err := sockets.Serve(a, req)
		switch {
		case a.status != http.StatusSwitchingProtocols:
			version := a.Header().Values("Sec-Websocket-Version") // RFC 6455 requires it beside the refusal of another version
			a.problem(newProblem(a.status, strings.TrimSpace(a.held.String())))
			a.Header()["Sec-Websocket-Version"] = version
		case err != nil:
			h.scope.Logger.WarnContext(req.Context(), "websocket ended", "route", r.path, "request", a.id(), "error", err)
		}
	})
}

// callSocket runs a call as a handler of the service.
func (h *handler) callSocket(ctx context.Context, r *Route, f *entrypoint.Function, c *websocket.Call) (result any, err error) {
	if f == nil {
		return nil, websocket.MethodNotFound()
	}
	do, err := bindSocket(f, c)
	if err != nil {
		return nil, unfit{err}
	}
	if timeout := r.settings.timeout; timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	err = h.scope.Handle(ctx, entrypoint.WebSocket, c.Method, func(ctx context.Context) (err error) {
		result, err = do(ctx)
		return err
	})
	return result, err
}

// bindSocket decodes the arguments of a call.
func bindSocket(f *entrypoint.Function, c *websocket.Call) (func(context.Context) (any, error), error) {
	var named map[string]json.RawMessage
	mistake := ""
	switch err := json.Unmarshal(c.Data, &named); {
	case err != nil:
		mistake = "data must be an object"
	case !anything.passes(c.Data):
		mistake = "data has a name twice in one object"
	}
	if mistake != "" {
		text := f.Name() + "() takes its arguments by name: " + mistake
		return nil, &enoki.Error{
			Code: enoki.IncorrectSignature, Type: "IncorrectSignature", Path: "nameko.exceptions.IncorrectSignature",
			Args: []any{text}, Message: text,
		}
	}
	id, _ := json.Marshal(c.SocketID) // a string always marshals
	return f.Bind([]json.RawMessage{id}, named)
}
