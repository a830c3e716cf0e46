package web

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/websocket"
)

// Middleware puts handlers of package http around one route, inside those of
// Options.Middleware. The first one is outermost.
func Middleware(middleware ...func(http.Handler) http.Handler) RouteOption {
	return func(s *settings) { s.middleware = append(s.middleware, middleware...) }
}

// Request returns the HTTP request that ctx belongs to, for its headers,
// cookies and address. It works in the handler of any route. In a WebSocket's
// method it is the request that opened the socket. It is nil outside of HTTP,
// for example in an RPC method. The request must not be changed. The body of a
// typed route's request has been read.
func Request(ctx context.Context) *http.Request {
	if e, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return e.request
	}
	return websocket.Request(ctx)
}

// Refuse responds to a request as if its handler had returned err. It is for
// middleware. The response is a problem with the status of the error's code,
// such as 401 for enoki.Unauthenticated and 403 for enoki.PermissionDenied.
// Headers that w has already stay. A 401 without WWW-Authenticate gets the one
// of Options.Security. For a status of 500 or more, the error's text goes to
// the log and not to the client.
func Refuse(w http.ResponseWriter, r *http.Request, err error) {
	shared, ok := r.Context().Value(exchangedKey{}).(*exchanged)
	if !ok { // outside of Serve and NewHandler, or with another context
		shared = &exchanged{site: &handler{}}
	}
	p := problemOf(err)
	if p.Status >= http.StatusInternalServerError && shared.site.scope != nil {
		shared.site.scope.Logger.ErrorContext(r.Context(), "request refused", "method", r.Method, "path", r.URL.Path,
			"request", shared.id(), "code", string(enoki.CodeOf(err)), "error", err)
	}
	shared.tell(w, p)
}

// checkMiddleware returns an error for middleware that is nil.
func checkMiddleware(list []func(http.Handler) http.Handler) error {
	for n, m := range list {
		if m == nil {
			return fmt.Errorf("middleware %d of %d is nil; give a function or leave it out", n+1, len(list))
		}
	}
	return nil
}

// around wraps a handler in middleware; the first one is outermost.
func around(next http.Handler, middleware []func(http.Handler) http.Handler) http.Handler {
	for _, m := range slices.Backward(middleware) {
		next = m(next)
	}
	return next
}

// serveFunc responds to a request through an answer that is held back.
type serveFunc func(*answer, *http.Request)

// handle registers the function for the requests to a pattern of a route.
func (h *handler) handle(pattern string, r *Route, serve serveFunc) {
	admitted := func(a *answer, req *http.Request) {
		a.exchanged.came(req)
		if !h.admits(r, req) {
			a.problem(anonymous())
			return
		}
		serve(a, req)
	}
	h.handled[pattern] = r
	h.mux.Handle(pattern, around(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		h.respond(w, req, admitted)
	}), r.settings.middleware))
}

// respond calls serve and sends its answer to w.
func (h *handler) respond(w http.ResponseWriter, r *http.Request, serve serveFunc) {
	a := h.answerTo(w, r)
	if w == http.ResponseWriter(a) {
		serve(a, r) // its maker sends it
		return
	}
	h.recovered(a, r, serve)
	a.finish()
}

// route finds the handler of a request, inside the middleware of Options.
func (h *handler) route(a *answer, r *http.Request) {
	a.exchanged.came(r)
	h.mux.ServeHTTP(a, r)
	a.exchanged.routed(r.Pattern)
	if r.Pattern == "" {
		h.unrouted(a, r)
	}
}
