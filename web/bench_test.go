package web_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	coder "github.com/coder/websocket"

	"github.com/enoki-go/enoki/web"
	"github.com/enoki-go/enoki/websocket"
)

// benchBody is one request; both sides check that its text is not empty.
const benchBody = `{"timestamp":1700000000,"author":"ann","text":"a comment of some length, as people write them"}`

type benchComment struct {
	Timestamp int64  `json:"timestamp"`
	Author    string `json:"author"`
	Text      string `json:"text" minLength:"1"`
}

type benchAnswer struct {
	ID int64 `json:"id"`
}

// BenchmarkPost is one validated POST, without the network: what the types,
// the checks, the request id, the deadline and the access log cost beside a
// handler of package http that has none of them.
func BenchmarkPost(b *testing.B) {
	before := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	b.Cleanup(func() { slog.SetDefault(before) })

	b.Run("enoki", func(b *testing.B) {
		type input struct{ Body benchComment }
		type output struct{ Body benchAnswer }
		serveMany(b, web.NewHandler(nil, web.Post("/comments", func(_ context.Context, in *input) (*output, error) {
			return &output{benchAnswer{in.Body.Timestamp}}, nil
		})))
	})
	b.Run("net-http", func(b *testing.B) {
		mux := http.NewServeMux()
		mux.HandleFunc("POST /comments", func(w http.ResponseWriter, r *http.Request) {
			var in benchComment
			if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&in); err != nil || in.Text == "" {
				http.Error(w, "bad request", http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			if err := json.NewEncoder(w).Encode(benchAnswer{in.Timestamp}); err != nil {
				b.Error(err)
			}
		})
		serveMany(b, mux)
	})
}

func serveMany(b *testing.B, h http.Handler) {
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest("POST", "/comments", strings.NewReader(benchBody))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatalf("%d %s", w.Code, w.Body)
		}
	}
}

// BenchmarkSocketEcho is one call over an open WebSocket and its answer, on
// the loopback network, beside an echo that has no calls.
func BenchmarkSocketEcho(b *testing.B) {
	before := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	b.Cleanup(func() { slog.SetDefault(before) })

	b.Run("enoki", func(b *testing.B) {
		route := web.WebSocket("", websocket.NewHub(nil), web.SocketMethod("echo",
			func(_ context.Context, _, text string) (string, error) { return text, nil }, "text"))
		server := httptest.NewServer(web.NewHandler(nil, route))
		defer server.Close()
		conn, _ := dial(b, server.URL+"/ws", nil)
		defer conn.CloseNow()
		echoMany(b, conn)
	})
	b.Run("bare", func(b *testing.B) {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, err := coder.Accept(w, r, nil)
			if err != nil {
				return
			}
			defer conn.CloseNow()
			for {
				kind, frame, err := conn.Read(r.Context())
				if err != nil || conn.Write(r.Context(), kind, frame) != nil {
					return
				}
			}
		}))
		defer server.Close()
		conn, _, err := coder.Dial(b.Context(), server.URL, nil)
		if err != nil {
			b.Fatal(err)
		}
		defer conn.CloseNow()
		echoMany(b, conn)
	})
}

func echoMany(b *testing.B, conn *coder.Conn) {
	b.ReportAllocs()
	for b.Loop() {
		send(b, conn, `{"method":"echo","data":{"text":"a line of some length, as people write them"},"correlation_id":1}`)
		receive(b, conn)
	}
}

// BenchmarkNewHandler is what the routes cost at start-up.
func BenchmarkNewHandler(b *testing.B) {
	for b.Loop() {
		web.NewHandler(nil, web.Post("/articles/{article}/comments", echo))
	}
}
