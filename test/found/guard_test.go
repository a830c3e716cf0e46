package found

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	coder "github.com/coder/websocket"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/web"
	"github.com/enoki-go/enoki/websocket"
)

// serveHTTP runs a service of HTTP routes on a loopback port and returns its URL.
func serveHTTP(t *testing.T, o web.Options, routes ...web.Route) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Listener = listener
	run(t, linked(t, memory.New().Link(), nil), enoki.Options{}, enoki.NewService("site", web.Serve(&o, routes...)))
	return "http://" + listener.Addr().String()
}

// send sends a request whose header are names and values, Host among them, and
// returns the status and the body.
func send(t *testing.T, method, url, body string, header ...string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	req.Host = req.Header.Get("Host")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

type registration struct {
	Body struct {
		Email string `json:"email"`
	}
}

// registrations takes users in, and keeps their e-mails.
func registrations(registered chan string) web.Route {
	return web.Post("/register", func(_ context.Context, in *registration) (*struct{}, error) {
		registered <- in.Body.Email
		return nil, nil
	})
}

func TestNobodyCouldPutAuthenticationInFront(t *testing.T) {
	authenticate := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if name, known := map[string]string{"Bearer abc": "anna"}[r.Header.Get("Authorization")]; known {
				next.ServeHTTP(w, r.WithContext(enoki.WithCaller(r.Context(), name)))
				return
			}
			web.Refuse(w, r, enoki.Errorf(enoki.Unauthenticated, "show your token"))
		})
	}
	calls := make(chan string, 10) // of enoki.Middleware, as metrics see them
	routes := []web.Route{
		web.Get("/typed/{id}", func(ctx context.Context, in *struct {
			ID int `path:"id"`
		}) (*struct{ Body string }, error) {
			return &struct{ Body string }{fmt.Sprint(enoki.CallerOf(ctx).Name, in.ID, web.Request(ctx).Method)}, nil
		}),
		web.Plain("GET", "/plain", func(ctx context.Context, _ *http.Request) (*web.Text, error) {
			return &web.Text{Body: enoki.CallerOf(ctx).Name}, nil
		}),
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, linked(t, memory.New().Link(), nil), enoki.Options{Middleware: []enoki.Middleware{func(next enoki.Handler) enoki.Handler {
		return func(ctx context.Context, c *enoki.Call) error {
			calls <- c.Method
			return next(ctx, c)
		}
	}}}, enoki.NewService("site", web.Serve(&web.Options{
		Listener: listener, Middleware: []func(http.Handler) http.Handler{authenticate}, Security: []web.Security{web.Bearer("token", "")},
	}, routes...)))
	url := "http://" + listener.Addr().String()
	for _, path := range []string{"/typed/7", "/plain", "/openapi.json", "/nowhere"} {
		if status, body := send(t, "GET", url+path, ""); status != 401 || !strings.Contains(body, "show your token") {
			t.Errorf("%s for a stranger: %d %s", path, status, body)
		}
	}
	for path, want := range map[string]string{"/typed/7": "\"anna7GET\"\n", "/plain": "anna"} {
		if status, body := send(t, "GET", url+path, "", "Authorization", "Bearer abc"); status != 200 || body != want {
			t.Errorf("%s for anna: %d %s", path, status, body)
		}
	}
	stop()
	if got := []string{<-calls, <-calls}; len(calls) != 0 || !slices.Contains(got, "GET /typed/{id}") || !slices.Contains(got, "GET /plain") {
		t.Errorf("the metrics see %s and %d more", got, len(calls))
	}
}

// A page of another origin may send text without a Content-Type unasked; that
// must not be JSON.
func TestBodyWithoutContentType(t *testing.T) {
	registered := make(chan string, 10)
	url := serveHTTP(t, web.Options{UnsafeAnyOrigin: true}, registrations(registered))
	body := `{"email":"csrf@evil"}`
	if status, text := send(t, "POST", url+"/register", body); status != 415 {
		t.Errorf("without a Content-Type: %d %s", status, text)
	}
	if status, text := send(t, "POST", url+"/register", body, "Content-Type", "text/plain"); status != 415 {
		t.Errorf("as text: %d %s", status, text)
	}
	if status, text := send(t, "POST", url+"/register", body, "Content-Type", "application/json"); status != 204 || len(registered) != 1 {
		t.Errorf("as JSON: %d %s, %d registered", status, text, len(registered))
	}
}

func TestPageOfAnotherOrigin(t *testing.T) {
	registered := make(chan string, 10)
	url := serveHTTP(t, web.Options{}, registrations(registered))
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "http://evil.example"}} {
		status, text := send(t, "POST", url+"/register", `{"email":"csrf@evil"}`, append(header, "Content-Type", "application/json")...)
		if status != 403 || len(registered) != 0 {
			t.Errorf("%v: %d %s, %d registered", header, status, text, len(registered))
		}
	}
}

// A name of a stranger's that leads to 127.0.0.1 makes his page one of ours to
// the browser.
func TestReboundName(t *testing.T) {
	hub := websocket.NewHub(nil)
	url := serveHTTP(t, web.Options{}, web.WebSocket("/ws", hub), registrations(make(chan string, 10)))
	for _, path := range []string{"/ws", "/register", "/openapi.json", "/nowhere"} {
		status, text := send(t, "GET", url+path, "", "Host", "evil.example:8000")
		var p web.Problem
		if err := json.Unmarshal([]byte(text), &p); status != http.StatusMisdirectedRequest || err != nil {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	_, res, err := coder.Dial(t.Context(), url+"/ws", &coder.DialOptions{Host: "evil.example", HTTPHeader: http.Header{"Origin": {"http://evil.example"}}})
	if err == nil || res == nil || res.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("a rebound page opens a socket: %v, %v", res, err)
	}
	conn, _, err := coder.Dial(t.Context(), url+"/ws", nil) // no browser, no Origin
	if err != nil {
		t.Fatal(err)
	}
	conn.CloseNow()
}
