package cron

import "time"

// years is how far ahead a day is looked for: 29 February may be 8 years away,
// and fall on a certain day of the week only 40 years later.
const years = 41

// Next returns the first time after t at which the schedule is due, in its time
// zone; zero if there is none.
//
// When clocks are put forward, what is due in the hour that is left out is due
// once, at its end. When they are put back, what is due in the hour that comes
// twice is due the first time only, but for schedules of every hour, which go
// on through both.
func (s *Schedule) Next(t time.Time) time.Time {
	if s.every > 0 {
		return s.multiple(t)
	}
	year, month, day := t.In(s.zone).Date()
	for end := year + years; year < end; {
		date := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
		if s.on(date) {
			if due, ok := s.nextOn(dayOf(date, s.zone), t); ok {
				return due
			}
		}
		year, month, day = date.AddDate(0, 0, 1).Date()
	}
	return time.Time{}
}

func (s *Schedule) multiple(t time.Time) time.Time {
	seconds := int64(s.every / time.Second)
	n := t.Unix() / seconds
	if t.Unix() < 0 {
		n--
	}
	return time.Unix((n+1)*seconds, 0).In(s.zone)
}

// on tells whether the schedule is due at some time of the day.
func (s *Schedule) on(date time.Time) bool {
	if !s.months.has(int(date.Month())) {
		return false
	}
	inMonth, inWeek := s.days.has(date.Day()), s.weekdays.has(int(date.Weekday()))
	if s.anyDay || s.anyWeekday {
		return inMonth && inWeek
	}
	return inMonth || inWeek
}

// nextOn returns the first time after t that the schedule is due on the day d.
// Where the clocks change, later on the clock is not always later.
func (s *Schedule) nextOn(d day, t time.Time) (first time.Time, ok bool) {
	for hour := range 24 {
		if !s.hours.has(hour) || d.plain && !d.plainly(hour, 59).After(t) {
			continue
		}
		for minute := range 60 {
			if !s.minutes.has(minute) {
				continue
			}
			if due := d.plainly(hour, minute); d.plain && due.After(t) {
				return due, true
			} else if d.plain {
				continue
			}
			for _, due := range d.at(hour, minute, s.everyHour()) {
				if due.After(t) && (!ok || due.Before(first)) {
					first, ok = due, true
				}
			}
		}
	}
	return first, ok
}

// day is a day in a time zone.
type day struct {
	date  time.Time // its midnight, as if in UTC
	noon  time.Time
	plain bool // the clocks don't change on it
}

func dayOf(date time.Time, zone *time.Location) day {
	year, month, number := date.Date()
	d := day{date: date, noon: time.Date(year, month, number, 12, 0, 0, 0, zone)}
	start, end := d.noon.ZoneBounds()
	d.plain = (start.IsZero() || d.noon.Sub(start) > 24*time.Hour) && (end.IsZero() || end.Sub(d.noon) > 24*time.Hour)
	return d
}

// plainly is at for a plain day.
func (d day) plainly(hour, minute int) time.Time {
	return d.noon.Add(time.Duration(hour-12)*time.Hour + time.Duration(minute)*time.Minute)
}

// at returns the moments when clocks show that time on the day: mostly one, two
// when they are put back over it and twice is set. When they are put forward
// over it, it is the moment at which that is done.
func (d day) at(hour, minute int, twice bool) []time.Time {
	zone := d.noon.Location()
	shown := d.date.Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute)
	var moments []time.Time
	for _, offset := range d.offsets() {
		if m := shown.Add(-offset).In(zone); offsetOf(m) == offset && (len(moments) == 0 || twice) {
			moments = append(moments, m)
		}
	}
	if len(moments) == 0 {
		moments = append(moments, d.change())
	}
	return moments
}

// offsets are those before and after the clocks change; the larger one, by
// which a time comes earlier, first.
func (d day) offsets() []time.Duration {
	change := d.change()
	before, after := offsetOf(change.Add(-time.Second)), offsetOf(change)
	return []time.Duration{max(before, after), min(before, after)}
}

// change is when the clocks change next to noon.
func (d day) change() time.Time {
	start, end := d.noon.ZoneBounds()
	if end.IsZero() || !start.IsZero() && d.noon.Sub(start) < end.Sub(d.noon) {
		return start
	}
	return end
}

func offsetOf(t time.Time) time.Duration {
	_, seconds := t.Zone()
	return time.Duration(seconds) * time.Second
}
