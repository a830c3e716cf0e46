package nameko_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/enoki-go/enoki/nameko"
)

func TestTimesOfPython(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		`"2026-11-23T12:00:00"`:              noon,
		`"2026-11-23T12:00:00.000001"`:       noon.Add(time.Microsecond),
		`"2026-11-23T12:00:00Z"`:             noon,
		`"2026-11-23T14:00:00+02:00"`:        noon,
		`"2026-11-23 12:00:00.250000"`:       noon.Add(250 * time.Millisecond),
		`"2026-11-23 14:00:00.250000+02:00"`: noon.Add(250 * time.Millisecond),
		`"2026-11-23"`:                       noon.Add(-12 * time.Hour),
		`null`:                               {},
	} {
		var got nameko.Time
		if err := json.Unmarshal([]byte(text), &got); err != nil || !got.Equal(want) {
			t.Errorf("%s is read as %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{`"noon"`, `12`, `""`} {
		var got nameko.Time
		if err := json.Unmarshal([]byte(text), &got); err == nil {
			t.Errorf("%s is read as %v", text, got)
		}
	}
}

func TestTimesForPython(t *testing.T) {
	at := nameko.Time{Time: time.Date(2026, 11, 23, 12, 0, 0, 250, time.UTC)}
	for _, test := range []struct {
		v    any
		want string
	}{
		{at, `"2026-11-23T12:00:00.000000+00:00"`},
		{nameko.TaggedTime{Time: at}, `{"__type__":"datetime","__value__":"2026-11-23T12:00:00.000000+00:00"}`},
	} {
		if got, err := json.Marshal(test.v); err != nil || string(got) != test.want {
			t.Errorf("%T is written as %s, %v; want %s", test.v, got, err, test.want)
		}
	}
}
