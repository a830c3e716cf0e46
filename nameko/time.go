package nameko

import (
	"encoding/json"
	"fmt"
	"time"
)

// Time is a time as Python services send and read it, which is ISO 8601 text.
// If a Python datetime has no zone, its text has none; Time then reads it as
// UTC. datetime.fromisoformat of every Python 3 reads what Time writes.
type Time struct{ time.Time }

// TaggedTime is a Time that is written like kombu writes a datetime from
// version 5.3 on. A Python service with such a kombu gets a datetime and not
// text. One with an older kombu gets an object.
type TaggedTime struct{ Time }

// isoFormats are the formats that datetime.isoformat and str write for a
// datetime or date.
var isoFormats = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999", time.DateOnly,
}

// UnmarshalJSON reads ISO 8601 text; null changes nothing.
func (t *Time) UnmarshalJSON(body []byte) error {
	var text *string
	if err := json.Unmarshal(body, &text); err != nil || text == nil {
		return err
	}
	parsed, err := parseTime(*text)
	if err == nil {
		t.Time = parsed
	}
	return err
}

func parseTime(text string) (time.Time, error) {
	for _, format := range isoFormats {
		if parsed, err := time.Parse(format, text); err == nil {
			return parsed, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time; want one such as 2026-11-23T01:02:03+00:00", text)
}

// MarshalJSON writes microseconds and a numeric zone, because Python before
// 3.11 reads neither nanoseconds nor "Z".
func (t Time) MarshalJSON() ([]byte, error) {
	return json.Marshal(t.Format("2006-01-02T15:04:05.000000-07:00"))
}

// MarshalJSON writes kombu's tag around the text.
func (t TaggedTime) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{"__type__": "datetime", "__value__": t.Time})
}
