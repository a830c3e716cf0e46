package web

import (
	"context"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/enoki-go/enoki/entrypoint"
)

// Route is one HTTP entrypoint, made by Get, Post, Put, Patch, Delete, Handle,
// Plain or WebSocket and given to Serve.
type Route struct {
	method, path string // Handle has its whole pattern in path
	settings     settings
	label        string                   // its name, made once it is served
	functions    []entrypoint.Description // of a WebSocket
	mistakes     mistakes                 // in what it was made with
	register     func(*handler, *Route)
}

// name is how the route is called in logs, middleware and call ids.
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
	secured              bool // security is this route's own
	security             []Security
	anyOrigin            bool
}

// With returns the route with options, for the kinds of routes that take none
// when they are made.
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

// RouteOption changes one route.
type RouteOption func(*settings)

// Summary is a route's line in the documentation.
func Summary(text string) RouteOption { return func(s *settings) { s.summary = text } }

// Description is a route's text in the documentation, in Markdown.
func Description(text string) RouteOption { return func(s *settings) { s.description = text } }

// Tags group routes in the documentation.
func Tags(tags ...string) RouteOption { return func(s *settings) { s.tags = tags } }

// Status is what a route answers with when its handler returns no error.
// Default: 200, or 204 for an output without a Body.
func Status(status int) RouteOption { return func(s *settings) { s.status = status } }

// MaxBody is the limit of a route's request body in bytes; negative is no
// limit. Default: MaxBody of Options.
func MaxBody(bytes int64) RouteOption { return func(s *settings) { s.maxBody = bytes } }

// Timeout is how long a route's handler has; negative is no deadline, for
// streams. Default: Timeout of Options.
func Timeout(d time.Duration) RouteOption { return func(s *settings) { s.timeout = d } }

// UnsafeAnyOrigin lets the pages of every origin send requests to a route that
// change something, with the cookies of their visitor. It is for what a foreign
// page must post, such as the answer of a login elsewhere, when the route
// checks by itself that its visitor has asked for it.
func UnsafeAnyOrigin() RouteOption { return func(s *settings) { s.anyOrigin = true } }

// Get makes a route for GET and HEAD requests to path, whose wildcards are
// written as for http.ServeMux: "/users/{id}", "/files/{path...}".
//
// What can't work for any request keeps the service from starting: an input
// that is not a struct, a wildcard without its field, a pattern that conflicts
// with another one.
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

// Handle makes a route of a plain handler, for what the typed ones can't do:
// files and streams. The pattern is that of http.ServeMux, such as
// "GET /files/". The limit of the body, the worker slot, the deadline and the
// middleware are the same. What it writes is sent at once; one that flushes is a
// stream and gives its worker slot back with the first flush. The route is not in
// the documentation.
func Handle(pattern string, h http.Handler, opts ...RouteOption) Route {
	r := Route{path: pattern, register: func(site *handler, r *Route) {
		if h == nil {
			panic("its handler is nil") // add makes an error of it
		}
		site.plain(r, h)
	}}
	return r.With(opts...)
}

func typed[In, Out any](method, path string, fn func(context.Context, *In) (*Out, error), opts []RouteOption) Route {
	r := Route{method: method, path: path, register: func(site *handler, r *Route) {
		if fn == nil {
			panic("its function is nil") // add makes an error of it
		}
		site.typed(r, &function{
			in: reflect.TypeFor[In](), out: reflect.TypeFor[Out](),
			call: func(ctx context.Context, in any) (any, error) { return fn(ctx, in.(*In)) },
		})
	}}
	return r.With(opts...)
}
