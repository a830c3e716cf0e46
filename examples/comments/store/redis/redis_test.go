package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/examples/comments/store"
	"github.com/enoki-go/enoki/examples/comments/store/storetest"
	"github.com/enoki-go/enoki/internal/testserver"
)

func openStore(at string) (store.Store, error) {
	return Open(context.Background(), at, slog.New(slog.DiscardHandler))
}

func TestMain(m *testing.M) { storetest.Main(m, openStore) }

func TestStore(t *testing.T) {
	server := testserver.Redis(t)
	storetest.Run(t, openStore, func(t *testing.T) string {
		if err := dial(t, server.URL()).FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		return server.URL()
	})
}

// dial returns a client of its own, as another program would have one.
func dial(t *testing.T, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func opened(t *testing.T, url string) store.Store {
	t.Helper()
	s, err := openStore(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func register(t *testing.T, s store.Store, email string) (id string, isNew bool) {
	t.Helper()
	id, isNew, err := s.Register(t.Context(), email, json.RawMessage(`{"email":"`+email+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	return id, isNew
}

func TestExistingDatabase(t *testing.T) {
	server := testserver.Redis(t)
	client := dial(t, server.URL())
	const pythons = `{"email": "ann@example.com", "name": "Ann", "timestamp": 1.5e9, "x": null}`
	existing := map[string]string{"ann@example.com": "7000000", "bob@example.com": "7000001", "half@example.com": "7000003"}
	must(t, client.HSet(t.Context(), "users", existing).Err())
	must(t, client.HSet(t.Context(), "users_data", "7000000", pythons, "7000001", `{}`, "7000004", `{}`).Err())

	s := opened(t, server.URL())
	for email, want := range existing {
		if id, isNew := register(t, s, email); id != want || isNew {
			t.Errorf("%s: %q, %v; want %q, false", email, id, isNew, want)
		}
	}
	if data, err := s.UserData(t.Context(), "7000000"); err != nil || string(data) != pythons {
		t.Errorf("data: %s, %v", data, err)
	}
	if data, err := s.UserData(t.Context(), "7000003"); err != nil || string(data) != `{"email":"half@example.com"}` {
		t.Errorf("data of a registration that was half-done: %s, %v", data, err)
	}
	for i, want := range []string{"7000002", "7000005", "7000006"} {
		if id, isNew := register(t, s, fmt.Sprintf("new%d@example.com", i)); id != want || !isNew {
			t.Errorf("new user %d: %q, %v; want %q, true", i, id, isNew, want)
		}
	}
	// What this package adds is what another program would have added.
	must(t, client.HSet(t.Context(), "users_data", "7000007", `{}`).Err())
	if id, _ := register(t, s, "late@example.com"); id != "7000008" {
		t.Errorf("after another program took 7000007: %q", id)
	}
	if id := client.HGet(t.Context(), "users", "late@example.com").Val(); id != "7000008" {
		t.Errorf("users holds %q", id)
	}
	if data := client.HGet(t.Context(), "users_data", "7000008").Val(); data != `{"email":"late@example.com"}` {
		t.Errorf("users_data holds %q", data)
	}
}

// TestHalfDoneIDs has more users without data than one page of the scan.
func TestHalfDoneIDs(t *testing.T) {
	server := testserver.Redis(t)
	users := map[string]string{}
	for i := range 2500 {
		users[fmt.Sprintf("%d@example.com", i)] = strconv.Itoa(store.FirstUserID + i)
	}
	must(t, dial(t, server.URL()).HSet(t.Context(), "users", users).Err())
	if id, _ := register(t, opened(t, server.URL()), "new@example.com"); id != "7002500" {
		t.Errorf("the first free id: %q, want 7002500", id)
	}
}

// TestManyTakenIDs needs more than one run of the script to find a free id.
func TestManyTakenIDs(t *testing.T) {
	server := testserver.Redis(t)
	client := dial(t, server.URL())
	taken := map[string]string{}
	for i := range 25_000 {
		taken[strconv.Itoa(store.FirstUserID+i)] = `{}`
	}
	must(t, client.HSet(t.Context(), "users_data", taken).Err())
	if id, isNew := register(t, opened(t, server.URL()), "new@example.com"); id != "7025000" || !isNew {
		t.Errorf("the first free id: %q, %v; want 7025000, true", id, isNew)
	}
}

func TestLastID(t *testing.T) {
	server := testserver.Redis(t)
	must(t, dial(t, server.URL()).Set(t.Context(), lastUserIDKey, store.LastUserID-1, 0).Err())
	s := opened(t, server.URL())
	if id, isNew := register(t, s, "last@example.com"); id != "9999999" || !isNew {
		t.Errorf("the last id: %q, %v", id, isNew)
	}
	for range 2 {
		if id, _, err := s.Register(t.Context(), "late@example.com", json.RawMessage(`{}`)); !errors.Is(err, store.ErrNoIDs) {
			t.Errorf("after the last id: %q, %v; want ErrNoIDs", id, err)
		}
	}
	if id, isNew := register(t, s, "last@example.com"); id != "9999999" || isNew {
		t.Errorf("a known email after the last id: %q, %v", id, isNew)
	}
}

// TestWrongType finds a key of another kind and leaves nothing half-done.
func TestWrongType(t *testing.T) {
	server := testserver.Redis(t)
	client := dial(t, server.URL())
	must(t, client.Set(t.Context(), "users_data", "not a hash", 0).Err())
	s := opened(t, server.URL())
	if _, _, err := s.Register(t.Context(), "ann@example.com", json.RawMessage(`{}`)); err == nil {
		t.Error("registered in a database without a hash users_data")
	}
	if n := client.HLen(t.Context(), "users").Val(); n != 0 {
		t.Errorf("%d emails have no data", n)
	}
}

func TestKilledServer(t *testing.T) {
	server := testserver.Redis(t)
	s := opened(t, server.URL())
	confirmed := map[string]string{}
	var runs []int
	for run := range 3 {
		maps.Copy(confirmed, killWhileWriting(t, server, s, run))
		must(t, server.Start())
		runs = append(runs, run)
	}
	storetest.CheckWritten(t, s, runs, confirmed)
}

func killWhileWriting(t *testing.T, server *testserver.Server, s store.Store, run int) map[string]string {
	t.Helper()
	var mu sync.Mutex // guards confirmed
	confirmed := map[string]string{}
	enough := make(chan struct{})
	written := make(chan error, 1)
	go func() {
		written <- storetest.Write(s, run, func(email, id string) {
			mu.Lock()
			defer mu.Unlock()
			if confirmed[email] = id; len(confirmed) == 100 {
				close(enough)
			}
		})
	}()
	select {
	case <-enough:
	case err := <-written:
		t.Fatalf("the writer ended before the server: %v", err)
	}
	server.Kill()
	if err := <-written; err == nil {
		t.Error("writing to a dead server did not fail")
	}
	return confirmed
}

func TestOpenErrors(t *testing.T) {
	for _, url := range []string{"redis://user:secret@127.0.0.1:1", "http://user:secret@x", "redis://:secret@[", "redis://x?secret=1"} {
		_, err := openStore(url)
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("open %s: %v", url, err)
		}
	}
}

func TestWarnsOfLoss(t *testing.T) {
	server := testserver.Redis(t)
	warnings := func() string {
		var out strings.Builder
		s, err := Open(t.Context(), server.URL(), slog.New(slog.NewTextHandler(&out, nil)))
		must(t, err)
		must(t, s.Close())
		return out.String()
	}
	if got := warnings(); got != "" {
		t.Errorf("a server that syncs every write: %s", got)
	}
	must(t, dial(t, server.URL()).ConfigSet(t.Context(), "appendfsync", "everysec").Err())
	if got := warnings(); !strings.Contains(got, "appendfsync=everysec") {
		t.Errorf("a server that syncs each second: %q", got)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestUnavailable: what Redis can't do at the moment is told as such.
func TestUnavailable(t *testing.T) {
	server := testserver.Redis(t)
	s := opened(t, server.URL())
	write := func() error {
		_, err := s.AddComment(t.Context(), store.Comment{ArticleID: 1, Content: "c"}, func(store.Comment, *store.Posting) error { return nil })
		return err
	}
	admin := dial(t, server.URL())
	if err := admin.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if err := write(); !errors.Is(err, enoki.Unavailable) {
		t.Errorf("without memory: got error %v, want unavailable", err)
	}
	if err := admin.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if err := write(); err != nil {
		t.Errorf("with memory again: %v", err)
	}
	server.Kill()
	if err := write(); !errors.Is(err, enoki.Unavailable) {
		t.Errorf("without a server: got error %v, want unavailable", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.CommentsOn(ctx, 1); errors.Is(err, enoki.Unavailable) {
		t.Errorf("a caller that has left: got error %v, want its own", err)
	}
}
