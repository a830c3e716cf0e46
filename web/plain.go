package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/enoki-go/enoki"
)

// Text is the response of a Plain route. It is UTF-8 text, unless Header has
// another Content-Type.
type Text struct {
	Status int         // Default: 200.
	Header http.Header // added to the usual headers, or in their place. Default: none.
	Body   string
}

// Plain makes a route that responds like an HTTP entrypoint of Nameko, so that
// its clients keep working when a service moves. The response is text. The text
// of an error is "Error: <class>: <message>\n". Its status is 400 if the
// error's code is the client's fault, and 500 otherwise. Return a Text to
// respond with another status.
//
// methods are separated by commas ("GET,POST"); GET includes HEAD. rule is a
// path. Its variable parts are written for http.ServeMux ("/x/{id}") or for
// werkzeug ("/x/<int:id>"; string, int, float, uuid and path). PathValue
// returns them. A value that does not match its converter is a 404. A rule that
// ends in a slash matches only that path; the path without the slash redirects
// to it (308).
//
// Worker slot, deadline, middleware and the limit of the body are those of the
// other routes. So is what clients see of an error. The message of an error
// that is not the client's fault is shown only if the handler gave the error
// its own class (Type and Path of enoki.Error, or fault.TypeFunc). The
// responses 404 and 405 are problem details, where werkzeug sends HTML. OPTIONS
// gets a reply. The route is not in the documentation.
func Plain(methods, rule string, fn func(context.Context, *http.Request) (*Text, error), opts ...RouteOption) Route {
	r := Route{method: methods, path: rule, register: func(site *handler, r *Route) {
		if fn == nil {
			panic("its function is nil") // add turns it into an error
		}
		rule, err := parseRule(r.path)
		if err != nil {
			panic(err)
		}
		site.text(r, &rule, fn)
	}}
	return r.With(opts...)
}

// text registers a Plain route.
func (h *handler) text(r *Route, rule *rule, fn func(context.Context, *http.Request) (*Text, error)) {
	serve := func(a *answer, req *http.Request) {
		if !rule.fits(req) {
			a.problem(newProblem(http.StatusNotFound, notFoundText(req)))
			return
		}
		if limit := r.settings.maxBody; limit >= 0 {
			req.Body = http.MaxBytesReader(a, req.Body, limit)
		}
		defer h.count(req)()
		ctx := newExchange(req, r, a).Context()
		a.text(h.callText(ctx, func(ctx context.Context) (*Text, error) { return fn(ctx, req.WithContext(ctx)) }))
	}
	for method := range strings.SplitSeq(r.method, ",") {
		method = strings.TrimSpace(method)
		if method == "" { // http.ServeMux takes it for every method
			panic("it names no method; name them as in \"GET,POST\"")
		}
		h.handle(method+" "+rule.pattern, r, serve)
		if rule.slash {
			h.handle(method+" "+strings.TrimSuffix(rule.pattern, "/{$}"), r, withSlash)
		}
	}
}

func notFoundText(r *http.Request) string { return fmt.Sprintf("there is nothing at %s", r.URL.Path) }

// callText runs fn as a handler of the service and returns the response, even
// for an error.
func (h *handler) callText(ctx context.Context, fn func(context.Context) (*Text, error)) *Text {
	var out *Text
	err := h.do(ctx, func(ctx context.Context) (err error) {
		if out, err = fn(ctx); err != nil {
			return err
		}
		return out.check()
	})
	if err == nil {
		return out
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return &Text{Status: http.StatusRequestEntityTooLarge, Body: fmt.Sprintf("Error: RequestEntityTooLarge: the body has more than %d bytes\n", large.Limit)}
	}
	e := h.exception(err)
	status := http.StatusBadRequest
	if e.Code.HTTPStatus() >= http.StatusInternalServerError {
		status = http.StatusInternalServerError
		h.logFailure(ctx, err)
	}
	return &Text{Status: status, Body: fmt.Sprintf("Error: %s: %s\n", e.Type, e.Message)}
}

// check returns what can't be sent.
func (t *Text) check() error {
	switch {
	case t == nil: // in Nameko's words
		return &enoki.Error{Code: enoki.Internal, Type: "TypeError", Path: "builtins.TypeError", Message: "Payload must be a string. Got `None`"}
	case t.Status != 0 && (t.Status < 200 || t.Status > 999):
		return &enoki.Error{Code: enoki.Internal, Type: "ValueError", Path: "builtins.ValueError", Message: fmt.Sprintf("status %d is none to answer with; have 200 to 999", t.Status)}
	}
	return nil
}

// text responds with t.
func (a *answer) text(t *Text) {
	header := a.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	for name, values := range t.Header {
		header[http.CanonicalHeaderKey(name)] = values
	}
	header.Del("Content-Length") // finish counts the bytes
	if t.Status != 0 {
		a.WriteHeader(t.Status)
	}
	_, _ = a.Write([]byte(t.Body)) // held back in memory, so it can't fail
}
