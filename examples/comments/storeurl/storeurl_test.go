package storeurl

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/enoki-go/enoki/internal/testserver"
)

func TestOpenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "comments.db")
	for _, url := range []string{path, "bolt:" + path, "bolt://" + path} {
		var log bytes.Buffer
		s, err := Open(url, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s: %v", url, err)
		}
		if !strings.Contains(log.String(), "path="+path) {
			t.Errorf("%s: the log doesn't say where the data is: %s", url, log.String())
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenRedis(t *testing.T) {
	s, err := Open(testserver.Redis(t).URL(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOpenErrors(t *testing.T) {
	for url, want := range map[string]string{
		"":                       "names no file",
		"bolt:":                  "names no file",
		"postgres://u:pw@host/x": `no store for scheme "postgres"`,
		"redis://127.0.0.1:1":    "127.0.0.1:1",
	} {
		s, err := Open(url, slog.New(slog.DiscardHandler))
		if s != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("open %q: %v, %v; want an error with %q", url, s, err, want)
		}
	}
}

func TestDefault(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", "/state")
	if got, want := Default("push"), filepath.FromSlash("/state/enoki/comments/push.db"); got != want {
		t.Errorf("Default: %s, want %s", got, want)
	}
	t.Setenv("XDG_STATE_HOME", "relative")
	if got := Default("push"); !filepath.IsAbs(got) {
		t.Errorf("a relative XDG_STATE_HOME is not to be followed, but Default is %s", got)
	}
}
