package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/entrypoint"
	"github.com/enoki-go/enoki/websocket"
)

const requestIDHeader = "X-Request-Id"

// handler responds to all requests of one Serve. Its routes are fixed once it
// is made, and its scope once it is bound.
type handler struct {
	options  Options
	mux      *http.ServeMux
	schemas  *schemas
	openAPI  *huma.OpenAPI
	scope    *entrypoint.Scope
	routes   []entrypoint.Description // in the order of declaration
	sockets  []*websocket.Server
	handled  map[string]*Route // by pattern
	guard    guard
	declared []Security   // in the document
	inside   http.Handler // the routes inside the middleware of Options; nil without middleware
	shares   bool         // there is middleware, so answers are found by the request's context
	largest  int64        // bytes of the largest body that any route allows; negative means no limit

	operations map[string]bool // ids that the OpenAPI document has
}

// NewHandler returns the handler with which Serve would listen, for tests of
// the routes with package httptest. Handlers run in no service: they have no
// worker slot, no call id and no middleware of a service. NewHandler panics if
// a route can't work.
func NewHandler(o *Options, routes ...Route) http.Handler {
	h, err := newHandler(o, routes)
	if err == nil {
		err = h.bind(&entrypoint.Scope{Service: "web", Logger: slog.New(enoki.LogHandler(slog.Default().Handler())), Worker: alone{}, Memory: entrypoint.NewMemory(entrypoint.DefaultMemory)})
	}
	if err != nil {
		panic(err)
	}
	return h
}

// alone replaces the service for NewHandler.
type alone struct{ entrypoint.Worker }

func (alone) Handle(ctx context.Context, _ entrypoint.Kind, name string, fn func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = enoki.Errorf(enoki.Internal, "%s: panic: %v\n%s", name, p, debug.Stack())
		}
	}()
	return fn(ctx)
}

func (alone) Yield(context.Context) {}

func newHandler(o *Options, routes []Route) (*handler, error) {
	h := &handler{options: o.withDefaults(), mux: http.NewServeMux(), schemas: newSchemas(), operations: map[string]bool{}, handled: map[string]*Route{}}
	h.openAPI = newDocument(&h.options, h.schemas)
	mistakes := []error{h.guard.set(&h.options), h.declareSecurity()}
	for n, r := range routes {
		if r.register == nil {
			mistakes = append(mistakes, fmt.Errorf("web: route %d of %d is empty; make it with Get, Post or another function of package web, or leave it out", n+1, len(routes)))
			continue
		}
		mistakes = append(mistakes, h.add(r))
	}
	if err := checkMiddleware(h.options.Middleware); err != nil {
		mistakes = append(mistakes, fmt.Errorf("web: Options.Middleware: %w", err))
	} else if len(h.options.Middleware) > 0 {
		h.shares = true
		h.inside = around(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.respond(w, r, h.route) }), h.options.Middleware)
	}
	return h, errors.Join(mistakes...)
}

// add registers a route. It turns the panics of package http and of our own
// code into errors, so that a service can report all mistakes.
func (h *handler) add(r Route) (err error) {
	defer func() {
		p := recover()
		if texts, several := p.(mistakes); several {
			failures := make([]error, len(texts))
			for i, text := range texts {
				failures[i] = fmt.Errorf("web: route %s can't be served: %s", r.name(), text)
			}
			err = errors.Join(failures...)
		} else if p != nil {
			err = fmt.Errorf("web: route %s can't be served: %v", r.name(), p)
		}
	}()
	if r.settings.maxBody == 0 {
		r.settings.maxBody = h.options.MaxBody
	}
	if r.settings.timeout == 0 {
		r.settings.timeout = h.options.Timeout
	}
	if h.largest >= 0 {
		h.largest = max(h.largest, r.settings.maxBody)
		if r.settings.maxBody < 0 {
			h.largest = -1
		}
	}
	h.shares = h.shares || len(r.settings.middleware) > 0
	r.label = r.name()
	if err := checkMiddleware(r.settings.middleware); err != nil {
		r.mistakes.add("%v", err)
	}
	if len(r.mistakes) > 0 {
		panic(r.mistakes)
	}
	for _, s := range r.settings.security {
		if err := h.declare(s); err != nil {
			return err
		}
	}
	r.register(h, &r)
	h.routes = append(append(h.routes, r.describe()), r.functions...)
	return nil
}

// bind gives the handler its service and makes everything that needs the
// service's name.
func (h *handler) bind(scope *entrypoint.Scope) error {
	h.scope = scope
	for _, sockets := range h.sockets {
		sockets.Bound(scope.Memory, h.options.MaxSockets)
	}
	if h.options.NoDocs {
		return nil
	}
	return h.document(scope.Service)
}

// closeSockets closes the WebSockets, which package http no longer knows.
func (h *handler) closeSockets(ctx context.Context) error {
	failures := make([]error, len(h.sockets))
	var all sync.WaitGroup
	for i, sockets := range h.sockets {
		all.Go(func() { failures[i] = sockets.Shutdown(ctx) })
	}
	all.Wait()
	return errors.Join(failures...)
}

// plain registers a handler of package http.
func (h *handler) plain(r *Route, next http.Handler) {
	h.handle(r.path, r, func(a *answer, req *http.Request) {
		if limit := r.settings.maxBody; limit >= 0 {
			req.Body = http.MaxBytesReader(a, req.Body, limit)
		}
		defer h.count(req)()
		returned := false
		err := h.call(newExchange(req, r, a).Context(), func(ctx context.Context) error {
			a.streams = func() { h.scope.Yield(ctx) }
			a.pass()
			next.ServeHTTP(a, req.WithContext(ctx))
			returned = true
			if a.status >= http.StatusInternalServerError {
				return enoki.Errorf(enoki.Internal, "the handler answered with status %d", a.status)
			}
			return nil
		})
		var refused *refusal
		switch {
		case returned || !errors.As(err, &refused):
		case a.status != 0:
			panic(http.ErrAbortHandler) // it panicked in the middle of its response
		default:
			a.problem(refused.Problem)
		}
	})
}

// call runs fn as a handler of the service. An error is a refusal that the
// client may see. The log has what the client must not see.
func (h *handler) call(ctx context.Context, fn func(context.Context) error) error {
	err := h.do(ctx, fn)
	if err == nil {
		return nil
	}
	p := problemOf(err)
	p.Instance = exchangeOf(ctx).answer.instance()
	if p.Status >= http.StatusInternalServerError {
		h.logFailure(ctx, err)
	}
	return &refusal{p}
}

// do runs fn as a handler of the service.
func (h *handler) do(ctx context.Context, fn func(context.Context) error) error {
	e := exchangeOf(ctx)
	if timeout := e.route.settings.timeout; timeout > 0 {
		e.limit.Begin(ctx, timeout)
		defer e.limit.End()
		ctx = &e.limit
	}
	return h.scope.Handle(ctx, entrypoint.HTTP, e.route.label, func(ctx context.Context) error {
		id := enoki.CallID(ctx)
		e.answer.exchanged.called(id[strings.LastIndexByte(id, '.')+1:])
		return fn(ctx)
	})
}

// logFailure logs an error, because the client may not see its text.
func (h *handler) logFailure(ctx context.Context, err error) {
	e := exchangeOf(ctx)
	h.scope.Logger.ErrorContext(ctx, "handler failed", "kind", string(entrypoint.HTTP), "method", e.route.label,
		"request", e.answer.id(), "code", string(enoki.CodeOf(err)), "error", err)
}

// ServeHTTP responds to a request and logs it.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	a := newAnswer(h, w, r)
	defer func() { h.log(r, a, start) }()
	a.arrival.begin(w, r, start, h.options.ReadTimeout)
	if h.shares {
		r = r.WithContext(context.WithValue(r.Context(), exchangedKey{}, a.exchanged))
	}
	h.recovered(a, r, h.serve)
	a.finish()
}

// serve checks a request and passes it on.
func (h *handler) serve(a *answer, r *http.Request) {
	if p := h.guard.refusal(a.Header(), r, h.skipsOrigin); p != nil {
		a.problem(p)
		return
	}
	a.keep()
	switch {
	case h.guard.preflight(a, r):
	case h.inside == nil:
		h.route(a, r)
	default:
		if h.largest >= 0 {
			r.Body = http.MaxBytesReader(a, r.Body, h.largest)
		}
		a.through = true // the answers of the routes are held back further inside
		h.inside.ServeHTTP(a, r)
	}
}

// recovered calls serve and catches its panics. call catches the panics of
// handlers. The panics here come from middleware, or from decoding and
// encoding, such as a MarshalJSON method. Code may also end the goroutine, and
// the connection ends with it.
func (h *handler) recovered(a *answer, r *http.Request, serve serveFunc) {
	returned := false
	defer func() {
		if returned {
			return
		}
		p := recover()
		if p == http.ErrAbortHandler { // the code that aborts the response has logged it
			panic(p)
		}
		route, within := a.exchanged.place()
		h.scope.Logger.ErrorContext(within, "request failed", "method", r.Method, "route", route,
			"request", a.id(), "error", broker.Ended(p), "stack", string(debug.Stack()))
		switch {
		case a.through && a.status != 0 && p != nil:
			panic(http.ErrAbortHandler) // the client must see that the response is not complete
		case a.through && a.status != 0:
			return // the end of the connection shows it to the client
		}
		a.through = false // nothing was sent yet
		a.problem(newProblem(http.StatusInternalServerError, "internal error"))
		if p == nil {
			a.Header().Set("Connection", "close")
			a.finish()
			_ = http.NewResponseController(a.ResponseWriter).Flush() // nobody flushes after this
		}
	}()
	serve(a, r)
	returned = true
}

// unrouted replaces the responses of http.ServeMux itself: its 404 and 405 are
// plain text, and it does not know OPTIONS.
func (h *handler) unrouted(a *answer, r *http.Request) {
	switch a.status {
	case http.StatusNotFound:
		a.problem(newProblem(a.status, notFoundText(r)))
	case http.StatusMethodNotAllowed:
		allow := append(strings.Split(a.Header().Get("Allow"), ", "), http.MethodOptions)
		slices.Sort(allow)
		allow = slices.Compact(allow)
		if r.Method == http.MethodOptions {
			a.discard()
			a.WriteHeader(http.StatusNoContent)
		} else {
			a.problem(newProblem(a.status, fmt.Sprintf("%s is not possible here; use one of %s", r.Method, strings.Join(allow, ", "))))
		}
		a.Header().Set("Allow", strings.Join(allow, ", "))
	}
}

func (h *handler) log(r *http.Request, a *answer, start time.Time) {
	if !h.scope.Logger.Enabled(r.Context(), slog.LevelInfo) {
		return
	}
	route, within := a.exchanged.place()
	attrs := make([]slog.Attr, 0, 7)
	attrs = append(attrs, slog.String("method", r.Method), slog.String("route", route))
	if route == "" {
		attrs = append(attrs, slog.String("path", r.URL.Path))
	}
	attrs = append(attrs, slog.Int("status", a.status), slog.Int("bytes", a.size),
		slog.Duration("took", time.Since(start)), slog.String("request", a.id()))
	h.scope.Logger.LogAttrs(within, slog.LevelInfo, "http", attrs...)
}
