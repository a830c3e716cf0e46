package embedded_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/enoki-go/enoki/broker/nats/embedded"
)

// TestFlippedBit: a bit of a stored message is flipped while the server is
// away, and its index is gone, as after a crash.
func TestFlippedBit(t *testing.T) {
	const messages = 300
	dir := t.TempDir()
	first := start(t, embedded.Options{Dir: dir})
	js := jetStream(t, first)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	for i := range messages {
		if _, err := js.Publish(t.Context(), "s", fmt.Appendf(nil, "message %d %s", i, strings.Repeat("x", 500))); err != nil {
			t.Fatal(err)
		}
	}
	first.Shutdown()
	if lost := first.Lost(); len(lost) != 0 {
		t.Errorf("a new store has lost %v", lost)
	}

	undamaged := start(t, embedded.Options{Dir: dir})
	if lost := undamaged.Lost(); len(lost) != 0 {
		t.Errorf("a store that is whole has lost %v", lost)
	}
	undamaged.Shutdown()

	if err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.Name() == "index.db":
			return os.Remove(path)
		case filepath.Ext(path) == ".blk":
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text[len(text)/2] ^= 1
			return os.WriteFile(path, text, 0o600)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	damaged := start(t, embedded.Options{Dir: dir})
	stream, err := jetStream(t, damaged).Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	missing := messages - stream.CachedInfo().State.Msgs
	if missing == 0 {
		t.Fatal("nothing is lost, so this test shows nothing")
	}
	if lost := damaged.Lost()["S"]; lost != missing {
		t.Errorf("%d of %d messages are lost, and %d are told", missing, messages, lost)
	}
}
