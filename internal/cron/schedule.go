// Package cron reads schedules in the notation of cron and computes when they
// are due. It runs nothing; package enoki does.
//
// A schedule has five fields: minute, hour, day of the month, month and day of
// the week. A field is "*", a number, a range "a-b", a step "*/n" or "a-b/n",
// or several of them with commas. Months and days of the week may be named by
// their first three letters, and Sunday is 0 or 7. If both days are restricted,
// either one is enough. A schedule may also be a word: @yearly, @monthly,
// @weekly, @daily or @hourly. Or it is "@every" and a duration of whole
// seconds; it is then due at the multiples of the duration since 1970 in UTC.
// CRON_TZ=Zone before a schedule sets its time zone.
package cron

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Schedule says when something is due. It may be used concurrently.
type Schedule struct {
	text  string
	zone  *time.Location
	every time.Duration // if not 0, the rest does not matter

	minutes, hours, days, months, weekdays set
	anyDay, anyWeekday                     bool // the field begins with "*"
}

// set has a bit for each number in it.
type set uint64

func (s set) has(n int) bool { return s&(1<<n) != 0 }

// field is what one of the five may say.
type field struct {
	name     string
	min, max int
	names    string // three letters each, the first is that of min
}

var fields = [5]field{
	{name: "minute", min: 0, max: 59},
	{name: "hour", min: 0, max: 23},
	{name: "day of the month", min: 1, max: 31},
	{name: "month", min: 1, max: 12, names: "janfebmaraprmayjunjulaugsepoctnovdec"},
	{name: "day of the week", min: 0, max: 7, names: "sunmontuewedthufrisat"},
}

// word returns the fields that a word stands for.
func word(w string) (string, bool) {
	switch w {
	case "@yearly", "@annually":
		return "0 0 1 1 *", true
	case "@monthly":
		return "0 0 1 * *", true
	case "@weekly":
		return "0 0 * * 0", true
	case "@daily", "@midnight":
		return "0 0 * * *", true
	case "@hourly":
		return "0 * * * *", true
	}
	return "", false
}

// Parse reads a schedule. zone is the time zone of one that names none. An
// error says which part is wrong and what it may be.
func Parse(text string, zone *time.Location) (*Schedule, error) {
	s, err := parse(text, zone)
	if err != nil {
		return nil, fmt.Errorf("schedule %q: %w", text, err)
	}
	if s.Next(time.Now()).IsZero() {
		return nil, fmt.Errorf("schedule %q is never due: no month has that day", text)
	}
	return s, nil
}

func parse(text string, zone *time.Location) (*Schedule, error) {
	words := strings.Fields(text)
	if len(words) > 0 && (strings.HasPrefix(words[0], "CRON_TZ=") || strings.HasPrefix(words[0], "TZ=")) {
		_, name, _ := strings.Cut(words[0], "=")
		var err error
		if zone, err = Zone(name); err != nil {
			return nil, err
		}
		words = words[1:]
	}
	s := &Schedule{text: strings.Join(words, " "), zone: zone}
	if len(words) == 2 && words[0] == "@every" {
		return s, s.parseEvery(words[1])
	}
	if len(words) == 1 && strings.HasPrefix(words[0], "@") {
		meant, ok := word(words[0])
		if !ok {
			return nil, fmt.Errorf("%s is unknown; use @yearly, @monthly, @weekly, @daily, @hourly or @every 90s", words[0])
		}
		words = strings.Fields(meant)
	}
	if len(words) != len(fields) {
		return nil, fmt.Errorf("it has %d fields; give 5: minute, hour, day of the month, month, day of the week", len(words))
	}
	return s, s.parseFields(words)
}

// Zone returns the time zone of that name, such as Europe/Berlin.
func Zone(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil || name == "" {
		return nil, fmt.Errorf("time zone %q is unknown here; use a name such as Europe/Berlin, and import time/tzdata where the system has no time zones", name)
	}
	return zone, nil
}

func (s *Schedule) parseEvery(text string) error {
	every, err := time.ParseDuration(text)
	if err != nil || every < time.Second || every%time.Second != 0 {
		return fmt.Errorf("%q is no duration of whole seconds; use one such as 90s or 1h30m", text)
	}
	s.every = every
	return nil
}

func (s *Schedule) parseFields(words []string) error {
	for i, to := range []*set{&s.minutes, &s.hours, &s.days, &s.months, &s.weekdays} {
		numbers, err := fields[i].parse(words[i])
		if err != nil {
			return fmt.Errorf("%s %q: %w", fields[i].name, words[i], err)
		}
		*to = numbers
	}
	if s.weekdays.has(7) {
		s.weekdays |= 1
	}
	s.anyDay, s.anyWeekday = words[2][0] == '*', words[4][0] == '*'
	return nil
}

func (f field) parse(text string) (set, error) {
	var all set
	for part := range strings.SplitSeq(text, ",") {
		numbers, err := f.parseRange(part)
		if err != nil {
			return 0, err
		}
		all |= numbers
	}
	return all, nil
}

func (f field) parseRange(text string) (set, error) {
	bounds, every, stepped := strings.Cut(text, "/")
	step := 1
	if stepped {
		var err error
		if step, err = strconv.Atoi(every); err != nil || step < 1 {
			return 0, fmt.Errorf("the step %q is not a number from 1 on", every)
		}
	}
	from, to, err := f.bounds(bounds, stepped)
	if err != nil {
		return 0, err
	}
	var numbers set
	for n := from; n <= to; n += step {
		numbers |= 1 << n
	}
	return numbers, nil
}

// bounds reads "*", "a" or "a-b". A single number with a step goes on to the
// end.
func (f field) bounds(text string, stepped bool) (from, to int, err error) {
	if text == "*" {
		most := f.max
		if f.max == 7 { // Sunday, which is 0 already
			most = 6
		}
		return f.min, most, nil
	}
	first, last, ranged := strings.Cut(text, "-")
	if from, err = f.number(first); err != nil {
		return 0, 0, err
	}
	switch {
	case ranged:
		to, err = f.number(last)
	case stepped:
		to = f.max
	default:
		to = from
	}
	if err == nil && to < from {
		err = fmt.Errorf("%s goes backwards; write the smaller one first", text)
	}
	return from, to, err
}

func (f field) number(text string) (int, error) {
	if i := strings.Index(f.names, strings.ToLower(text)); len(text) == 3 && i >= 0 && i%3 == 0 {
		return f.min + i/3, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < f.min || n > f.max || text[0] == '+' {
		return 0, fmt.Errorf("%q is not a number from %d to %d", text, f.min, f.max)
	}
	return n, nil
}

// String returns the schedule with its time zone.
func (s *Schedule) String() string {
	if s.every > 0 {
		return s.text
	}
	return s.text + " " + s.zone.String()
}

// everyHour tells whether the schedule goes by minutes and not by the hour.
func (s *Schedule) everyHour() bool { return bits.OnesCount64(uint64(s.hours)) == 24 }
