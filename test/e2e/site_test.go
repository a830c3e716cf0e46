package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// site is a comment site that runs.
type site struct {
	url   string // of its API
	parts map[string]*process
}

// services are the names of the site's services, and of their programs.
var services = []string{"register", "push", "api"}

// startOne starts the site as one process with a broker inside. args come
// after the others.
func startOne(t *testing.T, args ...string) *site {
	t.Helper()
	port := freePort(t)
	broker := "embedded:?port=" + freePort(t) + "&dir=" + url.QueryEscape(filepath.Join(t.TempDir(), "broker"))
	args = append([]string{"--broker", broker, "--admin", "off", "--port", port}, args...)
	return &site{url: "http://127.0.0.1:" + port, parts: map[string]*process{"comments": start(t, "comments", args...)}}
}

// startThree starts the site as three processes. An empty store is the
// default: a file of each one's own.
func startThree(t *testing.T, broker, store string) *site {
	t.Helper()
	port := freePort(t)
	s := &site{url: "http://127.0.0.1:" + port, parts: map[string]*process{}}
	for _, name := range services {
		args := []string{"--broker", broker, "--admin", "off"}
		if store != "" {
			args = append(args, "--store", store)
		}
		if name == "api" {
			args = append(args, "--port", port)
		}
		s.parts[name] = start(t, name, args...)
	}
	return s
}

func (s *site) stop(t *testing.T) {
	t.Helper()
	// A server that stops waits 5 s for connections that it got no request on.
	http.DefaultClient.CloseIdleConnections()
	for _, p := range s.parts {
		p.stop(t)
	}
}

// answer is an envelope of the API.
type answer struct {
	Code    int
	Message string
	Data    json.RawMessage
}

// requestTimeout is longer than anything the site may take.
const requestTimeout = 30 * time.Second

// ask sends a request with body as JSON, or without one when it is nil. An
// answer of another status than 200 is an error.
func (s *site) ask(ctx context.Context, method, path string, body any) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, content)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, text)
	}
	a := new(answer)
	return a, json.Unmarshal(text, a)
}

type object map[string]any

// register returns the new user's id.
func (s *site) register(ctx context.Context, user object) (id string, a *answer, err error) {
	if a, err = s.ask(ctx, http.MethodPost, "/api/v1/register", user); err != nil {
		return "", nil, err
	}
	var data struct {
		UserID string `json:"u_id"`
	}
	if string(a.Data) != `""` {
		err = json.Unmarshal(a.Data, &data)
	}
	return data.UserID, a, err
}

// comment returns the new comment's id.
func (s *site) comment(ctx context.Context, comment object) (id int64, a *answer, err error) {
	if a, err = s.ask(ctx, http.MethodPost, "/api/v1/comment", comment); err != nil {
		return 0, nil, err
	}
	var data struct {
		CommentID int64 `json:"comment_id"`
	}
	if string(a.Data) != `""` {
		err = json.Unmarshal(a.Data, &data)
	}
	return data.CommentID, a, err
}

// comment is one of a thread.
type comment struct {
	CommentID int64  `json:"comment_id"`
	ParentID  int64  `json:"parent_comment_id"`
	UserID    string `json:"u_id"`
	Content   string
	Replies   []comment
}

// thread returns the comments on an article.
func (s *site) thread(ctx context.Context, article int) ([]comment, error) {
	a, err := s.ask(ctx, http.MethodGet, fmt.Sprintf("/api/v1/articles/%d/comments", article), nil)
	if err != nil {
		return nil, err
	}
	var data struct{ Comments []comment }
	return data.Comments, json.Unmarshal(a.Data, &data)
}

// notifications returns the texts that were pushed to a user, newest first.
func (s *site) notifications(ctx context.Context, userID string) ([]string, error) {
	a, err := s.ask(ctx, http.MethodGet, "/api/v1/users/"+userID+"/notifications", nil)
	if err != nil {
		return nil, err
	}
	var data struct{ Notifications []struct{ Text string } }
	if err := json.Unmarshal(a.Data, &data); err != nil {
		return nil, err
	}
	var texts []string
	for _, n := range data.Notifications {
		texts = append(texts, n.Text)
	}
	return texts, nil
}

// toldTimeout is how long it may take until an author is told: what push had in
// hand when it was killed comes again after 15 s on NATS, and what it tried in
// vain while register was away may wait for half a minute more.
const toldTimeout = 3 * time.Minute

// awaitTexts waits until a user was told these texts, newest first, and no
// others: an author is told soon after a comment was stored, not before.
func awaitTexts(t *testing.T, s *site, userID string, want ...string) {
	t.Helper()
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for begun := time.Now(); ; <-pace.C {
		texts, err := s.notifications(t.Context(), userID)
		if err == nil && slices.Equal(texts, want) {
			return
		}
		if time.Since(begun) > toldTimeout {
			t.Fatalf("user %s was told %q, %v; want %q", userID, texts, err, want)
		}
	}
}

func decode(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}
