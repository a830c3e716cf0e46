package harness

import (
	"os"
	"testing"
)

// TestCPUTime looks whether the clock of a process runs while it computes.
func TestCPUTime(t *testing.T) {
	t.Parallel()
	begun, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for now := begun; now == begun; { // for ever, if the clock stands
		if now, err = cpuTime(os.Getpid()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := cpuTime(1 << 23); err == nil {
		t.Error("a process beyond the greatest id has a clock")
	}
}
