package web_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/fault"
	"github.com/enoki-go/enoki/web"
)

type plainFunc = func(context.Context, *http.Request) (*web.Text, error)

func answers(text *web.Text, err error) plainFunc {
	return func(context.Context, *http.Request) (*web.Text, error) { return text, err }
}

// plainRoutes are those of the Python service whose answers were recorded,
// with its rules as they stand there.
func plainRoutes() []web.Route {
	return []web.Route{
		web.Plain("GET", "/get/<int:value>", func(_ context.Context, r *http.Request) (*web.Text, error) {
			return &web.Text{Body: fmt.Sprintf(`{"value": %s}`, r.PathValue("value"))}, nil
		}),
		web.Plain("GET", "/empty", answers(&web.Text{}, nil)),
		web.Plain("GET", "/none", answers(nil, nil)),
		web.Plain("GET", "/two", answers(&web.Text{Status: 201, Body: "created"}, nil)),
		web.Plain("GET", "/three", answers(&web.Text{Status: 202, Body: "{}", Header: http.Header{
			"X-Foo": {"bar"}, "content-type": {"application/json"}, "Content-Length": {"77"}}}, nil)),
		web.Plain("GET", "/redirect", answers(&web.Text{Status: 301, Header: http.Header{"Location": {"https://example.invalid/x"}}}, nil)),
		web.Plain("GET", "/boom", answers(nil, &enoki.Error{Code: enoki.Unknown, Type: "ValueError", Path: "builtins.ValueError", Message: "oops"})),
		web.Plain("GET", "/expected", answers(nil, &enoki.Error{Code: enoki.InvalidArgument, Type: "Expected", Path: "service.Expected", Message: "client did it"})),
		web.Plain("GET", "/bad", answers(nil, &enoki.Error{Code: enoki.InvalidArgument, Type: "BadRequest", Path: "nameko.exceptions.BadRequest", Message: "bad one"})),
		web.Plain("GET", "/slash/", answers(&web.Text{Body: "slash"}, nil)),
		web.Plain("GET,PUT, POST", "/multi", func(_ context.Context, r *http.Request) (*web.Text, error) {
			return &web.Text{Body: r.Method}, nil
		}),
		web.Plain("POST", "/post", func(_ context.Context, r *http.Request) (*web.Text, error) {
			body, err := io.ReadAll(r.Body)
			return &web.Text{Body: "got: " + string(body)}, err
		}, web.MaxBody(10)),
	}
}

// The answers of Nameko 2.14.1 to the same requests, with its status,
// Content-Type and body. An empty body stands for one that is not compared:
// werkzeug's pages of HTML are problem details here.
var recorded = []struct {
	request     string
	status      int
	contentType string
	body        string
}{
	{"GET /get/5", 200, "text/plain; charset=utf-8", `{"value": 5}`},
	{"GET /get/x", 404, "", ""},
	{"GET /get/-5", 404, "", ""},
	{"GET /empty", 200, "text/plain; charset=utf-8", ""},
	{"GET /none", 500, "text/plain; charset=utf-8", "Error: TypeError: Payload must be a string. Got `None`\n"},
	{"GET /two", 201, "text/plain; charset=utf-8", "created"},
	{"GET /three", 202, "application/json", "{}"},
	{"GET /redirect", 301, "text/plain; charset=utf-8", ""},
	{"GET /boom", 500, "text/plain; charset=utf-8", "Error: ValueError: oops\n"},
	{"GET /expected", 400, "text/plain; charset=utf-8", "Error: Expected: client did it\n"},
	{"GET /bad", 400, "text/plain; charset=utf-8", "Error: BadRequest: bad one\n"},
	{"GET /slash", 308, "text/html; charset=utf-8", ""},
	{"GET /slash/", 200, "text/plain; charset=utf-8", "slash"},
	{"GET /slash/x", 404, "", ""},
	{"GET /nope", 404, "", ""},
	{"POST /multi", 200, "text/plain; charset=utf-8", "POST"},
	{"PUT /multi", 200, "text/plain; charset=utf-8", "PUT"},
	{"DELETE /multi", 405, "", ""},
	{"HEAD /get/5", 200, "text/plain; charset=utf-8", ""},
	{"POST /post", 200, "text/plain; charset=utf-8", "got: héllo"},
}

func TestPlainAnswersAsNameko(t *testing.T) {
	t.Parallel()
	h := web.NewHandler(nil, plainRoutes()...)
	for _, want := range recorded {
		method, target, _ := strings.Cut(want.request, " ")
		res, body := exchange(t, h, method, target, "héllo")
		if res.StatusCode != want.status {
			t.Errorf("%s: status %d, want %d", want.request, res.StatusCode, want.status)
		}
		if got := res.Header.Get("Content-Type"); want.contentType != "" && got != want.contentType {
			t.Errorf("%s: Content-Type %q, want %q", want.request, got, want.contentType)
		}
		if want.body != "" && body != want.body {
			t.Errorf("%s: body %q, want %q", want.request, body, want.body)
		}
	}
}

func TestPlainHeaders(t *testing.T) {
	t.Parallel()
	h := web.NewHandler(nil, append(plainRoutes(), web.Plain("GET,OPTIONS", "/own", answers(&web.Text{}, nil)))...)
	for _, test := range []struct{ request, header, want string }{
		{"GET /three", "X-Foo", "bar"},
		{"GET /three", "Content-Length", "2"},
		{"HEAD /get/5", "Content-Length", "12"},
		{"GET /redirect", "Location", "https://example.invalid/x"},
		{"GET /slash?a=%2F", "Location", "/slash/?a=%2F"},
		{"DELETE /multi", "Allow", "GET, HEAD, OPTIONS, POST, PUT"},
		{"DELETE /own", "Allow", "GET, HEAD, OPTIONS"},
		{"OPTIONS /get/5", "Allow", "GET, HEAD, OPTIONS"},
	} {
		method, target, _ := strings.Cut(test.request, " ")
		if res, _ := exchange(t, h, method, target, ""); res.Header.Get(test.header) != test.want {
			t.Errorf("%s: %s is %q, want %q", test.request, test.header, res.Header.Get(test.header), test.want)
		}
	}
}

// What a handler's own error says stays in the log, unless it is meant for
// others.
func TestPlainHidesFaults(t *testing.T) {
	log := logged(t)
	for want, fn := range map[string]plainFunc{
		"500 Error: Error: internal error\n":                                         answers(nil, errors.New("secret one")),
		"500 Error: Internal: internal error\n":                                      answers(nil, enoki.Errorf(enoki.Internal, "secret two")),
		"500 Error: Panic: internal error\n":                                         func(context.Context, *http.Request) (*web.Text, error) { panic("secret three") },
		"500 Error: RemoteError: internal error\n":                                   answers(nil, fault.Types{}.Answer(errors.New("secret four"))),
		"400 Error: RemoteError: NotFound no user 8\n":                               answers(nil, fault.Types{}.Answer(enoki.Errorf(enoki.NotFound, "no user 8"))),
		"400 Error: NotFound: not found\n":                                           answers(nil, fmt.Errorf("secret five: %w", enoki.NotFound)),
		"400 Error: NotFound: no user 7\n":                                           answers(nil, fmt.Errorf("outside: %w", enoki.Errorf(enoki.NotFound, "no user %d", 7))),
		"500 Error: ValueError: status 42 is none to answer with; have 200 to 999\n": answers(&web.Text{Status: 42}, nil),
	} {
		r := run(t, web.Options{}, enoki.Options{}, web.Plain("GET", "/x", fn))
		res, body := get(t, r.url("/x"))
		if got := fmt.Sprintf("%d %s", res.StatusCode, body); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		log.WriteString(r.log.String())
	}
	for _, secret := range []string{"secret one", "secret two", "secret three", "secret four"} {
		if !strings.Contains(log.String(), secret) {
			t.Errorf("the log has no %q", secret)
		}
	}
}

func TestPlainRefusesLargeBody(t *testing.T) {
	t.Parallel()
	h := web.NewHandler(nil, plainRoutes()...)
	res, body := exchange(t, h, "POST", "/post", strings.Repeat("x", 11))
	if res.StatusCode != 413 || body != "Error: RequestEntityTooLarge: the body has more than 10 bytes\n" {
		t.Errorf("%d %q", res.StatusCode, body)
	}
}

func TestPlainKnowsErrorTypes(t *testing.T) {
	t.Parallel()
	types := fault.TypeFunc("shop.exceptions.OutOfStock", nil, func([]any, string) *outOfStock { return &outOfStock{} })
	r := run(t, web.Options{}, enoki.Options{Errors: []fault.Type{types}}, web.Plain("GET", "/x", answers(nil, &outOfStock{})))
	if res, body := get(t, r.url("/x")); res.StatusCode != 500 || body != "Error: OutOfStock: none left\n" {
		t.Errorf("%d %q", res.StatusCode, body)
	}
}

type outOfStock struct{}

func (*outOfStock) Error() string { return "none left" }

func TestPlainRules(t *testing.T) {
	t.Parallel()
	show := func(_ context.Context, r *http.Request) (*web.Text, error) {
		return &web.Text{Body: r.Pattern + " " + r.PathValue("v")}, nil
	}
	h := web.NewHandler(nil, web.Plain("GET", "/s/<v>", show), web.Plain("GET", "/string/<string:v>/x", show),
		web.Plain("GET", "/float/<float:v>", show), web.Plain("GET", "/uuid/<uuid:v>/", show),
		web.Plain("GET", "/path/<path:v>", show), web.Plain("GET", "/mux/{v}", show), web.Plain("GET", "/", show))
	const id = "0a29f886-0fbb-46e0-a643-6563f7d2feff"
	for target, want := range map[string]string{
		"/s/a%2Fb":          "GET /s/{v} a/b",
		"/s/":               "404",
		"/string/ü/x":       "GET /string/{v}/x ü",
		"/float/1.5":        "GET /float/{v} 1.5",
		"/float/1":          "404",
		"/uuid/" + id:       "308",
		"/uuid/x/":          "404",
		"/path/a/b/c":       "GET /path/{v...} a/b/c",
		"/path/":            "404",
		"/mux/1":            "GET /mux/{v} 1",
		"/":                 "GET /{$} ",
		"/else":             "404",
		"/uuid/" + id + "/": "GET /uuid/{v}/{$} " + id,
	} {
		res, got := exchange(t, h, "GET", target, "")
		if res.StatusCode != http.StatusOK {
			got = fmt.Sprint(res.StatusCode)
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", target, got, want)
		}
	}
}

func TestPlainMistakes(t *testing.T) {
	t.Parallel()
	fn := answers(&web.Text{}, nil)
	for want, route := range map[string]web.Route{
		"its function is nil": web.Plain("GET", "/x", nil),
		"it names no method":  web.Plain("", "/x", fn),
		`there is no converter "any(a,b)"; have string, int, float, uuid and path`: web.Plain("GET", "/x/<any(a,b):v>", fn),
		`there is no converter "hex"`:                           web.Plain("GET", "/x/<hex:v>", fn),
		"a placeholder is written <name>, <int:name> or {name}": web.Plain("GET", "/x/<v", fn),
		"bad wildcard segment":                                  web.Plain("GET", "/x/<v>.json", fn),
		"route GET <v> can't be served":                         web.Plain("GET", "<v>", fn),
	} {
		err := enoki.NewService("api", web.Serve(nil, route)).Check()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
