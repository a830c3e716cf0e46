package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/examples/comments/commentsapi"
	"github.com/enoki-go/enoki/examples/comments/pushapi"
	"github.com/enoki-go/enoki/examples/comments/registerapi"
	"github.com/enoki-go/enoki/examples/comments/store"
	"github.com/enoki-go/enoki/web"
)

// memory is a store.Comments of one test.
type memory struct {
	store.Comments // what no handler calls
	comments       []store.Comment
	failure        error
}

func (m *memory) AddComment(ctx context.Context, c store.Comment, announce func(store.Comment, *store.Posting) error) (int64, error) {
	if err := errors.Join(m.failure, ctx.Err()); err != nil {
		return 0, err
	}
	c.ID = int64(len(m.comments) + 1)
	if err := announce(c, &store.Posting{}); err != nil {
		return 0, err
	}
	m.comments = append(m.comments, c)
	return c.ID, nil
}

func (m *memory) CommentsOn(_ context.Context, articleID int64) ([]store.Comment, error) {
	var found []store.Comment
	for _, c := range m.comments {
		if c.ArticleID == articleID {
			found = append(found, c)
		}
	}
	return found, m.failure
}

// newSite returns a site on which 7000000 and 7000001 are registered.
func newSite() (*site, *memory) {
	kept := &memory{}
	s := &site{comments: kept}
	s.register.CheckRegistered = func(_ context.Context, id registerapi.UserID) (*registerapi.Profile, error) {
		if id == "7000000" || id == "7000001" {
			return &registerapi.Profile{Name: "somebody"}, nil
		}
		return nil, nil
	}
	s.register.Register = func(_ context.Context, email string, _ registerapi.Profile) (registerapi.UserID, string, error) {
		switch email {
		case "known@example.com":
			return "7000000", registerapi.AlreadyRegistered, nil
		case "unlucky@example.com":
			return "", registerapi.Failed, nil
		case "lost@example.com":
			return "", "", enoki.Errorf(enoki.UnknownService, "nobody there")
		}
		return "7000001", "", nil
	}
	s.posted = func(context.Context, *store.Posting, commentsapi.Comment, ...enoki.EmitOption) error { return nil }
	return s, kept
}

// ask sends a request to a site and returns the answer.
func ask(t *testing.T, s *site, method, path, body string) (status int, contentType, answer string) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	rec := httptest.NewRecorder()
	web.NewHandler(nil, s.routes()...).ServeHTTP(rec, req)
	text, err := io.ReadAll(rec.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return rec.Code, rec.Header().Get("Content-Type"), strings.TrimSpace(string(text))
}

// wantAnswer checks an answer of status 200.
func wantAnswer(t *testing.T, s *site, method, path, body, want string) {
	t.Helper()
	status, contentType, got := ask(t, s, method, path, body)
	if status != http.StatusOK || contentType != "application/json" || got != want {
		t.Errorf("%s %s %s:\n%d %s %s; want\n200 %s", method, path, body, status, contentType, got, want)
	}
}

func TestRegister(t *testing.T) {
	s, _ := newSite()
	const path = "/api/v1/register"
	for body, want := range map[string]string{
		`{"timestamp":1,"email":"new@example.com","name":"Ann","language":"en","country":"GB"}`: `{"code":0,"message":"","data":{"u_id":"7000001"}}`,
		`{"email":"new@example.com"}`:                              `{"code":0,"message":"","data":{"u_id":"7000001"}}`,
		`{"email":"new@example.com","age":7}`:                      `{"code":0,"message":"","data":{"u_id":"7000001"}}`,
		`{"email":"new@example.com","name":null,"timestamp":null}`: `{"code":0,"message":"","data":{"u_id":"7000001"}}`,
		`{"email":"known@example.com"}`:                            `{"code":10001,"message":"already registered.","data":{"u_id":"7000000"}}`,
		`{"email":"unlucky@example.com"}`:                          `{"code":10001,"message":"register failed.","data":""}`,
		`{}`:                                                       `{"code":10000,"message":"email is null.","data":""}`,
		`{"email":""}`:                                             `{"code":10000,"message":"email is null.","data":""}`,
		`{"email":null,"name":"Ann","language":"en","country":"GB"}`: `{"code":10000,"message":"email is null.","data":""}`,
	} {
		wantAnswer(t, s, http.MethodPost, path, body, want)
	}
}

func TestRegisterPassesUserData(t *testing.T) {
	s, _ := newSite()
	var email, data string
	s.register.Register = func(_ context.Context, e string, p registerapi.Profile) (registerapi.UserID, string, error) {
		text, err := json.Marshal(p)
		email, data = e, string(text)
		return "7000001", "", err
	}
	body := `{"timestamp":1767225600,"email":"ann@example.com","name":"Ann","language":"en","country":"GB"}`
	wantAnswer(t, s, http.MethodPost, "/api/v1/register", body, `{"code":0,"message":"","data":{"u_id":"7000001"}}`)
	if email != "ann@example.com" || data != body {
		t.Errorf("registered %s with %s, want %s", email, data, body)
	}
}

func TestComment(t *testing.T) {
	s, kept := newSite()
	var posted []string
	s.posted = func(_ context.Context, _ *store.Posting, c commentsapi.Comment, _ ...enoki.EmitOption) error {
		posted = append(posted, fmt.Sprintf("%d on %d of %s by %s: %s", c.ID, c.ArticleID, c.Author, c.UserID, c.Content))
		return nil
	}
	const path = "/api/v1/comment"
	const noUser = `{"code":10003,"message":"article_u_id or u_id is null.","data":""}`
	for _, body := range []string{
		`{}`, `{"u_id":"7000001"}`, `{"article_u_id":7000000}`, `{"article_u_id":"","u_id":"7000001"}`,
		`{"article_u_id":null,"u_id":"7000001"}`, `{"article_u_id":"7000000","u_id":null}`, `{"article_u_id":"7000000","u_id":""}`,
	} {
		wantAnswer(t, s, http.MethodPost, path, body, noUser)
	}
	wantAnswer(t, s, http.MethodPost, path, `{"u_id":"1","article_u_id":"7000000","article_id":1}`,
		`{"code":10004,"message":"You need to register to comment.","data":""}`)
	if len(posted) != 0 || len(kept.comments) != 0 {
		t.Fatalf("after refusals only: posted %v, kept %v", posted, kept.comments)
	}

	wantAnswer(t, s, http.MethodPost, path,
		`{"timestamp":5,"u_id":"7000001","content":"<one> & \"1\"","article_id":1,"article_u_id":7000000}`,
		`{"code":0,"message":"","data":{"comment_id":1}}`)
	wantAnswer(t, s, http.MethodPost, path,
		`{"timestamp":6,"u_id":"7000000","content":"two","article_id":1,"article_u_id":"9","parent_comment_id":1}`,
		`{"code":0,"message":"","data":{"comment_id":2}}`)
	if got := strings.Join(posted, ", "); got != `1 on 1 of 7000000 by 7000001: <one> & "1", 2 on 1 of 9 by 7000000: two` {
		t.Errorf("posted %s", got)
	}
	want := store.Comment{ID: 2, ParentID: 1, UserID: "7000000", Content: "two", ArticleID: 1, ArticleUserID: "9", Timestamp: 6}
	if kept.comments[1] != want {
		t.Errorf("kept %+v, want %+v", kept.comments[1], want)
	}
	wantAnswer(t, s, http.MethodGet, "/api/v1/articles/1/comments", "", `{"code":0,"message":"","data":{"article_id":1,"comments":[`+
		`{"comment_id":1,"parent_comment_id":0,"u_id":"7000001","content":"<one> & \"1\"","timestamp":5,"replies":[`+
		`{"comment_id":2,"parent_comment_id":1,"u_id":"7000000","content":"two","timestamp":6,"replies":[]}]}]}}`)
	wantAnswer(t, s, http.MethodGet, "/api/v1/articles/2/comments", "", `{"code":0,"message":"","data":{"article_id":2,"comments":[]}}`)
}

const goodComment = `{"u_id":"7000001","content":"x","article_id":1,"article_u_id":"7000000"}`

// TestCommentOutlivesClient saves the comment of a client that has gone.
func TestCommentOutlivesClient(t *testing.T) {
	s, kept := newSite()
	ctx, leave := context.WithCancel(t.Context())
	s.register.CheckRegistered = func(context.Context, registerapi.UserID) (*registerapi.Profile, error) {
		leave()
		return &registerapi.Profile{}, nil
	}
	var in commentInput
	if err := json.Unmarshal([]byte(goodComment), &in.Body); err != nil {
		t.Fatal(err)
	}
	out, err := s.postComment(ctx, &in)
	if err != nil || out.Body.Code != codeOK || len(kept.comments) != 1 {
		t.Errorf("answer %+v, %v; kept %v", out, err, kept.comments)
	}
}

// TestCommentWithoutEvent is refused: its author would never be told.
func TestCommentWithoutEvent(t *testing.T) {
	s, kept := newSite()
	s.posted = func(context.Context, *store.Posting, commentsapi.Comment, ...enoki.EmitOption) error {
		return errors.New("no")
	}
	status, _, _ := ask(t, s, http.MethodPost, "/api/v1/comment", goodComment)
	if status != http.StatusInternalServerError || len(kept.comments) != 0 {
		t.Errorf("status %d, kept %v", status, kept.comments)
	}
}

func TestFaults(t *testing.T) {
	s, kept := newSite()
	kept.failure = errors.New("secret: disk full")
	s.push.Notifications = func(context.Context, registerapi.UserID) ([]pushapi.Notification, error) {
		return nil, enoki.Errorf(enoki.DeadlineExceeded, "secret")
	}
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{http.MethodPost, "/api/v1/comment", goodComment, http.StatusInternalServerError},
		{http.MethodGet, "/api/v1/articles/1/comments", "", http.StatusInternalServerError},
		{http.MethodPost, "/api/v1/register", `{"email":"lost@example.com"}`, http.StatusServiceUnavailable},
		{http.MethodGet, "/api/v1/users/7000000/notifications", "", http.StatusGatewayTimeout},
	} {
		status, contentType, answer := ask(t, s, c.method, c.path, c.body)
		if status != c.status || contentType != "application/problem+json" || strings.Contains(answer, "secret") {
			t.Errorf("%s %s: %d %s %s; want %d", c.method, c.path, status, contentType, answer, c.status)
		}
	}
}

// TestWrongTypes wants the name of the field in the answer.
func TestWrongTypes(t *testing.T) {
	s, kept := newSite()
	const register, comment = "/api/v1/register", "/api/v1/comment"
	for _, c := range []struct{ path, body, field string }{
		{register, `{"timestamp":"1","email":"a"}`, `"body.timestamp"`},
		{register, `{"timestamp":1.5,"email":"a"}`, `"body.timestamp"`},
		{register, `{"timestamp":1e300,"email":"a"}`, `"body.timestamp"`},
		{register, `{"email":7}`, `"body.email"`},
		{register, `{"email":["a"]}`, `"body.email"`},
		{register, `{"email":"a","name":{}}`, `"body.name"`},
		{register, `{"email":"a","language":true}`, `"body.language"`},
		{register, `{"email":"a","country":49}`, `"body.country"`},
		{register, `{"email":`, `not JSON`},
		{register, `email=a`, `not JSON`},
		{register, `[]`, `"body"`},
		{register, ``, `"body"`},
		{comment, `{"u_id":7000001}`, `"body.u_id"`},
		{comment, `{"content":1}`, `"body.content"`},
		{comment, `{"article_id":"1"}`, `"body.article_id"`},
		{comment, `{"article_u_id":true}`, `"body.article_u_id"`},
		{comment, `{"article_u_id":1.5}`, `"body.article_u_id"`},
		{comment, `{"article_u_id":99999999999999999999}`, `"body.article_u_id"`},
		{comment, `{"parent_comment_id":"1"}`, `"body.parent_comment_id"`},
		{comment, `{"timestamp":[]}`, `"body.timestamp"`},
		{comment, `{"u_id":"7000001","article_u_id":"7000000"}`, `body.article_id is missing`},
	} {
		status, contentType, answer := ask(t, s, http.MethodPost, c.path, c.body)
		if status < 400 || status > 499 || contentType != "application/problem+json" || !strings.Contains(answer, c.field) {
			t.Errorf("%s %s: %d %s %s; want a problem with %s", c.path, c.body, status, contentType, answer, c.field)
		}
	}
	if status, _, answer := ask(t, s, http.MethodGet, "/api/v1/articles/x/comments", ""); status < 400 || !strings.Contains(answer, "path.article_id") {
		t.Errorf("an article that is no number: %d %s", status, answer)
	}
	if len(kept.comments) != 0 {
		t.Errorf("kept %v", kept.comments)
	}
}

func TestNotifications(t *testing.T) {
	s, _ := newSite()
	s.push.Notifications = func(_ context.Context, id registerapi.UserID) ([]pushapi.Notification, error) {
		return []pushapi.Notification{{Time: time.Unix(0, 0).UTC(), Language: "en", Text: "for " + string(id)}}, nil
	}
	wantAnswer(t, s, http.MethodGet, "/api/v1/users/7000000/notifications", "", `{"code":0,"message":"","data":{"u_id":"7000000",`+
		`"notifications":[{"time":"1970-01-01T00:00:00Z","language":"en","text":"for 7000000"}]}}`)
}

// TestDocument looks at what the page of the API is made of.
func TestDocument(t *testing.T) {
	s, _ := newSite()
	_, _, answer := ask(t, s, http.MethodGet, "/openapi.json", "")
	var document struct {
		Paths map[string]any
	}
	if err := json.Unmarshal([]byte(answer), &document); err != nil || len(document.Paths) != 4 {
		t.Fatalf("%d paths, %v", len(document.Paths), err)
	}
	for _, want := range []string{`"oneOf":[{"type":"string"},{"type":"integer"}]`, `"examples":[{"timestamp":1767225600,"email":"ann@example.com"`} {
		if !strings.Contains(answer, want) {
			t.Errorf("the document lacks %s", want)
		}
	}
}
