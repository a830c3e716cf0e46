package host

import (
	"math"
	"testing"
)

func TestParseMemory(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"16MiB": 16 << 20, "1GiB": 1 << 30, "20971520": 20 << 20, "20971520B": 20 << 20, "32768 KiB": 32 << 20} {
		if got, err := parseMemory(text); got != want || err != nil {
			t.Errorf("%s: %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"1MiB", "0", "-1GiB", "much", "1.5GiB", "20MB", "9999999999GiB"} {
		if got, err := parseMemory(text); err == nil {
			t.Errorf("%s: %d", text, got)
		}
	}
	if got, err := parseMemory(""); err != nil || got < leastMemory {
		t.Errorf("the default: %d, %v", got, err)
	}
}

func TestUsualMemory(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int64]int64{math.MaxInt64: 256 << 20, 8 << 30: 256 << 20, 512 << 20: 128 << 20, 10 << 20: 16 << 20} {
		if got := usualMemory(limit); got != want {
			t.Errorf("of %d: %d, want %d", limit, got, want)
		}
	}
}
