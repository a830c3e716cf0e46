package web_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	coder "github.com/coder/websocket"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/web"
	"github.com/enoki-go/enoki/websocket"
)

type middleware = func(http.Handler) http.Handler

// tokens is middleware that knows a caller by the header Token, refuses wrong
// ones and lets those without through.
func tokens(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch token := r.Header.Get("Token"); token {
		case "":
			next.ServeHTTP(w, r)
		case "anna":
			next.ServeHTTP(w, r.WithContext(enoki.WithCaller(r.Context(), token)))
		default:
			web.Refuse(w, r, enoki.Errorf(enoki.Unauthenticated, "this token is none of ours"))
		}
	})
}

// closed is middleware that lets nobody through.
func closed(http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Closed", "yes")
		web.Refuse(w, r, enoki.Errorf(enoki.PermissionDenied, "nobody may"))
	})
}

// wrapped is middleware whose writer hides that of Enoki, as that of loggers
// and compressors does.
func wrapped(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Wrapped", "yes")
		next.ServeHTTP(&upper{w}, r)
	})
}

// upper writes in capitals. Nothing but Unwrap leads to the writer below.
type upper struct{ w http.ResponseWriter }

func (u *upper) Header() http.Header         { return u.w.Header() }
func (u *upper) WriteHeader(status int)      { u.w.WriteHeader(status) }
func (u *upper) Unwrap() http.ResponseWriter { return u.w }
func (u *upper) Write(p []byte) (int, error) {
	return u.w.Write([]byte(strings.ToUpper(string(p))))
}

// whoami answers with the caller, as each kind of route does.
func whoami() []web.Route {
	return []web.Route{
		web.Get("/typed", func(ctx context.Context, _ *struct{}) (*text, error) {
			return &text{enoki.CallerOf(ctx).Name + " asks " + web.Request(ctx).URL.Path}, nil
		}),
		web.Handle("GET /handle", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%q\n", enoki.CallerOf(r.Context()).Name+" asks "+web.Request(r.Context()).URL.Path)
		})),
		web.Plain("GET", "/plain", func(ctx context.Context, _ *http.Request) (*web.Text, error) {
			return &web.Text{Body: fmt.Sprintf("%q\n", enoki.CallerOf(ctx).Name+" asks "+web.Request(ctx).URL.Path)}, nil
		}),
	}
}

func TestMiddlewareOfService(t *testing.T) {
	h := web.NewHandler(&web.Options{Middleware: []middleware{tokens}}, whoami()...)
	for _, path := range []string{"/typed", "/handle", "/plain"} {
		res, body := exchange(t, h, "GET", path, "", "Token", "anna")
		if res.StatusCode != 200 || body != fmt.Sprintf("%q\n", "anna asks "+path) {
			t.Errorf("%s: %d %s", path, res.StatusCode, body)
		}
		res, body = exchange(t, h, "GET", path, "", "Token", "wrong")
		if p := wantProblem(t, res, body, 401); p.Code != enoki.Unauthenticated || p.Detail != "this token is none of ours" {
			t.Errorf("%s: %+v", path, p)
		}
	}
}

// What middleware refuses reaches nothing: no route, no page, no 404, no 405.
func TestMiddlewareOfServiceSeesAll(t *testing.T) {
	hub := websocket.NewHub(nil)
	h := web.NewHandler(&web.Options{Middleware: []middleware{closed}}, append(whoami(), chat(hub))...)
	for _, request := range []string{"GET /typed", "GET /handle", "GET /plain", "GET /ws", "GET /nowhere", "POST /typed", "OPTIONS /typed", "GET /apidocs", "GET /apidocs/", "GET /openapi.json", "GET /openapi.yaml"} {
		method, path, _ := strings.Cut(request, " ")
		res, body := exchange(t, h, method, path, "")
		if p := wantProblem(t, res, body, 403); p.Detail != "nobody may" || res.Header.Get("X-Closed") != "yes" {
			t.Errorf("%s: %+v, %v", request, p, res.Header)
		}
	}
}

func TestMiddlewareOfRoute(t *testing.T) {
	routes := whoami()
	routes[0] = routes[0].With(web.Middleware(tokens, closed))
	h := web.NewHandler(nil, routes...)
	if res, body := exchange(t, h, "GET", "/typed", "", "Token", "anna"); wantProblem(t, res, body, 403).Detail != "nobody may" {
		t.Error(body)
	}
	if res, body := exchange(t, h, "GET", "/typed", "", "Token", "wrong"); wantProblem(t, res, body, 401).Detail == "" {
		t.Error(body)
	}
	for _, path := range []string{"/handle", "/plain"} {
		if res, body := exchange(t, h, "GET", path, ""); res.StatusCode != 200 {
			t.Errorf("%s: %d %s", path, res.StatusCode, body)
		}
	}
}

// A writer that lies between sees the answer as it is in the end.
func TestMiddlewareWrapsWriter(t *testing.T) {
	for name, o := range map[string]struct {
		service, route []middleware
	}{
		"service": {service: []middleware{wrapped}},
		"route":   {route: []middleware{wrapped}},
		"both":    {service: []middleware{tokens}, route: []middleware{wrapped}},
	} {
		t.Run(name, func(t *testing.T) {
			routes := append(whoami(), web.Get("/late", func(context.Context, *struct{}) (*struct{ Body unencodable }, error) {
				return &struct{ Body unencodable }{}, nil
			}), web.Get("/panic", func(context.Context, *struct{}) (*text, error) { panic("secret") }))
			for i := range routes {
				routes[i] = routes[i].With(web.Middleware(o.route...))
			}
			server := httptest.NewServer(web.NewHandler(&web.Options{Middleware: o.service}, routes...))
			defer server.Close()
			for path, want := range map[string]string{
				"/typed": `" ASKS /TYPED"` + "\n", "/handle": `" ASKS /HANDLE"` + "\n", "/plain": `" ASKS /PLAIN"` + "\n",
			} {
				res, body := get(t, server.URL+path)
				if res.StatusCode != 200 || body != want || res.Header.Get("X-Wrapped") != "yes" || res.Header.Get("X-Request-Id") == "" {
					t.Errorf("%s: %d %q %v", path, res.StatusCode, body, res.Header)
				}
			}
			for _, path := range []string{"/late", "/panic"} {
				res, body := get(t, server.URL+path)
				if res.StatusCode != 500 || !strings.Contains(body, `"STATUS":500`) || res.Header.Get("X-Wrapped") != "yes" || strings.Contains(strings.ToLower(body), "secret") {
					t.Errorf("%s: %d %q %v", path, res.StatusCode, body, res.Header)
				}
			}
		})
	}
}

// A stream gets through writers between, to a client that waits for its parts.
func TestMiddlewareLetsStreamsThrough(t *testing.T) {
	for name, o := range map[string]struct{ service, route []middleware }{
		"service": {service: []middleware{wrapped}},
		"route":   {route: []middleware{wrapped}},
		"both":    {service: []middleware{wrapped}, route: []middleware{tokens}},
	} {
		t.Run(name, func(t *testing.T) {
			next := make(chan struct{})
			h := web.NewHandler(&web.Options{Middleware: o.service}, web.Handle("GET /stream", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				for range 2 {
					fmt.Fprintln(w, "part")
					if err := http.NewResponseController(w).Flush(); err != nil {
						t.Error(err)
					}
					<-next
				}
			}), web.Middleware(o.route...)))
			server := httptest.NewServer(h)
			defer server.Close()
			res, err := http.Get(server.URL + "/stream")
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			lines := bufio.NewReader(res.Body)
			for range 2 {
				if line, err := lines.ReadString('\n'); line != "PART\n" || err != nil {
					t.Errorf("%q, %v", line, err)
				}
				next <- struct{}{}
			}
			if _, err := lines.ReadByte(); err != io.EOF {
				t.Error(err)
			}
		})
	}
}

func TestMiddlewareMayHijack(t *testing.T) {
	hijack := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, buffered, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprint(buffered, "HTTP/1.1 299 Mine\r\nConnection: close\r\n\r\nmine")
			if err := buffered.Flush(); err != nil {
				t.Error(err)
			}
		})
	}
	for name, h := range map[string]http.Handler{
		"service": web.NewHandler(&web.Options{Middleware: []middleware{hijack}}, whoami()...),
		"route":   web.NewHandler(nil, whoami()[0].With(web.Middleware(hijack))),
	} {
		server := httptest.NewServer(h)
		res, body := get(t, server.URL+"/typed")
		if res.StatusCode != 299 || body != "mine" {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
		server.Close()
	}
}

// The caller of a socket is that of the request that opened it.
func TestMiddlewareOfSocket(t *testing.T) {
	hub := websocket.NewHub(nil)
	route := web.WebSocket("/ws", hub, web.SocketMethod("whoami", func(ctx context.Context, _ string) (string, error) {
		return enoki.CallerOf(ctx).Name + " asks " + web.Request(ctx).URL.Path, nil
	}))
	for name, h := range map[string]http.Handler{
		"service": web.NewHandler(&web.Options{Middleware: []middleware{tokens, wrapped}}, route.With(web.Secured(web.APIKey("token", "header", "Token")))),
		"route":   web.NewHandler(nil, route.With(web.Middleware(tokens, wrapped), web.Secured(web.APIKey("token", "header", "Token")))),
	} {
		server := httptest.NewServer(h)
		conn, _ := dial(t, server.URL+"/ws", &coder.DialOptions{HTTPHeader: http.Header{"Token": {"anna"}}})
		send(t, conn, `{"method":"whoami","correlation_id":1}`)
		if got := receive(t, conn); !strings.Contains(got, "anna asks /ws") {
			t.Errorf("%s: %s", name, got)
		}
		for _, token := range []string{"", "wrong"} {
			_, res, err := coder.Dial(t.Context(), server.URL+"/ws", &coder.DialOptions{HTTPHeader: http.Header{"Token": {token}}})
			if err == nil || res.StatusCode != 401 {
				t.Errorf("%s: token %q: %v, %v", name, token, res, err)
			}
		}
		server.Close()
	}
}

// Middleware stands in the promised order.
func TestOrderOfMiddleware(t *testing.T) {
	var mu sync.Mutex
	var order []string
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, what)
	}
	noting := func(what string) middleware {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				note(what)
				next.ServeHTTP(w, r)
			})
		}
	}
	r := run(t, web.Options{Middleware: []middleware{noting("service 1"), noting("service 2")}}, enoki.Options{
		Middleware: []enoki.Middleware{func(next enoki.Handler) enoki.Handler {
			return func(ctx context.Context, c *enoki.Call) error {
				note("enoki " + c.Method)
				return next(ctx, c)
			}
		}},
	}, web.Get("/x", func(context.Context, *struct {
		N int `query:"n" maximum:"5"`
	}) (*nothing, error) {
		note("handler")
		return nil, nil
	}, web.Middleware(noting("route 1"), noting("route 2"))))
	get(t, r.url("/x?n=1"))
	want := []string{"service 1", "service 2", "route 1", "route 2", "enoki GET /x", "handler"}
	if !slices.Equal(order, want) {
		t.Errorf("%q, want %q", order, want)
	}
	order = nil
	get(t, r.url("/x?n=9")) // is not valid
	if !slices.Equal(order, want[:4]) {
		t.Errorf("%q, want %q", order, want[:4])
	}
}

// What middleware reads of a body has a limit.
func TestMiddlewareReadsWithinLimit(t *testing.T) {
	reading := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			var large *http.MaxBytesError
			if errors.As(err, &large) {
				w.WriteHeader(int(large.Limit))
			}
		})
	}
	typed := func(opts ...web.RouteOption) web.Route { return web.Post("/x", length, opts...) }
	for name, test := range map[string]struct {
		route web.Route
		want  int
	}{
		"of the service": {typed(), 300}, "of a route": {typed(web.MaxBody(400)), 400},
		"smaller": {typed(web.MaxBody(100)), 100}, "none": {typed(web.MaxBody(-1)), 200},
	} {
		h := web.NewHandler(&web.Options{MaxBody: 300, Middleware: []middleware{reading}}, test.route)
		if res, _ := upload(h, "/x", 5000, true); res.StatusCode != test.want {
			t.Errorf("%s: %d, want %d", name, res.StatusCode, test.want)
		}
	}
}

func TestPanicOfMiddleware(t *testing.T) {
	log := logged(t)
	failing := func(http.Handler) http.Handler {
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret") })
	}
	for _, h := range []http.Handler{
		web.NewHandler(&web.Options{Middleware: []middleware{wrapped, failing}}, whoami()...),
		web.NewHandler(nil, whoami()[0].With(web.Middleware(wrapped, failing))),
	} {
		log.Reset()
		res, body := exchange(t, h, "GET", "/typed", "")
		wantProblem(t, res, body, 500)
		if strings.Contains(body, "secret") || !strings.Contains(log.String(), "secret") || !strings.Contains(log.String(), "middleware_test.go") {
			t.Errorf("%s; log: %s", body, log)
		}
	}
}

func TestCallerIsInTheLog(t *testing.T) {
	r := run(t, web.Options{Middleware: []middleware{tokens}}, enoki.Options{}, web.Get("/fail", func(context.Context, *struct{}) (*nothing, error) {
		return nil, errors.New("out of order")
	}))
	req, _ := http.NewRequest("GET", r.url("/fail"), nil)
	req.Header.Set("Token", "anna")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	eventually(t, "both lines are there", func() bool { return strings.Contains(r.log.String(), "msg=http") })
	for line := range strings.Lines(r.log.String()) {
		if (strings.Contains(line, "msg=http ") || strings.Contains(line, "handler failed")) && !strings.Contains(line, "caller=anna") {
			t.Errorf("no caller in %s", line)
		}
	}
}

func TestRequestOutsideOfHTTP(t *testing.T) {
	if r := web.Request(context.Background()); r != nil {
		t.Error(r)
	}
}
