package web_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki/web"
)

func crossed(o *web.CORS) http.Handler {
	return web.NewHandler(&web.Options{CORS: o, Middleware: []middleware{tokens}}, append(whoami(), web.Post("/typed", length))...)
}

func TestCORS(t *testing.T) {
	const reader = "https://reader.example"
	h := crossed(&web.CORS{Origins: []string{reader}, Credentials: true, MaxAge: time.Minute})
	for _, request := range []string{"GET /typed 200", "GET /handle 200", "GET /plain 200", "GET /nowhere 404", "DELETE /typed 405", "GET /openapi.json 200"} {
		parts := strings.Fields(request)
		res, _ := exchange(t, h, parts[0], parts[1], "", "Origin", reader, "Sec-Fetch-Site", "cross-site")
		if got := res.Header; res.Status[:3] != parts[2] || got.Get("Access-Control-Allow-Origin") != reader || got.Get("Access-Control-Allow-Credentials") != "true" ||
			!strings.Contains(strings.Join(got.Values("Vary"), ","), "Origin") || got.Get("Access-Control-Expose-Headers") != "X-Request-Id, WWW-Authenticate" {
			t.Errorf("%s: %s %v", request, res.Status, got)
		}
		res, _ = exchange(t, h, "GET", parts[1], "", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
		if got := res.Header; got.Get("Access-Control-Allow-Origin") != "" || !strings.Contains(strings.Join(got.Values("Vary"), ","), "Origin") {
			t.Errorf("%s for a stranger: %v", request, got)
		}
	}
	res, _ := exchange(t, h, "POST", "/typed", `"x"`, "Origin", reader, "Sec-Fetch-Site", "cross-site")
	if res.StatusCode != 200 || res.Header.Get("Access-Control-Allow-Origin") != reader {
		t.Errorf("a page that may read may not write: %d %v", res.StatusCode, res.Header)
	}
	if res, _ = exchange(t, h, "GET", "/typed", "", "Origin", reader, "Token", "wrong"); res.StatusCode != 401 || res.Header.Get("Access-Control-Allow-Origin") != reader {
		t.Errorf("the page can't read why it is refused: %d %v", res.StatusCode, res.Header)
	}
}

func TestPreflight(t *testing.T) {
	const reader = "https://reader.example"
	h := crossed(&web.CORS{Origins: []string{reader}, Credentials: true, MaxAge: time.Minute})
	question := []string{"Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "content-type", "Origin"}
	res, body := exchange(t, h, "OPTIONS", "/typed", "", append(question, reader)...)
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": reader, "Access-Control-Allow-Credentials": "true", "Access-Control-Max-Age": "60",
		"Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE", "Access-Control-Allow-Headers": "authorization, content-type",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if vary := strings.Join(res.Header.Values("Vary"), ", "); res.StatusCode != 204 || body != "" ||
		vary != "Origin, Access-Control-Request-Method, Access-Control-Request-Headers" {
		t.Errorf("%d %q, Vary %q", res.StatusCode, body, vary)
	}
	res, body = exchange(t, h, "OPTIONS", "/typed", "", append(question, "https://evil.example")...)
	wantProblem(t, res, body, 403)
	for name := range res.Header {
		if strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("a stranger gets %s", name)
		}
	}
	// Without CORS nobody is answered, and OPTIONS is what it always was.
	res, _ = exchange(t, web.NewHandler(nil, whoami()...), "OPTIONS", "/typed", "", append(question, reader)...)
	if res.StatusCode != 204 || res.Header.Get("Access-Control-Allow-Origin") != "" || res.Header.Get("Allow") == "" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

func TestCORSForEveryPage(t *testing.T) {
	h := crossed(&web.CORS{Origins: []string{"*"}, Headers: []string{"X-Key"}, Expose: []string{"X-Total"}, MaxAge: -1})
	res, _ := exchange(t, h, "GET", "/typed", "", "Origin", "https://any.example")
	if got := res.Header; got.Get("Access-Control-Allow-Origin") != "*" || got.Get("Access-Control-Allow-Credentials") != "" || got.Get("Access-Control-Expose-Headers") != "X-Total" {
		t.Error(got)
	}
	res, _ = exchange(t, h, "OPTIONS", "/typed", "", "Origin", "https://any.example", "Access-Control-Request-Method", "POST")
	if got := res.Header; got.Get("Access-Control-Allow-Headers") != "x-key" || got.Get("Access-Control-Max-Age") != "0" {
		t.Error(got)
	}
}

// A panic leaves the page with an answer that it can read.
func TestCORSOfProblem(t *testing.T) {
	h := web.NewHandler(&web.Options{CORS: &web.CORS{Origins: []string{"https://reader.example"}}},
		web.Get("/x", func(context.Context, *struct{}) (*struct{ Body unencodable }, error) {
			return &struct{ Body unencodable }{}, nil
		}))
	res, body := exchange(t, h, "GET", "/x", "", "Origin", "https://reader.example")
	wantProblem(t, res, body, 500)
	if res.Header.Get("Access-Control-Allow-Origin") == "" {
		t.Error(res.Header)
	}
}
