package web_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/enoki-go/enoki/web"
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

// BenchmarkNewHandler is what the routes cost at start-up.
func BenchmarkNewHandler(b *testing.B) {
	for b.Loop() {
		web.NewHandler(nil, web.Post("/articles/{article}/comments", echo))
	}
}
