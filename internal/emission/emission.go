// Package emission has the options of one emit. It is shared by the packages
// enoki and entrypoint.
package emission

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Option says something of one event.
type Option func(*Emission)

// Emission is what its options say of an event.
type Emission struct {
	Due        time.Time // when it is to be delivered; zero for at once
	ID         string    // "" for a new one
	CloudEvent bool      // in the envelope of CloudEvents
	Subject    string    // there
	Mistakes   []error

	says string // the option that says when it is due
}

// none is the emission of an emit without options; read only.
var none Emission

// New returns what options say.
func New(options []Option) *Emission {
	if len(options) == 0 {
		return &none
	}
	e := &Emission{}
	for n, option := range options {
		if option == nil {
			e.Mistakes = append(e.Mistakes, fmt.Errorf("option %d of %d is nil; leave it out", n+1, len(options)))
			continue
		}
		option(e)
	}
	return e
}

// After says that the event is due after delay.
func After(delay time.Duration) Option {
	return func(e *Emission) { e.dueAt(time.Now().Add(delay), fmt.Sprintf("After(%v)", delay)) }
}

// At says when the event is due.
func At(due time.Time) Option {
	return func(e *Emission) { e.dueAt(due, fmt.Sprintf("At(%s)", due.Format(time.RFC3339))) }
}

// latest is how far ahead an event may be due: a year and a day.
const latest = 366 * 24 * time.Hour

func (e *Emission) dueAt(due time.Time, says string) {
	if e.says != "" {
		e.Mistakes = append(e.Mistakes, fmt.Errorf("%s and %s both say when it is due; give one of them", e.says, says))
	}
	if left := time.Until(due); left > latest {
		e.Mistakes = append(e.Mistakes, fmt.Errorf("it is due in %.0f days; give at most %.0f", left.Hours()/24, latest.Hours()/24))
	}
	e.Due, e.says = due, says
}

// WithID gives the event an id.
func WithID(id string) Option {
	return func(e *Emission) {
		e.ID = id
		if id == "" || len(id) > 200 || strings.ContainsFunc(id, unicode.IsControl) {
			e.Mistakes = append(e.Mistakes, fmt.Errorf("message id %.40q: give 1 to 200 bytes without control characters", id))
		}
	}
}

// AsCloudEvent puts the event into the envelope of CloudEvents, with what it is
// about.
func AsCloudEvent(subject string) Option {
	return func(e *Emission) { e.CloudEvent, e.Subject = true, subject }
}
