// Package reminder decides when to report again that something still fails.
package reminder

import (
	"strings"
	"time"
	"unicode"
)

const (
	firstPause = 10 * time.Second
	lastPause  = 10 * time.Minute
)

// Reminder is for one trouble that lasts. Something new is said at once, the
// same thing again after pauses that grow from 10 s to 10 min. The zero value
// is ready; it must not be used concurrently.
type Reminder struct {
	said  string
	next  time.Time
	pause time.Duration
}

// Due reports whether text is to be said now, and takes it for said if so.
// Numbers in it make no difference: most errors of a link name a port that is
// another each time.
func (r *Reminder) Due(text string, now time.Time) bool {
	text = withoutDigits(text)
	switch {
	case text != r.said:
		r.pause = firstPause
	case now.Before(r.next):
		return false
	default:
		r.pause = min(2*r.pause, lastPause)
	}
	r.said, r.next = text, now.Add(r.pause)
	return true
}

func withoutDigits(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, text)
}
