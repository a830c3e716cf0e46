package nats

import (
	"testing"
	"time"
)

func TestToken(t *testing.T) {
	for name, want := range map[string]string{
		"check_registered": "check_registered",
		"a-b_C9":           "a-b_C9",
		"":                 "%",
		"a.b":              "a%2Eb",
		"*":                "%2A",
		">":                "%3E",
		"ä b\r\n%":         "%C3%A4%20b%0D%0A%25",
	} {
		if got := token(name); got != want {
			t.Errorf("token(%q): got %q, want %q", name, got, want)
		}
		if got := methodOf(callSubject("svc", name)); got != name {
			t.Errorf("method %q arrives as %q", name, got)
		}
	}
	if got := methodOf("enoki.rpc.svc.100%"); got != "100%" {
		t.Errorf("a foreign method: got %q, want %q", got, "100%")
	}
}

func TestPause(t *testing.T) {
	for n, most := range map[int]time.Duration{1: firstPause, 2: 2 * firstPause, 9: 256 * firstPause, 10: lastPause, 1 << 40: lastPause} {
		for range 100 {
			if got := pause(n); got <= 0 || got > most+time.Millisecond {
				t.Errorf("pause after attempt %d: got %v, want up to %v", n, got, most)
			}
		}
	}
}
