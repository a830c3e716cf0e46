package web_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/web"
)

type nothing struct{}

// failing is a handler for a route whose handler returns err.
func failing(err error) http.Handler {
	return web.NewHandler(nil, web.Get("/x", func(context.Context, *nothing) (*nothing, error) { return nil, err }))
}

// logged collects what slog.Default, where NewHandler logs, is given.
func logged(t *testing.T) *bytes.Buffer {
	t.Helper()
	var text bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&text, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return &text
}

func TestErrorBecomesProblem(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		status int
		code   enoki.Code
		detail string
	}{
		"client's mistake":   {enoki.Errorf(enoki.NotFound, "no user %d", 7), 404, enoki.NotFound, "no user 7"},
		"wrapped":            {fmt.Errorf("store redis://secret: %w", enoki.Errorf(enoki.AlreadyExists, "taken")), 409, enoki.AlreadyExists, "taken"},
		"a code alone":       {enoki.PermissionDenied, 403, enoki.PermissionDenied, "forbidden"},
		"caller left":        {context.Canceled, 499, enoki.Canceled, "client closed request"},
		"unavailable":        {enoki.Errorf(enoki.Unavailable, "redis://secret is down"), 503, enoki.Unavailable, "the service is not available at the moment, try again"},
		"unknown service":    {fmt.Errorf("secret: %w", broker.ErrUnknownService), 503, enoki.UnknownService, "the service is not available at the moment, try again"},
		"not delivered":      {broker.ErrNotDelivered, 502, enoki.NotDelivered, "the request did not reach a service behind this one, try again"},
		"unknown outcome":    {broker.ErrUnknownOutcome, 502, enoki.UnknownOutcome, "it is not known whether the request was carried out"},
		"deadline":           {fmt.Errorf("secret: %w", context.DeadlineExceeded), 504, enoki.DeadlineExceeded, "the service did not answer in time"},
		"internal":           {enoki.Errorf(enoki.Internal, "secret"), 500, enoki.Internal, "internal error"},
		"no code":            {errors.New("dial redis://secret"), 500, enoki.Internal, "internal error"},
		"a code of somebody": {enoki.Errorf("odd", "secret"), 500, enoki.Internal, "internal error"},
	} {
		t.Run(name, func(t *testing.T) {
			log := logged(t)
			res, body := exchange(t, failing(test.err), "GET", "/x", "")
			p := wantProblem(t, res, body, test.status)
			if p.Code != test.code || p.Detail != test.detail {
				t.Errorf("code %s, detail %q, want %s, %q", p.Code, p.Detail, test.code, test.detail)
			}
			if strings.Contains(body, "secret") {
				t.Errorf("the client sees %s", body)
			}
			if test.status >= 500 && (!strings.Contains(log.String(), test.err.Error()) || strings.Count(log.String(), res.Header.Get("X-Request-Id")) != 2) {
				t.Errorf("log has not the error and its request's id: %s", log)
			}
		})
	}
}

func TestPanicBecomesProblem(t *testing.T) {
	for name, route := range map[string]web.Route{
		"typed": web.Get("/x", func(context.Context, *nothing) (*nothing, error) { panic("secret") }),
		"plain": web.Handle("GET /x", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/csv")
			panic("secret")
		})),
	} {
		t.Run(name, func(t *testing.T) {
			log := logged(t)
			res, body := exchange(t, web.NewHandler(nil, route), "GET", "/x", "")
			if p := wantProblem(t, res, body, 500); p.Detail != "internal error" || strings.Contains(body, "secret") {
				t.Errorf("body = %s", body)
			}
			if !strings.Contains(log.String(), "secret") || !strings.Contains(log.String(), "problem_test.go") {
				t.Errorf("log has not the panic and its stack: %s", log)
			}
		})
	}
}

type unencodable struct{}

func (unencodable) MarshalJSON() ([]byte, error) { return nil, errors.New("secret") }

type undecodable struct{}

func (*undecodable) UnmarshalJSON([]byte) error { panic("secret") }

// An answer that can't be encoded must not go out with status 200.
func TestEncodingFailureBecomesProblem(t *testing.T) {
	type output struct {
		Extra string `header:"X-Extra"`
		Body  unencodable
	}
	log := logged(t)
	h := web.NewHandler(nil, web.Get("/x", func(context.Context, *nothing) (*output, error) { return &output{Extra: "1"}, nil }))
	res, body := exchange(t, h, "GET", "/x", "")
	wantProblem(t, res, body, 500)
	if strings.Contains(body, "secret") || res.Header.Get("X-Extra") != "" || !strings.Contains(log.String(), "secret") {
		t.Errorf("body %s, header %v, log %s", body, res.Header, log)
	}
}

func TestDecodingPanicBecomesProblem(t *testing.T) {
	type input struct{ Body undecodable }
	logged(t)
	h := web.NewHandler(nil, web.Post("/x", func(context.Context, *input) (*nothing, error) { return nil, nil }))
	res, body := exchange(t, h, "POST", "/x", "{}")
	wantProblem(t, res, body, 500)
}

// A client must notice that a stream broke off.
func TestPanicInStreamCutsConnection(t *testing.T) {
	logged(t)
	h := web.NewHandler(nil, web.Handle("GET /x", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("half"))
		panic("secret")
	})))
	defer func() {
		if p := recover(); p != http.ErrAbortHandler {
			t.Errorf("panic %v, want http.ErrAbortHandler", p)
		}
	}()
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/x", nil))
}

func TestMethods(t *testing.T) {
	type output struct{ Body string }
	get := func(context.Context, *nothing) (*output, error) { return &output{"hi"}, nil }
	h := web.NewHandler(nil, web.Get("/x", get), web.Put("/x", get), web.Post("/y", get))

	res, body := exchange(t, h, "GET", "/z", "")
	if p := wantProblem(t, res, body, 404); p.Code != enoki.NotFound || p.Detail != "there is nothing at /z" {
		t.Errorf("problem %+v", p)
	}
	res, body = exchange(t, h, "POST", "/x", "{}")
	if p := wantProblem(t, res, body, 405); p.Code != enoki.MethodNotFound || p.Detail != "POST is not possible here; use one of GET, HEAD, OPTIONS, PUT" {
		t.Errorf("problem %+v", p)
	}
	if got := res.Header.Get("Allow"); got != "GET, HEAD, OPTIONS, PUT" {
		t.Errorf("Allow = %q", got)
	}
	res, body = exchange(t, h, "OPTIONS", "/y", "")
	if res.StatusCode != 204 || body != "" || res.Header.Get("Allow") != "OPTIONS, POST" || res.Header.Get("Content-Type") != "" {
		t.Errorf("OPTIONS: %d %v %q", res.StatusCode, res.Header, body)
	}
	res, body = exchange(t, h, "OPTIONS", "/z", "")
	wantProblem(t, res, body, 404)

	res, body = exchange(t, h, "HEAD", "/x", "")
	if res.StatusCode != 200 || body != "" || res.Header.Get("Content-Length") != "5" {
		t.Errorf("HEAD: %d %v %q, want the header of GET", res.StatusCode, res.Header, body)
	}
	if res, body = exchange(t, h, "HEAD", "/z", ""); res.StatusCode != 404 || body != "" {
		t.Errorf("HEAD of nothing: %d %q", res.StatusCode, body)
	}
	if res, _ = exchange(t, h, "GET", "//x", ""); res.StatusCode != 307 || res.Header.Get("Location") != "/x" {
		t.Errorf("//x: %d %v, want a redirect to /x", res.StatusCode, res.Header)
	}
}

func TestAccessLog(t *testing.T) {
	log := logged(t)
	h := failing(enoki.Errorf(enoki.NotFound, "no"))
	res, _ := exchange(t, h, "GET", "/x?token=secret", "")
	line := log.String()
	for _, want := range []string{"level=INFO", "msg=http", "method=GET", `route="GET /x"`, "status=404", "took=", "request=" + res.Header.Get("X-Request-Id")} {
		if !strings.Contains(line, want) {
			t.Errorf("log %q has no %s", line, want)
		}
	}
	if strings.Count(line, "\n") != 1 || strings.Contains(line, "secret") {
		t.Errorf("log %q, want one line, without the query", line)
	}
	log.Reset()
	exchange(t, h, "GET", "/nowhere", "")
	if !strings.Contains(log.String(), "path=/nowhere") {
		t.Errorf("log %q, want the path, as there is no route", log)
	}
}
