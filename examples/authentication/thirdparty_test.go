package authentication

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/rs/cors"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"

	"github.com/enoki-go/enoki/web"
)

type guard = func(http.Handler) http.Handler

// strangers is middleware of others, all that wrap the writer among them.
func strangers(log *log.Logger) map[string][]guard {
	traced := func(next http.Handler) http.Handler { return otelhttp.NewHandler(next, "site") }
	known := map[string][]guard{
		"chi's logger":     {middleware.RequestLogger(&middleware.DefaultLogFormatter{Logger: log, NoColor: true})},
		"chi's compressor": {middleware.Compress(5)},
		"chi's others":     {middleware.RequestID, middleware.Recoverer, middleware.NoCache, middleware.Throttle(10)},
		"rs/cors":          {cors.New(cors.Options{AllowedOrigins: []string{"https://app.example.com"}}).Handler},
		"otelhttp":         {traced},
		"the standard's":   {func(next http.Handler) http.Handler { return http.TimeoutHandler(next, time.Minute, "late") }},
	}
	known["all but the standard's"] = append(append(append(known["chi's logger"], known["chi's compressor"]...), known["chi's others"]...), traced)
	return known
}

func TestMiddlewareOfOthers(t *testing.T) {
	lines := new(bytes.Buffer)
	for name, guards := range strangers(log.New(lines, "", 0)) {
		for _, where := range []string{"service", "route"} {
			t.Run(name+" of the "+where, func(t *testing.T) {
				next := make(chan struct{}, 1)
				typed := web.Get("/hello", hello)
				failing := web.Get("/fail", func(context.Context, *struct{}) (*greeting, error) { return nil, errors.New("secret") })
				stream := web.Handle("GET /stream", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					for range 2 {
						io.WriteString(w, "part\n")
						http.NewResponseController(w).Flush()
						select {
						case <-next:
						case <-r.Context().Done():
							return
						}
					}
				}))
				o := &web.Options{}
				routes := []web.Route{typed, failing, stream}
				if where == "service" {
					o.Middleware = guards
				} else {
					for i := range routes {
						routes[i] = routes[i].With(web.Middleware(guards...))
					}
				}
				server := httptest.NewServer(web.NewHandler(o, routes...))
				defer server.Close()
				get := func(path string) (*http.Response, string) {
					req, _ := http.NewRequestWithContext(t.Context(), "GET", server.URL+path, nil)
					req.Header.Set("Origin", "https://app.example.com")
					res, err := http.DefaultClient.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					defer res.Body.Close()
					text, err := io.ReadAll(res.Body)
					if err != nil {
						t.Fatal(err)
					}
					return res, string(text)
				}
				if res, text := get("/hello"); res.StatusCode != 200 || text != "\"hello \"\n" {
					t.Errorf("typed: %d %q", res.StatusCode, text)
				} else if strings.HasPrefix(name, "rs") && res.Header.Get("Access-Control-Allow-Origin") == "" {
					t.Errorf("no CORS: %v", res.Header)
				}
				if res, text := get("/fail"); res.StatusCode != 500 || !strings.Contains(text, `"code":"internal"`) || strings.Contains(text, "secret") {
					t.Errorf("failing: %d %q", res.StatusCode, text)
				}
				if res, _ := get("/nowhere"); res.StatusCode != 404 {
					t.Errorf("nowhere: %d", res.StatusCode)
				}
				if name == "the standard's" {
					return // it streams nothing, as its page says
				}
				res, err := http.Get(server.URL + "/stream")
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				for parts := bufio.NewReader(res.Body); ; {
					line, err := parts.ReadString('\n')
					if err == io.EOF {
						break
					}
					if line != "part\n" || err != nil {
						t.Fatalf("stream: %q, %v", line, err)
					}
					next <- struct{}{}
				}
			})
		}
	}
	if !strings.Contains(lines.String(), "/hello") || !strings.Contains(lines.String(), " - 500 ") {
		t.Errorf("chi's logger has seen %s", lines)
	}
}

// What is compressed outside is whole inside.
func TestCompression(t *testing.T) {
	o, routes := site(key)
	o.Middleware = append([]guard{middleware.Compress(5, "application/json")}, o.Middleware...)
	r := httptest.NewRequest("GET", "/openapi.json", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	w := httptest.NewRecorder()
	web.NewHandler(o, routes...).ServeHTTP(w, r)
	unpacked, err := gzip.NewReader(w.Body)
	if err != nil || w.Header().Get("Content-Encoding") != "gzip" {
		t.Fatal(err, w.Header())
	}
	if text, err := io.ReadAll(unpacked); err != nil || !bytes.Contains(text, []byte(`"openapi":"3.1.0"`)) {
		t.Errorf("%v: %s", err, text)
	}
}
