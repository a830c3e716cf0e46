package web

import (
	"context"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/enoki-go/enoki/entrypoint"
)

// Route is one HTTP entrypoint. Get, Post, Put, Patch, Delete, Handle, Plain
// and WebSocket make one for Serve.
type Route struct {
	method, path string // Handle has its whole pattern in path
	settings     settings
	label        string                   // its name, made when it is served
	functions    []entrypoint.Description // of a WebSocket
	mistakes     mistakes                 // mistakes in its declaration
	register     func(*handler, *Route)
}

// name is the name of the route in logs, middleware and call ids.
func (r *Route) name() string {
	if r.method == "" {
		return r.path
	}
	return r.method + " " + r.path
}

func (r *Route) describe() entrypoint.Description {
	kind, method := entrypoint.HTTP, r.method
	if method == socketMethod {
		kind, method = entrypoint.WebSocket, http.MethodGet
	}
	return entrypoint.Description{Kind: kind, Name: r.name(), Text: r.name(), Route: &entrypoint.Route{Method: method, Path: r.path}}
}

type settings struct {
	summary, description string
	tags                 []string
	status               int
	maxBody              int64
	timeout              time.Duration
	middleware           []func(http.Handler) http.Handler
	secured              bool // the route has security of its own
	security             []Security
	anyOrigin            bool
}

// With returns the route with further options.
func (r Route) With(opts ...RouteOption) Route {
	r.mistakes = slices.Clip(r.mistakes)
	for n, opt := range opts {
		if opt == nil {
			r.mistakes.add("option %d of %d is nil; leave it out", n+1, len(opts))
			continue
		}
		opt(&r.settings)
	}
	return r
}

// RouteOption is an option of one route.
type RouteOption func(*settings)

// Summary sets a route's line in the documentation. Default: none.
func Summary(text string) RouteOption { return func(s *settings) { s.summary = text } }

// Description sets a route's text in the documentation, in Markdown. Default:
// none.
func Description(text string) RouteOption { return func(s *settings) { s.description = text } }

// Tags sets the groups of a route in the documentation. Default: none.
func Tags(tags ...string) RouteOption { return func(s *settings) { s.tags = tags } }

// Status sets a route's status when its handler returns no error. Default: 200,
// or 204 for an output without a Body.
func Status(status int) RouteOption { return func(s *settings) { s.status = status } }

// MaxBody sets the limit of a route's request body, in bytes. A negative value
// means no limit. Default: MaxBody of Options.
func MaxBody(bytes int64) RouteOption { return func(s *settings) { s.maxBody = bytes } }

// Timeout sets how long a route's handler may run. A negative value means no
// deadline, for streams. Default: Timeout of Options.
func Timeout(d time.Duration) RouteOption { return func(s *settings) { s.timeout = d } }

// UnsafeAnyOrigin lets the pages of every origin send requests to a route that
// change something, with the cookies of their visitor. It is for requests that
// come from a foreign page, such as the end of a login elsewhere. The route
// must check itself that its visitor has asked for it.
func UnsafeAnyOrigin() RouteOption { return func(s *settings) { s.anyOrigin = true } }

// Get makes a route for GET and HEAD requests to path. Its wildcards are
// written as for http.ServeMux: "/users/{id}", "/files/{path...}". fn is called
// concurrently.
//
// A mistake in the declaration keeps the service from starting: an input that
// is not a struct, a wildcard without a field, a pattern that conflicts with
// another one.
func Get[In, Out any](path string, fn func(context.Context, *In) (*Out, error), opts ...RouteOption) Route {
	return typed(http.MethodGet, path, fn, opts)
}

// Post makes a route for POST requests; see Get.
func Post[In, Out any](path string, fn func(context.Context, *In) (*Out, error), opts ...RouteOption) Route {
	return typed(http.MethodPost, path, fn, opts)
}

// Put makes a route for PUT requests; see Get.
func Put[In, Out any](path string, fn func(context.Context, *In) (*Out, error), opts ...RouteOption) Route {
	return typed(http.MethodPut, path, fn, opts)
}

// Patch makes a route for PATCH requests; see Get.
func Patch[In, Out any](path string, fn func(context.Context, *In) (*Out, error), opts ...RouteOption) Route {
	return typed(http.MethodPatch, path, fn, opts)
}

// Delete makes a route for DELETE requests; see Get.
func Delete[In, Out any](path string, fn func(context.Context, *In) (*Out, error), opts ...RouteOption) Route {
	return typed(http.MethodDelete, path, fn, opts)
}

// Handle makes a route of a handler of package http, for what typed routes
// can't do, such as files and streams. The pattern is that of http.ServeMux,
// such as "GET /files/". The limit of the body, the worker slot, the deadline
// and the middleware are those of the other routes. What h writes is sent at
// once. A handler that flushes is a stream: it gives its worker slot back with
// the first flush. The route is not in the documentation.
func Handle(pattern string, h http.Handler, opts ...RouteOption) Route {
	r := Route{path: pattern, register: func(site *handler, r *Route) {
		if h == nil {
			panic("its handler is nil") // add turns it into an error
		}
		site.plain(r, h)
	}}
	return r.With(opts...)
}

func typed[In, Out any](method, path string, fn func(context.Context, *In) (*Out, error), opts []RouteOption) Route {
	r := Route{method: method, path: path, register: func(site *handler, r *Route) {
		if fn == nil {
			panic("its function is nil") // add turns it into an error
		}
		site.typed(r, &function{
			in: reflect.TypeFor[In](), out: reflect.TypeFor[Out](),
			call: func(ctx context.Context, in any) (any, error) { return fn(ctx, in.(*In)) },
		})
	}}
	return r.With(opts...)
}
