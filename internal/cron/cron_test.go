package cron

import (
	"strings"
	"testing"
	"time"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := Zone(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func must(t testing.TB, text string, z *time.Location) *Schedule {
	t.Helper()
	s, err := Parse(text, z)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNext(t *testing.T) {
	for _, c := range []struct{ schedule, after, want string }{
		{"* * * * *", "2026-11-25T10:00:00Z", "2026-11-25T10:01:00Z"},
		{"* * * * *", "2026-11-25T10:00:59.9Z", "2026-11-25T10:01:00Z"},
		{"0 3 * * *", "2026-11-25T03:00:00Z", "2026-11-26T03:00:00Z"},
		{"0 3 * * *", "2026-11-25T02:59:59Z", "2026-11-25T03:00:00Z"},
		{"*/15 9-17 * * mon-fri", "2026-11-27T17:45:00Z", "2026-11-30T09:00:00Z"},
		{"5/20 * * * *", "2026-11-27T17:45:00Z", "2026-11-27T18:05:00Z"},
		{"0 0 1,15 * *", "2026-11-02T00:00:00Z", "2026-11-15T00:00:00Z"},
		{"0 0 13 * fri", "2026-11-07T00:00:00Z", "2026-11-13T00:00:00Z"},  // Friday, and the 13th
		{"0 0 13 * fri", "2026-11-13T00:00:00Z", "2026-11-20T00:00:00Z"},  // either is enough
		{"0 0 */2 * fri", "2026-11-13T00:00:00Z", "2026-11-27T00:00:00Z"}, // "*" is no restriction: both
		{"0 0 * * 7", "2026-11-25T00:00:00Z", "2026-11-29T00:00:00Z"},
		{"0 0 * * 0", "2026-11-25T00:00:00Z", "2026-11-29T00:00:00Z"},
		{"0 0 * * 5-7", "2026-11-28T00:00:00Z", "2026-11-29T00:00:00Z"},
		{"0 0 31 * *", "2026-08-31T00:00:00Z", "2026-10-31T00:00:00Z"},
		{"59 23 31 12 *", "2026-12-31T23:58:00Z", "2026-12-31T23:59:00Z"},
		{"* * * * *", "2026-12-31T23:59:00Z", "2027-01-01T00:00:00Z"},
		{"@yearly", "2026-12-31T23:59:00Z", "2027-01-01T00:00:00Z"},
		{"@annually", "2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z"},
		{"@monthly", "2026-01-31T12:00:00Z", "2026-02-01T00:00:00Z"},
		{"@weekly", "2026-11-25T12:00:00Z", "2026-11-29T00:00:00Z"},
		{"@daily", "2026-02-28T12:00:00Z", "2026-03-01T00:00:00Z"},
		{"@midnight", "2028-02-28T12:00:00Z", "2028-02-29T00:00:00Z"},
		{"@hourly", "2026-11-25T23:00:00Z", "2026-11-26T00:00:00Z"},
		{"0 0 29 feb *", "2026-11-25T12:00:00Z", "2028-02-29T00:00:00Z"},
		{"0 0 29 Feb *", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"}, // 2100 is no leap year
		{"@every 90s", "2026-11-25T00:00:00Z", "2026-11-25T00:01:30Z"},
		{"@every 1h30m", "2026-11-25T00:00:01Z", "2026-11-25T01:30:00Z"},
		{"CRON_TZ=Asia/Kolkata 30 0 * * *", "2026-11-25T00:00:00Z", "2026-11-25T19:00:00Z"},
		{"TZ=Asia/Kolkata @daily", "2026-11-25T00:00:00Z", "2026-11-25T18:30:00Z"},
	} {
		checkNext(t, must(t, c.schedule, time.UTC), c.schedule, c.after, c.want)
	}
}

func checkNext(t *testing.T, s *Schedule, name, after, want string) {
	t.Helper()
	from, err := time.Parse(time.RFC3339, after)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Next(from).Format(time.RFC3339); got != want && s.Next(from).UTC().Format(time.RFC3339) != want {
		t.Errorf("%s after %s: got %s, want %s", name, after, got, want)
	}
}

// In Berlin clocks go from 02:00 to 03:00 on 29 March 2026, at 01:00 UTC, and
// from 03:00 to 02:00 on 25 October, at 01:00 UTC too.
func TestClocksThatChange(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	for _, c := range []struct{ schedule, after, want string }{
		// Forward: what is left out is due once, at the end of the gap.
		{"30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"},
		{"30 2 * * *", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"},
		{"0 2 * * *", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"},
		{"0,30 2 * * *", "2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"},
		{"0 3 * * *", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"},
		{"0 * * * *", "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"},
		{"0 * * * *", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"},
		{"*/20 * * * *", "2026-03-29T00:40:00Z", "2026-03-29T01:00:00Z"},
		{"*/20 * * * *", "2026-03-29T01:00:00Z", "2026-03-29T01:20:00Z"},
		// Back: what comes twice is due the first time only...
		{"30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"},
		{"30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
		{"*/30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-26T01:00:00Z"},
		{"0 3 * * *", "2026-10-24T12:00:00Z", "2026-10-25T02:00:00Z"},
		// ... but for schedules of every hour.
		{"30 * * * *", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"},
		{"*/30 * * * *", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z"},
		{"30 * * * *", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"},
	} {
		checkNext(t, must(t, c.schedule, berlin), c.schedule, c.after, c.want)
	}
}

func TestMidnightThatIsLeftOut(t *testing.T) { // in Cairo clocks go from 00:00 to 01:00
	checkNext(t, must(t, "@daily", zone(t, "Africa/Cairo")), "@daily", "2026-04-23T12:00:00Z", "2026-04-23T22:00:00Z")
}

func TestDayThatIsLeftOut(t *testing.T) { // Samoa had no 30 December 2011
	checkNext(t, must(t, "0 8 30 12 *", zone(t, "Pacific/Apia")), "the 30th", "2011-12-29T20:00:00Z", "2011-12-30T10:00:00Z")
}

// TestNextAgainstClock looks at every minute of the days around changes, and
// expects what a clock on the wall would show.
func TestNextAgainstClock(t *testing.T) {
	for _, name := range []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"} {
		z := zone(t, name)
		for _, start := range []string{"2026-03-07T00:00:00Z", "2026-03-28T00:00:00Z", "2026-04-04T00:00:00Z", "2026-10-03T00:00:00Z",
			"2026-10-24T00:00:00Z", "2026-10-31T00:00:00Z", "2026-12-31T00:00:00Z", "2028-02-28T00:00:00Z"} {
			from, _ := time.Parse(time.RFC3339, start)
			for _, text := range []string{"* * * * *", "*/7 * * * *", "13 * * * *", "0 0 * * sun"} {
				compareWithClock(t, must(t, text, z), name+" "+text, from.In(z))
			}
		}
	}
}

func compareWithClock(t *testing.T, s *Schedule, name string, from time.Time) {
	t.Helper()
	next := s.Next(from)
	for now := from.Add(time.Minute); now.Before(from.Add(60 * time.Hour)); now = now.Add(time.Minute) {
		shown := s.minutes.has(now.Minute()) && s.hours.has(now.Hour()) && s.on(now)
		_, before := now.Add(-time.Minute).Zone()
		_, after := now.Zone()
		if due := next.Equal(now); due != shown && before == after { // at the end of a gap more may be due
			t.Fatalf("%s: %v is due: %v, want %v", name, now, due, shown)
		}
		if !next.After(now) {
			next = s.Next(now)
		}
	}
}

func TestNextIsLaterAndDue(t *testing.T) {
	z := zone(t, "Australia/Lord_Howe") // where clocks change by half an hour
	for _, text := range []string{"15 2 * * *", "*/10 1-2 * * *", "59 1 * * *"} {
		s, now := must(t, text, z), time.Date(2026, 1, 1, 0, 0, 0, 0, z)
		days := map[string]bool{}
		for now.Year() == 2026 {
			next := s.Next(now)
			if !next.After(now) {
				t.Fatalf("%s after %v: got %v, which is not later", text, now, next)
			}
			now = next
			days[now.Format(time.DateOnly)] = true
		}
		if len(days) < 365 {
			t.Errorf("%s was due on %d days of 2026, want all", text, len(days))
		}
	}
}

func TestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "0 fields",
		"* * * *":                         "4 fields",
		"0 0 3 * * *":                     "6 fields",
		"60 * * * *":                      `minute "60"`,
		"* 24 * * *":                      "from 0 to 23",
		"* * 0 * *":                       "from 1 to 31",
		"* * * 13 *":                      "from 1 to 12",
		"* * * * 8":                       "from 0 to 7",
		"* * * foo *":                     `"foo"`,
		"* * * * ues":                     `"ues"`,
		"5-1 * * * *":                     "goes backwards",
		"*/0 * * * *":                     "step",
		"*/x * * * *":                     "step",
		"1,,2 * * * *":                    `""`,
		"-1 * * * *":                      `""`,
		"+1 * * * *":                      `"+1"`,
		"1-2-3 * * * *":                   `"2-3"`,
		"0 0 30 2 *":                      "never due",
		"0 0 31 4,6,9,11 *":               "never due",
		"@noon":                           "@noon is unknown",
		"@every":                          "unknown",
		"@every 1.5s":                     "whole seconds",
		"@every -1s":                      "whole seconds",
		"@every x":                        "whole seconds",
		"CRON_TZ=Mars/Olympus 0 0 * * *":  `"Mars/Olympus"`,
		"CRON_TZ= 0 0 * * *":              `time zone ""`,
		"CRON_TZ=Europe/Berlin":           "0 fields",
		"CRON_TZ=../../etc/passwd @daily": "unknown here",
	} {
		if _, err := Parse(text, time.UTC); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got error %v, want one that says %s", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"* * * * *", "*/5 1-3,7 29 feb mon", "@daily", "@every 5s", "CRON_TZ=Europe/Berlin 0 3 * * *"} {
		f.Add(text, int64(1_770_000_000))
	}
	f.Fuzz(func(t *testing.T, text string, unix int64) {
		s, err := Parse(text, time.UTC)
		if err != nil || unix < 0 || unix > 4_000_000_000 {
			return
		}
		now := time.Unix(unix, 0)
		if next := s.Next(now); !next.IsZero() && !next.After(now) {
			t.Errorf("%q after %v: got %v, which is not later", text, now, next)
		}
	})
}

func BenchmarkNext(b *testing.B) {
	for _, text := range []string{"* * * * *", "0 3 * * *", "0 0 29 2 *"} {
		b.Run(text, func(b *testing.B) {
			s, now := must(b, text, zone(b, "Europe/Berlin")), time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
			for b.Loop() {
				s.Next(now)
			}
		})
	}
}
