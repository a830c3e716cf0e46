package found

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/host"
)

// TestFlippedBit: a bit of a stored event is flipped while the embedded broker
// is away, after a crash. Half of what was confirmed vanished without a word;
// now it is told how much.
func TestFlippedBit(t *testing.T) {
	const events = 200
	dir := t.TempDir()
	dial := func() broker.Broker {
		b, err := host.Dial(t.Context(), "embedded:?port=0&dir="+dir, quiet)
		return linked(t, b, err)
	}
	posted := enoki.NewEvent[string]("flipped", "posted")
	service := enoki.NewService("reader", enoki.On(posted, func(context.Context, string) error { return nil }))
	first := dial()
	run(t, first, enoki.Options{}, service)() // its subscription stays
	emit := enoki.Emitter(client(t, first), posted)
	for range events {
		if err := emit(t.Context(), strings.Repeat("x", 500)); err != nil {
			t.Fatal(err)
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.Contains(path, "ENOKI_EVENTS_flipped") {
			return err
		}
		if entry.Name() == "index.db" {
			return os.Remove(path) // as a crash leaves it
		}
		if filepath.Ext(path) != ".blk" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text[len(text)/2] ^= 1
		return os.WriteFile(path, text, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	backlog, err := dial().Backlog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	told := func(s broker.Store) bool {
		return s.Name == "ENOKI_EVENTS_flipped" && s.Lost > events/4 && s.Lost < events
	}
	if !slices.ContainsFunc(backlog.Stores, told) {
		t.Errorf("the stores are %+v, want about half of %d events told as lost", backlog.Stores, events)
	}
}
