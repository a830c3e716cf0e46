package web

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/websocket"
)

// Middleware puts handlers of package http around one route, the first one
// outermost, inside those of Options. See Options.Middleware.
func Middleware(middleware ...func(http.Handler) http.Handler) RouteOption {
	return func(s *settings) { s.middleware = append(s.middleware, middleware...) }
}

// Request returns the HTTP request that ctx belongs to, for its headers,
// cookies and address: in the handler of any route, that of a WebSocket's
// method too, which has the request that opened the socket. It is nil outside
// of HTTP, as in an RPC method. The request must not be changed, and the body
// of a typed route has been read.
func Request(ctx context.Context) *http.Request {
	if e, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return e.request
	}
	return websocket.Request(ctx)
}

// Refuse answers a request as if its handler had returned err: with a problem
// whose status is that of the error's code, such as 401 for
// enoki.Unauthenticated and 403 for enoki.PermissionDenied. It is for
// middleware. The headers that w has stay; a 401 without WWW-Authenticate gets
// that of Options.Security. The text of an error from 500 up goes to the log
// instead of the client.
func Refuse(w http.ResponseWriter, r *http.Request, err error) {
	shared, ok := r.Context().Value(exchangedKey{}).(*exchanged)
	if !ok { // outside of Serve and NewHandler, or with a context of its own
		shared = &exchanged{site: &handler{}}
	}
	p := problemOf(err)
	if p.Status >= http.StatusInternalServerError && shared.site.scope != nil {
		shared.site.scope.Logger.ErrorContext(r.Context(), "request refused", "method", r.Method, "path", r.URL.Path,
			"request", shared.id(), "code", string(enoki.CodeOf(err)), "error", err)
	}
	shared.tell(w, p)
}

// checkMiddleware finds middleware that is nil.
func checkMiddleware(list []func(http.Handler) http.Handler) error {
	for n, m := range list {
		if m == nil {
			return fmt.Errorf("middleware %d of %d is nil; give a function or leave it out", n+1, len(list))
		}
	}
	return nil
}

// around puts middleware around a handler, the first one outermost.
func around(next http.Handler, middleware []func(http.Handler) http.Handler) http.Handler {
	for _, m := range slices.Backward(middleware) {
		next = m(next)
	}
	return next
}

// serveFunc answers a request by an answer that is held back.
type serveFunc func(*answer, *http.Request)

// handle registers what answers the requests to a pattern of a route.
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

// respond has serve answer a request, and sends that to w.
func (h *handler) respond(w http.ResponseWriter, r *http.Request, serve serveFunc) {
	a := h.answerTo(w, r)
	if w == http.ResponseWriter(a) {
		serve(a, r) // whoever made it sends it
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
