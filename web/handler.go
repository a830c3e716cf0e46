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
	"github.com/enoki-go/enoki/websocket"
)

const requestIDHeader = "X-Request-Id"

// handler answers all requests of one Serve. Its routes are fixed once it is
// made; its scope once it is bound.
type handler struct {
	options Options
	mux     *http.ServeMux
	schemas *schemas
	openAPI *huma.OpenAPI
	scope   *enoki.Scope
	routes  []string // names, in the order of declaration
	sockets []*websocket.Handler

	operations map[string]bool // ids taken in the OpenAPI document
}

// NewHandler returns the handler that Serve would listen with, for tests of
// the routes with package httptest. Handlers run in no service: without a
// worker slot, a call id and middleware. It panics for routes that can't work.
func NewHandler(o *Options, routes ...Route) http.Handler {
	h, err := newHandler(o, routes)
	if err == nil {
		err = h.bind(&enoki.Scope{Service: "web", Logger: slog.Default(), Handle: handleAlone})
	}
	if err != nil {
		panic(err)
	}
	return h
}

// handleAlone does for NewHandler what a service would do.
func handleAlone(ctx context.Context, _ enoki.Kind, name string, fn func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = enoki.Errorf(enoki.Internal, "%s: panic: %v\n%s", name, p, debug.Stack())
		}
	}()
	return fn(ctx)
}

func newHandler(o *Options, routes []Route) (*handler, error) {
	h := &handler{options: o.withDefaults(), mux: http.NewServeMux(), schemas: newSchemas(), operations: map[string]bool{}}
	h.openAPI = newDocument(&h.options, h.schemas)
	var mistakes []error
	for _, r := range routes {
		mistakes = append(mistakes, h.add(r))
	}
	return h, errors.Join(mistakes...)
}

// add registers a route. Package http panics for a mistake, as our own code
// does, which becomes an error here: only then can a service report all.
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
	r.label = r.name()
	r.register(h, &r)
	h.routes = append(append(h.routes, r.name()), r.lines...)
	return nil
}

// bind gives the handler the service that it works for, and makes what needs
// the service's name.
func (h *handler) bind(scope *enoki.Scope) error {
	h.scope = scope
	if h.options.NoDocs {
		return nil
	}
	return h.document(scope.Service)
}

// closeSockets ends the sockets, which package http does not know any more.
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
	h.mux.HandleFunc(r.path, func(w http.ResponseWriter, req *http.Request) {
		a := w.(*answer)
		if limit := r.settings.maxBody; limit >= 0 {
			req.Body = http.MaxBytesReader(w, req.Body, limit)
		}
		returned := false
		err := h.call(newExchange(req.Context(), r, a).Context(), func(ctx context.Context) error {
			a.pass()
			next.ServeHTTP(w, req.WithContext(ctx))
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
			panic(http.ErrAbortHandler) // it panicked in the middle of its answer
		default:
			a.problem(refused.Problem)
		}
	})
}

// call runs fn as a handler of the service. An error is a refusal, fit for
// the client; what a client must not see of it is in the log.
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
	return h.scope.Handle(ctx, enoki.KindHTTP, e.route.label, func(ctx context.Context) error {
		id := enoki.CallID(ctx)
		e.answer.requestID = id[strings.LastIndexByte(id, '.')+1:]
		return fn(ctx)
	})
}

// logFailure logs an error whose text the client may not have got.
func (h *handler) logFailure(ctx context.Context, err error) {
	e := exchangeOf(ctx)
	h.scope.Logger.ErrorContext(ctx, "handler failed", "kind", string(enoki.KindHTTP), "method", e.route.label,
		"request", e.answer.id(), "code", string(enoki.CodeOf(err)), "error", err)
}

// ServeHTTP answers a request and logs it.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	a := newAnswer(w, r, h.options.WriteTimeout)
	defer func() { h.log(r, a, start) }()
	h.serve(a, r)
	a.finish()
}

// serve routes a request. Handlers' own panics end in call; what arrives here
// is one of decoding or encoding, such as a MarshalJSON's, and whatever ends
// the goroutine, with which the connection ends.
func (h *handler) serve(a *answer, r *http.Request) {
	returned := false
	defer func() {
		if returned {
			return
		}
		p := recover()
		if p == http.ErrAbortHandler { // logged by who wants the connection cut
			panic(p)
		}
		h.scope.Logger.ErrorContext(r.Context(), "request failed", "method", r.Method, "route", r.Pattern,
			"request", a.id(), "error", broker.Ended(p), "stack", string(debug.Stack()))
		switch {
		case a.through && p != nil:
			panic(http.ErrAbortHandler) // the client must see that the answer is not whole
		case a.through && a.status != 0:
			return // it sees that by the end of the connection
		}
		a.through = false // nothing was sent yet
		a.problem(newProblem(http.StatusInternalServerError, "internal error"))
		if p == nil {
			a.Header().Set("Connection", "close")
			a.finish()
			_ = http.NewResponseController(a.ResponseWriter).Flush() // nobody does it after us
		}
	}()
	h.mux.ServeHTTP(a, r)
	if r.Pattern == "" {
		h.unrouted(a, r)
	}
	returned = true
}

// unrouted gives the answers of http.ServeMux itself their form: it says 404
// and 405 in plain text, and knows no OPTIONS.
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
	attrs := make([]slog.Attr, 0, 7)
	attrs = append(attrs, slog.String("method", r.Method), slog.String("route", r.Pattern))
	if r.Pattern == "" {
		attrs = append(attrs, slog.String("path", r.URL.Path))
	}
	attrs = append(attrs, slog.Int("status", a.status), slog.Int("bytes", a.size),
		slog.Duration("took", time.Since(start)), slog.String("request", a.id()))
	h.scope.Logger.LogAttrs(r.Context(), slog.LevelInfo, "http", attrs...)
}
