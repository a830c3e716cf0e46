package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/enoki-go/enoki/bench/document"
	"github.com/enoki-go/enoki/bench/harness"
)

const maxBody = 1 << 20

// serveNetHTTP has what a careful program by hand has: a limit, a strict
// decoder, a check of every field, and an answer in one piece.
func serveNetHTTP(context.Context, *harness.Work) (string, error) { return listen(byHand()) }

func byHand() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /users/{id}/documents", func(w http.ResponseWriter, r *http.Request) {
		post(w, r, r.PathValue("id"))
	})
	return mux
}

func post(w http.ResponseWriter, r *http.Request, user string) {
	d, err := decode(w, r)
	if err == nil {
		err = check(user, d)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer(w, d)
}

func decode(w http.ResponseWriter, r *http.Request) (*document.Document, error) {
	var d document.Document
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	return &d, decoder.Decode(&d)
}

// check is what the tags of Input say.
func check(user string, d *document.Document) error {
	switch n, err := strconv.ParseInt(user, 10, 64); {
	case err != nil || n < 1:
		return errors.New("path.id is no positive integer")
	case len(d.ID) < 1 || len(d.ID) > 40:
		return errors.New("body.id has not 1 to 40 characters")
	case len(d.Name) < 1 || len(d.Name) > 100:
		return errors.New("body.name has not 1 to 100 characters")
	case d.Count < 0 || d.Count > 1000:
		return errors.New("body.count is not between 0 and 1000")
	case d.Score < 0 || d.Score > 1:
		return errors.New("body.score is not between 0 and 1")
	case len(d.Tags) > 10:
		return errors.New("body.tags are more than 10")
	case len(d.Text) > 100_000:
		return errors.New("body.text has more than 100000 characters")
	}
	return nil
}

func answer(w http.ResponseWriter, d *document.Document) {
	text, err := json.Marshal(d)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(text) // the client has gone
}

func listen(h http.Handler) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second}
	go func() { _ = server.Serve(l) }() // it ends with the process
	return "http://" + l.Addr().String(), nil
}

// serveNetHTTPComplete adds what every service in use has.
func serveNetHTTPComplete(context.Context, *harness.Work) (string, error) {
	return listen(Complete(slog.New(slog.NewJSONHandler(io.Discard, nil)), byHand()))
}

// Complete gives a request an id and a deadline, catches panics and logs.
func Complete(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start, id := time.Now(), uuid.NewString()
		ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
		defer cancel()
		w.Header().Set("X-Request-Id", id)
		seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		r = r.WithContext(ctx)
		defer func() {
			if p := recover(); p != nil {
				log.Error("panic", "request", id, "panic", p, "stack", string(debug.Stack()))
				http.Error(seen, "internal error", http.StatusInternalServerError)
			}
			log.LogAttrs(ctx, slog.LevelInfo, "http", slog.String("method", r.Method), slog.String("route", r.Pattern),
				slog.Int("status", seen.status), slog.Int("bytes", seen.size), slog.Duration("took", time.Since(start)), slog.String("request", id))
		}()
		next.ServeHTTP(seen, r)
	})
}

// statusWriter notes what is answered.
type statusWriter struct {
	http.ResponseWriter
	status, size int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	w.size += len(p)
	return w.ResponseWriter.Write(p)
}
