package embedded

import (
	"log/slog"
	"testing"
)

// TestDurability asks the server itself, because only a power cut would show
// the difference from outside.
func TestDurability(t *testing.T) {
	for _, fast := range []bool{false, true} {
		s, err := Start(Options{Dir: t.TempDir(), Port: -1, Fast: fast, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		config := s.running().JetStreamConfig()
		s.Shutdown()
		if config.SyncAlways == fast {
			t.Errorf("Fast %v: the server has SyncAlways %v", fast, config.SyncAlways)
		}
		if config.MaxStore != s.MaxStore() {
			t.Errorf("the server has a limit of %d bytes, MaxStore says %d", config.MaxStore, s.MaxStore())
		}
	}
}
