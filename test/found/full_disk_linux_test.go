package found

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/host"
	"github.com/enoki-go/enoki/internal/testserver"
)

// TestFullDisk: the embedded broker meets a full disk, says so, and stores
// events again by itself when there is room. It refused all of them for ever,
// and was ready.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("enoki-test", dir, "tmpfs", 0, "size=24m"); err != nil {
		testserver.Skip(t, "a small disk can't be mounted: "+err.Error())
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	b, err := host.Dial(t.Context(), "embedded:?port=0&dir="+filepath.Join(dir, "broker"), quiet)
	link := linked(t, b, err)
	posted := enoki.NewEvent[string]("disk", "posted")
	var handled, confirmed atomic.Int64
	run(t, link, enoki.Options{}, enoki.NewService("reader", enoki.On(posted, func(context.Context, string) error {
		handled.Add(1)
		return nil
	})))
	emit := enoki.Emitter(enoki.NewClient(link, &enoki.Options{Logger: quiet, Timeout: 2 * time.Second}), posted)
	text := strings.Repeat("x", 100<<10)
	eventually := func(what string, look func() bool) {
		t.Helper()
		for began := time.Now(); !look(); time.Sleep(20 * time.Millisecond) {
			if time.Since(began) > 4*patience {
				t.Fatalf("%s: not in time; ready: %v", what, link.Ready())
			}
		}
	}
	store := func() bool {
		if emit(t.Context(), text) != nil {
			return false
		}
		confirmed.Add(1)
		return true
	}
	eventually("an event is stored", store)

	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 64<<20), 0o600); err == nil {
		t.Fatal("64 MiB went onto a disk of 24 MiB")
	}
	eventually("the full disk is told", func() bool {
		store()
		err := link.Ready()
		return err != nil && strings.Contains(err.Error(), "the disk is full")
	})
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually("an event is stored once there is room", store)
	eventually("it is ready", func() bool { return link.Ready() == nil })
	eventually("all confirmed events are handled", func() bool { return handled.Load() >= confirmed.Load() })
}
