package brokertest

import (
	"context"
	"fmt"
	"time"

	"github.com/enoki-go/enoki/broker"
)

// delay is how much later the events of the cases are due: neither a whole
// second nor a power of two.
const delay = 1300 * time.Millisecond

func laterCases() []testCase {
	return []testCase{
		{"event due later", "an event comes no sooner than it is due, in every mode and with all that it carries, and others come meanwhile", dueLater},
		{"due in the past", "an event that was due before it was emitted comes at once", dueInThePast},
		{"due in a year", "an event may be due in a year", dueInAYear},
		{"due for who is there", "an event goes to the subscriptions that are there when it is due, also to one that came after it was emitted", dueForWhoIsThere},
		{"due for who is away", "an event that becomes due while no instance is there is stored for the next one", dueForWhoIsAway},
		{"due and retried", "an event that was due later is retried and kept as a dead letter like any other", dueAndRetried},
	}
}

// arrival is an event and when it came.
type arrival struct {
	*broker.Message
	at time.Time
}

// arrivals is a handler and where its events go.
func arrivals() (func(context.Context, *broker.Message) broker.Settlement, <-chan arrival) {
	got := make(chan arrival, 100)
	return func(_ context.Context, m *broker.Message) broker.Settlement {
		got <- arrival{m, time.Now()}
		return broker.Settlement{}
	}, got
}

// emitDue emits an event, with id as its id and body, that is due after d, and
// returns when that is.
func (t *trial) emitDue(source, event, id string, d time.Duration) time.Time {
	t.Helper()
	m := text(id)
	m.ID, m.Due = id, time.Now().Add(d)
	if err := t.link.Emit(t.ctx, source, event, m); err != nil {
		t.Fatalf("Emit of an event due in %v: %v", d, err)
	}
	return m.Due
}

// wantDue fails unless a is the event of that id and came no sooner than due.
func (t *trial) wantDue(a arrival, id string, due time.Time) {
	t.Helper()
	if a.ID != id || string(a.Body) != id || a.Attempt != 1 || !a.Due.IsZero() {
		t.Errorf("got event %q with body %q, attempt %d, due %v, want %q, attempt 1, no due time", a.ID, a.Body, a.Attempt, a.Due, id)
	}
	if early := due.Sub(a.at); early > coarse {
		t.Errorf("event %q came %v before it was due", id, early)
	}
}

func dueLater(t *trial) {
	for d := delay; !dueLaterBy(t, d); d *= 2 { // until the machine is fast enough for what comes meanwhile
	}
}

// dueLaterBy returns false when d had passed before another event could come.
func dueLaterBy(t *trial, d time.Duration) bool {
	source := t.name(fmt.Sprint("source-", d.Milliseconds()))
	modes := []broker.Mode{broker.Pool, broker.Broadcast, broker.Singleton}
	var got []<-chan arrival
	s := service(t.name("svc"))
	for _, mode := range modes {
		handle, events := arrivals()
		got = append(got, events)
		s.Subscriptions = append(s.Subscriptions, broker.Subscription{Source: source, Event: "e", Mode: mode, Handler: "h" + string(mode), Handle: handle})
	}
	t.join(t.dial(), s)
	sent, want := contextData()
	later := &broker.Message{ID: "later", ContentType: "text/plain", Body: []byte("later"), Context: sent, Due: time.Now().Add(d)}
	if err := t.link.Emit(t.ctx, source, "e", later); err != nil {
		t.Fatalf("Emit of an event due in %v: %v", d, err)
	}
	t.emit(t.link, source, "e", "now")
	for i := range modes {
		a := wait(t, "the event that is due at once", got[i])
		if a.ID != "now" && !a.at.Before(later.Due) {
			return false
		}
		if a.ID != "now" {
			t.Errorf("%q: got event %q first, want %q", modes[i], a.ID, "now")
		}
	}
	for i := range modes {
		a := wait(t, "the event that is due later", got[i])
		t.wantDue(a, "later", later.Due)
		t.wantContent("event due later", a.Message, later)
		t.wantContext(a.Context, want)
		if a.Redelivered {
			t.Errorf("%q: the event is marked as redelivered", modes[i])
		}
	}
	return true
}

func dueInThePast(t *trial) {
	source := t.name("source")
	handle, got := arrivals()
	t.subscribe(t.dial(), t.name("svc"), broker.Subscription{Source: source, Event: "e", Handler: "h"}, handle)
	due := t.emitDue(source, "e", "x", -time.Hour)
	t.wantDue(wait(t, "the event", got), "x", due)
}

func dueInAYear(t *trial) {
	source := t.name("source")
	handle, got := arrivals()
	t.subscribe(t.dial(), t.name("svc"), broker.Subscription{Source: source, Event: "e", Handler: "h"}, handle)
	for _, days := range []time.Duration{366, 50, 25, 1} {
		t.emitDue(source, "e", fmt.Sprint("in ", int(days), " days"), days*24*time.Hour)
	}
	due := t.emitDue(source, "e", "soon", delay)
	t.wantDue(wait(t, "the event that is due soon", got), "soon", due)
}

func dueForWhoIsThere(t *trial) {
	source := t.name("source")
	for d := delay; ; d *= 2 { // until the machine is fast enough to join in time
		event := fmt.Sprint("in-", d.Milliseconds())
		due := t.emitDue(source, event, "x", d)
		handle, got := arrivals()
		t.subscribe(t.dial(), t.name("svc"), broker.Subscription{Source: source, Event: event, Handler: "h"}, handle)
		if time.Now().Before(due) {
			t.wantDue(wait(t, "the event", got), "x", due)
			return
		}
	}
}

func dueForWhoIsAway(t *trial) {
	source := t.name("source")
	sub := broker.Subscription{Source: source, Event: "e", Handler: "h"}
	t.leave(t.subscribe(t.dial(), t.name("svc"), sub, done))
	watch, seen := arrivals() // tells when the event has come
	t.subscribe(t.dial(), t.name("other"), sub, watch)
	due := t.emitDue(source, "e", "x", delay)
	wait(t, "another service to get the event", seen)
	handle, got := arrivals()
	t.subscribe(t.dial(), t.name("svc"), sub, handle)
	t.wantDue(wait(t, "the event that was stored", got), "x", due)
}

func dueAndRetried(t *trial) {
	source := t.name("source")
	got := make(chan *broker.Message, 10)
	t.subscribe(t.dial(), t.name("svc"), broker.Subscription{Source: source, Event: "e", Handler: "h"},
		func(_ context.Context, m *broker.Message) broker.Settlement {
			got <- m
			if m.Attempt < 3 {
				return broker.Settlement{Verdict: broker.Retry, Delay: time.Millisecond}
			}
			return broker.Settlement{Verdict: broker.Reject, Reason: "no"}
		})
	m := text("x")
	sent, want := contextData()
	m.Context, m.Due = sent, time.Now().Add(delay/2)
	if err := t.link.Emit(t.ctx, source, "e", m); err != nil {
		t.Fatalf("Emit: %v", err)
	}
	for attempt := 1; attempt <= 3; attempt++ {
		e := wait(t, fmt.Sprint("attempt ", attempt), got)
		if e.Attempt != attempt || e.ID != m.ID {
			t.Fatalf("got attempt %d of event %q, want attempt %d of %q", e.Attempt, e.ID, attempt, m.ID)
		}
		t.wantContent("retried event", e, m)
		t.wantContext(e.Context, want)
	}
	t.until("the dead letter appears", func() error {
		for _, d := range t.deadLetters(t.link) {
			if d.Message.ID == m.ID {
				t.wantContext(d.Message.Context, want)
				return nil
			}
		}
		return fmt.Errorf("there is no dead letter with id %q", m.ID)
	})
}
