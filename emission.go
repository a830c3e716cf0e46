package enoki

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/enoki-go/enoki/broker"
)

// emission is what a context says of the events that are emitted with it.
type emission struct {
	due     time.Time
	id      string
	cloud   bool   // in the envelope of CloudEvents
	subject string // there
}

// latest is how far ahead an event may be due: a year and a day.
const latest = 366 * 24 * time.Hour

// After returns a context whose events are delivered no sooner than after
// delay: within a second of it, or 1 % of it; by up to three minutes later when
// RabbitMQ is killed while it moves the event, see docs/events.md. The broker has stored such an
// event when the emit returns, and delivers it over restarts of itself and of
// every service, to the subscriptions that are there then. A delay of 0 or less
// is none; the longest is 366 days. Calls made with the context are not
// delayed, and neither is what their handlers emit.
//
//	err := emit(enoki.After(ctx, time.Hour), reminder)
func After(ctx context.Context, delay time.Duration) context.Context {
	return At(ctx, time.Now().Add(delay))
}

// At is After with the time at which the events are due, by the clocks of this
// machine and the broker's.
func At(ctx context.Context, due time.Time) context.Context {
	return withEmission(ctx, func(e *emission) { e.due = due })
}

// WithMessageID returns a context whose event has the given id instead of a
// new one: up to 200 bytes without control characters, unique among the events
// of its type. NATS drops an event that was emitted with the same id within
// the last two minutes; a handler on any broker does, see [Once].
func WithMessageID(ctx context.Context, id string) context.Context {
	return withEmission(ctx, func(e *emission) { e.id = id })
}

// AsCloudEvent returns a context whose events are put into the JSON envelope of
// CloudEvents 1.0, with subject, unless it is empty, as what they are about.
// Handlers read both forms; those in Python have to be told, see docs/events.md.
// Options.CloudEvents does it for all events.
func AsCloudEvent(ctx context.Context, subject string) context.Context {
	return withEmission(ctx, func(e *emission) { e.cloud, e.subject = true, subject })
}

func withEmission(ctx context.Context, change func(*emission)) context.Context {
	t := *trailOf(ctx)
	e := t.ofEvents()
	change(&e)
	t.emission = &e
	return withTrail(ctx, &t)
}

// MessageID returns the id of the event in hand, which stays the same over
// retries and redeliveries; "" outside an event handler.
func MessageID(ctx context.Context) string {
	if m := trailOf(ctx).event; m != nil {
		return m.ID
	}
	return ""
}

// Attempt returns which attempt at the event in hand this is, from 1; 0
// outside an event handler.
func Attempt(ctx context.Context) int {
	if m := trailOf(ctx).event; m != nil {
		return m.Attempt
	}
	return 0
}

// ofEvents returns what t says of events.
func (t *trail) ofEvents() emission {
	if t.emission == nil {
		return emission{}
	}
	return *t.emission
}

// stamp puts on m what e says.
func (e *emission) stamp(m *broker.Message) error {
	m.Due = e.due
	if left := time.Until(e.due); left > latest {
		return fmt.Errorf("it is due in %.0f days; give at most %.0f", left.Hours()/24, latest.Hours()/24)
	}
	if e.id == "" {
		return nil
	}
	m.ID = e.id
	if len(e.id) > 200 || strings.ContainsFunc(e.id, unicode.IsControl) {
		return fmt.Errorf("message id %.40q: give 1 to 200 bytes without control characters", e.id)
	}
	return nil
}
