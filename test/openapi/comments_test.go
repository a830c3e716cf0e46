package openapi

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/examples/comments/api"
	"github.com/enoki-go/enoki/examples/comments/push"
	"github.com/enoki-go/enoki/examples/comments/register"
	"github.com/enoki-go/enoki/examples/comments/store/bolt"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// listening is a log that waits for the address of an HTTP server.
type listening struct {
	slog.Handler
	address chan string
}

func (l *listening) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &listening{l.Handler.WithAttrs(attrs), l.address}
}

func (l *listening) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if r.Message == "http listening" && a.Key == "address" {
			l.address <- a.Value.String()
		}
		return true
	})
	return nil
}

// commentSite runs the comment site until the test ends, and returns what
// passes requests on to it.
func commentSite(t *testing.T) http.Handler {
	t.Helper()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	s, err := bolt.Open(filepath.Join(t.TempDir(), "site.db"))
	if err != nil {
		t.Fatal(err)
	}
	link := memory.New()
	log := &listening{slog.NewTextHandler(io.Discard, nil), make(chan string, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	o := enoki.Options{Logger: slog.New(log), OnReady: func() { close(ready) }}
	go func() {
		done <- enoki.Run(ctx, link, &o, register.New(s, quiet), push.New(s, quiet), api.New(s, "127.0.0.1:0"))
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		_ = link.Close() // all is read
		_ = s.Close()
	})
	select {
	case <-ready:
	case err := <-done:
		done <- err
		t.Fatalf("the site ended: %v", err)
	case <-time.After(patience):
		t.Fatal("the site is not ready in time")
	}
	target, err := url.Parse(<-log.address)
	if err != nil {
		t.Fatal(err)
	}
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
}

func TestCommentSite(t *testing.T) {
	j := newJudge(t, commentSite(t))
	const users, comments = "/api/v1/register", "/api/v1/comment"
	for i, body := range []string{
		`{"timestamp":1,"email":"ann@example.com","name":"Ann","language":"en","country":"GB"}`,
		`{"timestamp":1,"email":"bob@example.com","name":"Bob","language":"zh-TW","country":"TW","newer":[1]}`,
		`{"timestamp":1,"email":"bob@example.com"}`, `{"email":null}`, `{"email":""}`, `{}`,
	} {
		if got := j.ask("POST", users, users, body); got.status != 200 || !j.takes("POST", users, body) {
			t.Errorf("user %d: %+v", i, got)
		}
	}
	for i, body := range []string{
		`{"timestamp":2,"u_id":"7000001","content":"Well <written>!","article_id":1,"article_u_id":"7000000"}`,
		`{"timestamp":2,"u_id":"7000001","content":"again","article_id":1,"article_u_id":7000000,"parent_comment_id":1}`,
		`{"timestamp":2,"u_id":"7000001","content":"lost","article_id":1,"parent_comment_id":77}`,
		`{"u_id":"1","article_id":1}`, `{"u_id":"","article_id":1}`, `{"u_id":"7000001"}`, `{}`,
	} {
		if got := j.ask("POST", comments, comments, body); got.status != 200 || !j.takes("POST", comments, body) {
			t.Errorf("comment %d: %+v", i, got)
		}
	}
	for _, body := range []string{`{"email":1}`, `{"email":"a","Email":1,"email":"b"}`, `[]`, `{`, ``} {
		if got := j.ask("POST", users, users, body); got.status != 400 {
			t.Errorf("%s: %+v", body, got)
		}
	}
	for _, c := range []struct {
		path, target string
		status       int
	}{
		{"/api/v1/articles/{article_id}/comments", "/api/v1/articles/1/comments", 200},
		{"/api/v1/articles/{article_id}/comments", "/api/v1/articles/99/comments", 200},
		{"/api/v1/articles/{article_id}/comments", "/api/v1/articles/x/comments", 400},
		{"/api/v1/articles/{article_id}/comments", fmt.Sprint("/api/v1/articles/1", "00000000000000000000", "/comments"), 400},
		{"/api/v1/users/{u_id}/notifications", "/api/v1/users/7000000/notifications", 200},
		{"/api/v1/users/{u_id}/notifications", "/api/v1/users/nobody/notifications", 200},
	} {
		if got := j.ask("GET", c.path, c.target, ""); got.status != c.status {
			t.Errorf("%s: %+v", c.target, got)
		}
	}
	j.wantAllCalled()
}
