package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/enoki-go/enoki/internal/testserver"
)

func TestOneProcess(t *testing.T) {
	s := startOne(t)
	tellStory(t, s)
	registerAtOnce(t, s)
	refusesWrongTypes(t, s)

	p := s.parts["comments"]
	s.stop(t)
	if entries, err := os.ReadDir(p.dir); err != nil || len(entries) != 1 || entries[0].Name() != "state" {
		t.Errorf("it left files outside of the user's directory for state: %v, %v", entries, err)
	}
	if _, err := os.Stat(filepath.Join(p.dir, "state", "enoki", "comments", "comments.db")); err != nil {
		t.Error(err)
	}
	for _, want := range []string{s.url + "/apidocs/", "comments.db", "Neuer Kommentar zu Ihrem Artikel"} {
		if !strings.Contains(p.text(), want) {
			t.Errorf("the log does not show %s", want)
		}
	}
}

func TestFileInUse(t *testing.T) {
	s := startOne(t)
	first := s.parts["comments"]
	file := filepath.Join(first.dir, "state", "enoki", "comments", "comments.db")
	out, code := runToEnd(t, "comments", "--store", file, "--broker", "memory:", "--admin", "off", "--port", freePort(t))
	if code == 0 || !strings.Contains(out, file+" is in use by another process") {
		t.Errorf("a second process on the same file ended with %d:\n%s", code, out)
	}
}

// TestThreeProcesses is the same site on every broker and store.
func TestThreeProcesses(t *testing.T) {
	for _, b := range brokers {
		t.Run(b.name, func(t *testing.T) {
			broker := b.start(t).URL()
			t.Run("redis", func(t *testing.T) { threeProcesses(t, broker, testserver.Redis(t).URL()) })
			t.Run("files", func(t *testing.T) { threeProcesses(t, broker, "") })
		})
	}
}

var brokers = []struct {
	name  string
	start func(testing.TB) *testserver.Server
}{
	{"rabbitmq", testserver.RabbitMQ},
	{"nats", testserver.NATS},
}

func threeProcesses(t *testing.T, broker, store string) {
	s := startThree(t, broker, store)
	tellStory(t, s)
	registerAtOnce(t, s)
	s.stop(t)
}

// tellStory registers two users, and lets one comment on an article of the
// other.
func tellStory(t *testing.T, s *site) {
	t.Helper()
	author := mustRegister(t, s, object{"timestamp": 1, "email": "anna@example.com", "name": "Anna", "language": "de", "country": "AT"})
	reader := mustRegister(t, s, object{"timestamp": 2, "email": "bob@example.com", "name": "Bob", "language": "en", "country": "US"})
	if author == reader {
		t.Errorf("two users have the id %s", author)
	}
	again, a, err := s.register(t.Context(), object{"email": "anna@example.com"})
	if err != nil || a.Code != 10001 || a.Message != "already registered." || again != author {
		t.Errorf("registered again: %q, %+v, %v; want %s with code 10001", again, a, err, author)
	}

	first := mustComment(t, s, object{"timestamp": 3, "u_id": reader, "content": "Nice!", "article_id": 7, "article_u_id": author})
	awaitTexts(t, s, author, "Neuer Kommentar zu Ihrem Artikel: „Nice!“")
	reply := mustComment(t, s, object{"timestamp": 4, "u_id": author, "content": "Danke!", "article_id": 7,
		"article_u_id": json.Number(author), "parent_comment_id": first})
	mustComment(t, s, object{"u_id": reader, "content": "To nobody", "article_id": 8, "article_u_id": "1"})
	wantRefusals(t, s, author)

	thread, err := s.thread(t.Context(), 7)
	want := []comment{{first, 0, reader, "Nice!", []comment{{reply, first, author, "Danke!", []comment{}}}}}
	if err != nil || fmt.Sprint(thread) != fmt.Sprint(want) {
		t.Errorf("the thread is %v, %v; want %v", thread, err, want)
	}
	awaitTexts(t, s, author, "Neuer Kommentar zu Ihrem Artikel: „Danke!“", "Neuer Kommentar zu Ihrem Artikel: „Nice!“")
	if texts, err := s.notifications(t.Context(), reader); err != nil || len(texts) != 0 {
		t.Errorf("the reader was told %q, %v", texts, err)
	}
}

func wantRefusals(t *testing.T, s *site, user string) {
	t.Helper()
	for _, c := range []struct {
		path    string
		body    object
		code    int
		message string
	}{
		{"/api/v1/register", object{"name": "Nobody"}, 10000, "email is null."},
		{"/api/v1/comment", object{"u_id": user, "article_id": 7, "content": "x"}, 10003, "article_u_id or u_id is null."},
		{"/api/v1/comment", object{"u_id": "1", "article_id": 7, "article_u_id": user}, 10004, "You need to register to comment."},
	} {
		a, err := s.ask(t.Context(), http.MethodPost, c.path, c.body)
		if err != nil || a.Code != c.code || a.Message != c.message || string(a.Data) != `""` {
			t.Errorf("%s %v: %+v, %v; want %d %s", c.path, c.body, a, err, c.code, c.message)
		}
	}
}

// refusesWrongTypes looks at what crosses the wire when nothing is right.
func refusesWrongTypes(t *testing.T, s *site) {
	t.Helper()
	for body, want := range map[string]string{`{"timestamp":"now"}`: "body.timestamp", `{"email"`: "not JSON"} {
		resp, err := http.Post(s.url+"/api/v1/register", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close() // read to its end
		if err != nil || resp.StatusCode/100 != 4 || resp.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(string(text), want) {
			t.Errorf("%s: %s, %s, %v; want a problem with %s", body, resp.Status, text, err, want)
		}
	}
}

// registerAtOnce registers one email 200 times at once, and 200 emails.
func registerAtOnce(t *testing.T, s *site) {
	t.Helper()
	const count = 200
	if ids, fresh := register(t, s, count, func(int) string { return "one@example.com" }); len(ids) != 1 || fresh != 1 {
		t.Errorf("one email got %d ids and was new %d times", len(ids), fresh)
	}
	email := func(i int) string { return fmt.Sprintf("%d@example.com", i) }
	if ids, fresh := register(t, s, count, email); len(ids) != count || fresh != count {
		t.Errorf("%d emails got %d ids and were new %d times", count, len(ids), fresh)
	}
}

// register returns how often each id was given, and how many users were new.
func register(t *testing.T, s *site, count int, email func(i int) string) (ids map[string]int, fresh int) {
	t.Helper()
	given, answers := make([]string, count), make([]*answer, count)
	var g errgroup.Group
	for i := range count {
		g.Go(func() (err error) {
			given[i], answers[i], err = s.register(t.Context(), object{"email": email(i)})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	ids = map[string]int{}
	for i, id := range given {
		ids[id]++
		switch answers[i].Code {
		case 0:
			fresh++
		case 10001:
		default:
			t.Errorf("register: %+v", answers[i])
		}
	}
	return ids, fresh
}

func mustRegister(t *testing.T, s *site, user object) string {
	t.Helper()
	id, a, err := s.register(t.Context(), user)
	if err != nil || a.Code != 0 || a.Message != "" || len(id) != 7 || id < "7000000" {
		t.Fatalf("register %v: %q, %+v, %v", user, id, a, err)
	}
	return id
}

func mustComment(t *testing.T, s *site, c object) int64 {
	t.Helper()
	id, a, err := s.comment(t.Context(), c)
	if err != nil || a.Code != 0 || a.Message != "" || id == 0 {
		t.Fatalf("comment %v: %d, %+v, %v", c, id, a, err)
	}
	return id
}
