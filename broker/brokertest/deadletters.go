package brokertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/enoki-go/enoki/broker"
)

func deadLetterCases() []testCase {
	return []testCase{
		{"dead letter", "a Reject keeps the event as a dead letter that says where it comes from, when it was tried and why it died", deadLetter},
		{"dead letter of a call", "a Reject of a one-way call keeps it as a dead letter, which can be retried", deadCall},
		{"dead letters in order", "DeadLetters yields the oldest first, until the loop ends, and leaves them there", deadLettersInOrder},
		{"dead letters picked", "a filter picks dead letters by id, service, handler and time", deadLettersPicked},
		{"dead letter told", "Service.Buried is told of each dead letter that is stored", deadLetterTold},
		{"dead letter retried", "Retry sends a dead letter to the handler it came from and to no other, as a first attempt, and forgets the letter", deadLetterRetried},
		{"dead letter that dies again", "a retried letter that dies again says so, and when it was tried first", deadLetterDiesAgain},
		{"dead letter edited", "Retry sends the body and content type that the letter has then", deadLetterEdited},
		{"dead letter without a handler", "Retry of a letter whose subscription is gone is ErrNotDelivered and keeps it", deadLetterWithoutHandler},
		{"dead letter stored for later", "a letter that is retried while no instance is there waits for one", deadLetterForLater},
		{"dead letter of an order", "a letter of a subscription that has an order goes back to it, and past others that have one", deadLetterOfOrder},
		{"dead letter discarded", "Discard forgets one dead letter and no other", deadLetterDiscarded},
		{"dead letters retried by two", "a letter that two links retry at once goes back once", deadLettersByTwo},
		{"many dead letters", "hundreds of letters are retried in one loop, each once", manyDeadLetters},
	}
}

// each loops over the dead letters of this trial's services that f picks.
func (t *trial) each(link broker.Broker, f broker.DeadLetterFilter, do func(*broker.HeldLetter)) {
	t.Helper()
	for l, err := range link.DeadLetters(t.ctx, f) {
		if err != nil {
			t.Fatalf("DeadLetters: %v", err)
		}
		if strings.HasSuffix(l.Service, t.tag) {
			do(l)
		}
	}
}

// deadLetters returns the dead letters of services of this trial, oldest first.
func (t *trial) deadLetters(link broker.Broker) []broker.DeadLetter {
	t.Helper()
	var letters []broker.DeadLetter
	t.each(link, broker.DeadLetterFilter{}, func(l *broker.HeldLetter) { letters = append(letters, l.DeadLetter) })
	return letters
}

// untilDead waits until n dead letters are there and returns them.
func (t *trial) untilDead(n int) []broker.DeadLetter {
	t.Helper()
	var letters []broker.DeadLetter
	t.until("the dead letters appear", func() error {
		if letters = t.deadLetters(t.link); len(letters) < n {
			return fmt.Errorf("got %d dead letters, want %d", len(letters), n)
		}
		return nil
	})
	return letters
}

// retry retries the dead letters that f picks and returns how many.
func (t *trial) retry(link broker.Broker, f broker.DeadLetterFilter) (n int) {
	t.Helper()
	t.each(link, f, func(l *broker.HeldLetter) {
		n++
		if err := l.Retry(t.ctx); err != nil {
			t.Errorf("Retry of %q: %v", l.Message.ID, err)
		}
	})
	return n
}

// rejects is a settlement that makes a dead letter.
func rejects(reason string) broker.Settlement {
	return broker.Settlement{Verdict: broker.Reject, Reason: reason, Kind: "invalid_argument"}
}

func deadLetter(t *trial) {
	start := time.Now().Add(-time.Second) // brokers count in seconds
	source, name := t.name("source"), t.name("svc")
	modes := []broker.Mode{broker.Pool, broker.Broadcast, broker.Singleton}
	second := make(chan time.Time, len(modes))
	s := service(name)
	for _, mode := range modes {
		s.Subscriptions = append(s.Subscriptions, broker.Subscription{Source: source, Event: "e" + string(mode), Mode: mode, Handler: "on_" + string(mode),
			Handle: func(_ context.Context, m *broker.Message) broker.Settlement {
				if m.Attempt == 1 {
					return broker.Settlement{Verdict: broker.Retry, Delay: 150 * time.Millisecond}
				}
				second <- time.Now()
				return rejects("can't be: " + string(mode))
			}})
	}
	t.join(t.dial(), s)
	sent, wantContext := contextData()
	ids := map[string]bool{}
	for i, mode := range modes {
		m := &broker.Message{ID: newID(), ContentType: "application/json", Body: []byte(`"` + mode + `"`), Context: sent}
		if err := t.link.Emit(t.ctx, source, "e"+string(mode), m); err != nil {
			t.Fatalf("Emit: %v", err)
		}
		got := t.untilDead(i + 1)[i]
		want := broker.DeadLetter{ID: got.ID, Service: name, Handler: "on_" + string(mode), Source: source, Event: "e" + string(mode),
			Kind: "invalid_argument", Reason: "can't be: " + string(mode), Attempts: 2, First: got.First, Died: got.Died, Message: got.Message}
		if got != want {
			t.Errorf("got dead letter %+v, want %+v", got, want)
		}
		if got.ID == "" || ids[got.ID] {
			t.Errorf("the id of the dead letter is %q, want a new one", got.ID)
		}
		ids[got.ID] = true
		if got.Died.Before(start) || got.Died.After(time.Now().Add(time.Second)) {
			t.Errorf("the dead letter died at %v, want now", got.Died)
		}
		if last := wait(t, "the second attempt", second); got.First.Before(start) || last.Sub(got.First) < 100*time.Millisecond {
			t.Errorf("the first attempt is said to be at %v, and the second one was at %v, want 150 ms between them", got.First, last)
		}
		if got.Message.ID != m.ID {
			t.Errorf("the message of the dead letter has the id %q, want %q", got.Message.ID, m.ID)
		}
		t.wantContent("dead letter", got.Message, m)
		t.wantContext(got.Message.Context, wantContext)
	}
}

func deadLettersInOrder(t *trial) {
	source := t.name("source")
	m := t.subscribe(t.dial(), t.name("svc"), broker.Subscription{Source: source, Event: "e", Handler: "h"},
		func(context.Context, *broker.Message) broker.Settlement { return rejects("no") })
	var want []string
	for i := range 5 {
		id := fmt.Sprint("letter ", i)
		t.emit(t.link, source, "e", id)
		want = append(want, id)
		t.untilDead(i + 1)
	}
	t.leave(m)
	for range 2 { // the second time shows that the first one took nothing away
		var got []string
		for _, d := range t.deadLetters(t.dial()) {
			got = append(got, d.Message.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("got dead letters %q, want %q", got, want)
		}
	}
	var all []*broker.HeldLetter
	for l, err := range t.link.DeadLetters(t.ctx, broker.DeadLetterFilter{}) {
		if err != nil {
			t.Fatalf("DeadLetters: %v", err)
		}
		all = append(all, l)
	}
	for l, err := range t.link.DeadLetters(t.ctx, broker.DeadLetterFilter{}) {
		if err != nil || l.ID != all[0].ID {
			t.Errorf("the first dead letter of another loop: got %+v and error %v, want the oldest, %q", l, err, all[0].ID)
		}
		break // and what was not looked at must stay, too
	}
	if got := t.deadLetters(t.link); len(got) != len(want) {
		t.Errorf("after a loop that was broken off there are %d dead letters, want %d", len(got), len(want))
	}
}

func deadLettersPicked(t *trial) {
	source := t.name("source")
	for _, name := range []string{"a", "b"} {
		s := service(t.name(name))
		for _, h := range []string{"h1", "h2"} {
			s.Subscriptions = append(s.Subscriptions, broker.Subscription{Source: source, Event: "e", Handler: h,
				Handle: func(context.Context, *broker.Message) broker.Settlement { return rejects("no") }})
		}
		t.join(t.dial(), s)
	}
	t.emit(t.link, source, "e", "early")
	t.untilDead(4)
	<-time.After(2 * coarse) // the clock of a broker must tell early from late
	t.emit(t.link, source, "e", "late")
	all := t.untilDead(8)
	middle := all[4].Died
	for i, f := range []broker.DeadLetterFilter{
		{},
		{Service: t.name("a")},
		{Service: t.name("a"), Handler: "h2"},
		{Handler: "h1"},
		{IDs: []string{all[2].ID, all[5].ID, "nosuchletter"}},
		{IDs: []string{all[2].ID}, Service: t.name("nobody")},
		{Since: middle},
		{Until: middle},
		{Service: t.name("b"), Since: all[0].Died, Until: all[7].Died},
		{Since: time.Now().Add(time.Hour)},
	} {
		var want, got []string
		for _, l := range all {
			if f.Picks(&l) {
				want = append(want, l.ID)
			}
		}
		t.each(t.link, f, func(l *broker.HeldLetter) { got = append(got, l.ID) })
		slices.Sort(want) // ids are looked up in the order given
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("filter %d, %+v: got %q, want %q", i, f, got, want)
		}
	}
}

func deadLetterTold(t *trial) {
	source := t.name("source")
	told := make(chan broker.DeadLetter, 10)
	s := service(t.name("svc"))
	s.Buried = func(l broker.DeadLetter) { told <- l }
	s.Subscriptions = []broker.Subscription{{Source: source, Event: "e", Handler: "h",
		Handle: func(context.Context, *broker.Message) broker.Settlement { return rejects("no") }}}
	t.join(t.dial(), s)
	t.emit(t.link, source, "e", "x")
	got := wait(t, "the news of a dead letter", told)
	stored := t.deadLetters(t.link)
	if len(stored) != 1 {
		t.Fatalf("%d dead letters are stored when one was told, want 1", len(stored))
	}
	want := stored[0]
	if got.ID != want.ID || got.Service != want.Service || got.Handler != "h" || got.Kind != want.Kind || got.Reason != "no" || got.Attempts != 1 || got.Message == nil || got.Message.ID != "x" {
		t.Errorf("told of %+v, stored is %+v", got, want)
	}
}

func deadLetterRetried(t *trial) {
	source := t.name("source")
	modes := []broker.Mode{broker.Pool, broker.Broadcast, broker.Singleton}
	for _, mode := range modes {
		event := "e" + string(mode)
		var bad sync.Map // ids that are rejected
		got := make(chan *broker.Message, 10)
		t.subscribe(t.dial(), t.name("svc"), broker.Subscription{Source: source, Event: event, Mode: mode, Handler: "h"},
			func(_ context.Context, m *broker.Message) broker.Settlement {
				if _, refused := bad.LoadAndDelete(m.ID); refused {
					return rejects("not yet")
				}
				got <- m
				return broker.Settlement{}
			})
		var others inbox // which handle it at once
		second := service(t.name("svc"))
		second.Subscriptions = []broker.Subscription{{Source: source, Event: event, Handler: "other", Handle: others.take}}
		t.join(t.dial(), second)
		t.subscribe(t.dial(), t.name("another"), broker.Subscription{Source: source, Event: event, Mode: broker.Broadcast, Handler: "h"}, others.take)

		sent, wantContext := contextData()
		m := &broker.Message{ID: newID(), ContentType: "application/json", Body: []byte(`"x"`), Context: sent}
		bad.Store(m.ID, true)
		if err := t.link.Emit(t.ctx, source, event, m); err != nil {
			t.Fatalf("Emit: %v", err)
		}
		t.untilDead(1)
		if n := t.retry(t.dial(), broker.DeadLetterFilter{}); n != 1 {
			t.Errorf("%s: %d letters were there to be retried, want 1", mode, n)
		}
		e := wait(t, "the retried event", got)
		if e.ID != m.ID || e.Attempt != 1 {
			t.Errorf("%s: got attempt %d of %q, want attempt 1 of %q", mode, e.Attempt, e.ID, m.ID)
		}
		t.wantContent("retried letter", e, m)
		t.wantContext(e.Context, wantContext)
		if left := t.deadLetters(t.link); len(left) != 0 {
			t.Errorf("%s: the retried letter is still there: %+v", mode, left)
		}
		t.emit(t.link, source, event, "after") // comes after what must not come
		wait(t, "the next event", got)
		t.until("the other handlers get the next event", func() error {
			if n := others.counts(); n[m.ID] < 2 || n["after"] < 2 {
				return fmt.Errorf("got it, and the one before, %v times, want 2", n)
			}
			return nil
		})
		if counts, want := others.counts(), map[string]int{m.ID: 2, "after": 2}; !maps.Equal(counts, want) {
			t.Errorf("%s: the other handlers got %v, want %v", mode, counts, want)
		}
	}
}

func deadLetterDiesAgain(t *trial) {
	source := t.name("source")
	t.subscribe(t.dial(), t.name("svc"), broker.Subscription{Source: source, Event: "e", Handler: "h"},
		func(_ context.Context, m *broker.Message) broker.Settlement {
			if m.Attempt < 2 {
				return broker.Settlement{Verdict: broker.Retry}
			}
			return rejects("no")
		})
	t.emit(t.link, source, "e", "x")
	first := t.untilDead(1)[0]
	for revived := 1; revived <= 2; revived++ {
		var f broker.DeadLetterFilter
		if revived == 1 { // drivers look one up in another way
			f.IDs = []string{first.ID}
		}
		t.retry(t.link, f)
		again := t.untilDead(1)[0]
		if again.Revived != revived || again.Attempts != 2 || !again.First.Equal(first.First) || !again.Died.After(first.Died) || again.Message.ID != "x" {
			t.Errorf("after %d revivals the letter is %+v, want 2 attempts, the first of them at %v", revived, again, first.First)
		}
	}
}

func deadLetterEdited(t *trial) {
	source := t.name("source")
	got := make(chan *broker.Message, 1)
	t.subscribe(t.dial(), t.name("svc"), broker.Subscription{Source: source, Event: "e", Handler: "h"},
		func(_ context.Context, m *broker.Message) broker.Settlement {
			if string(m.Body) == "bad" {
				return rejects("bad")
			}
			got <- m
			return broker.Settlement{}
		})
	m := text("bad")
	m.Context = map[string]any{"language": "de"}
	if err := t.link.Emit(t.ctx, source, "e", m); err != nil {
		t.Fatalf("Emit: %v", err)
	}
	t.untilDead(1)
	want := &broker.Message{ContentType: "application/json", Body: []byte(`"good"`)}
	t.each(t.link, broker.DeadLetterFilter{}, func(l *broker.HeldLetter) {
		l.Message.Body, l.Message.ContentType = want.Body, want.ContentType
		if err := l.Retry(t.ctx); err != nil {
			t.Errorf("Retry: %v", err)
		}
	})
	e := wait(t, "the edited event", got)
	t.wantContent("edited letter", e, want)
	t.wantContext(e.Context, m.Context)
	if e.ID != m.ID {
		t.Errorf("the edited event has the id %q, want %q", e.ID, m.ID)
	}
}

func deadLetterWithoutHandler(t *trial) {
	source := t.name("source")
	sub := broker.Subscription{Source: source, Event: "e", Mode: broker.Broadcast, Handler: "h"}
	m := t.subscribe(t.dial(), t.name("svc"), sub, func(context.Context, *broker.Message) broker.Settlement { return rejects("no") })
	t.emit(t.link, source, "e", "x")
	t.untilDead(1)
	t.leave(m)
	t.subscribe(t.dial(), t.name("other"), sub, done) // others don't count
	t.each(t.link, broker.DeadLetterFilter{}, func(l *broker.HeldLetter) {
		t.wantError("Retry of a letter whose handler is gone", l.Retry(t.ctx), broker.ErrNotDelivered)
	})
	if left := t.deadLetters(t.link); len(left) != 1 {
		t.Errorf("%d letters are left, want the one that could not be retried", len(left))
	}
}

func deadLetterForLater(t *trial) {
	source := t.name("source")
	sub := broker.Subscription{Source: source, Event: "e", Handler: "h"}
	m := t.subscribe(t.dial(), t.name("svc"), sub, func(context.Context, *broker.Message) broker.Settlement { return rejects("no") })
	t.emit(t.link, source, "e", "x")
	t.untilDead(1)
	t.leave(m)
	t.retry(t.link, broker.DeadLetterFilter{})
	var box inbox
	t.subscribe(t.dial(), t.name("svc"), sub, box.take)
	t.until("the next instance handles the letter", func() error { return box.missing([]string{"x"}) })
}

func deadLetterOfOrder(t *trial) {
	source := t.name("source")
	key := func(*broker.Message) string { return "one" }
	var box, other inbox
	t.subscribe(t.dial(), t.name("other"), broker.Subscription{Source: source, Event: "e", Handler: "h", OrderBy: key}, other.take)
	t.subscribe(t.dial(), t.name("svc"), broker.Subscription{Source: source, Event: "e", Handler: "h", OrderBy: key},
		func(ctx context.Context, m *broker.Message) broker.Settlement {
			if m.ID == "bad" && len(box.all()) == 0 {
				return rejects("no")
			}
			return box.take(ctx, m)
		})
	t.emit(t.link, source, "e", "bad")
	t.untilDead(1)
	t.emit(t.link, source, "e", "good")
	t.until("the next event is handled", func() error { return box.missing([]string{"good"}) })
	t.retry(t.link, broker.DeadLetterFilter{})
	t.emit(t.link, source, "e", "last")
	ids := []string{"bad", "good", "last"}
	for who, b := range map[string]*inbox{"the one": &box, "the other": &other} {
		t.until(who+" handles every event", func() error { return b.missing(ids) })
		if err := b.once(ids); err != nil {
			t.Errorf("%s: %v", who, err)
		}
	}
}

func deadLetterDiscarded(t *trial) {
	source := t.name("source")
	t.subscribe(t.dial(), t.name("svc"), broker.Subscription{Source: source, Event: "e", Handler: "h"},
		func(context.Context, *broker.Message) broker.Settlement { return rejects("no") })
	t.emitMany(source, "e", 3)
	all := t.untilDead(3)
	t.each(t.link, broker.DeadLetterFilter{IDs: []string{all[1].ID}}, func(l *broker.HeldLetter) {
		if err := l.Discard(t.ctx); err != nil {
			t.Errorf("Discard: %v", err)
		}
	})
	var left []string
	for _, l := range t.deadLetters(t.dial()) {
		left = append(left, l.ID)
	}
	if want := []string{all[0].ID, all[2].ID}; !slices.Equal(left, want) {
		t.Errorf("after Discard of the second of three are left %q, want %q", left, want)
	}
}

func deadLettersByTwo(t *trial) {
	source := t.name("source")
	var box, again inbox
	m := t.subscribe(t.dial(), t.name("svc"), broker.Subscription{Source: source, Event: "e", Handler: "h"},
		func(ctx context.Context, m *broker.Message) broker.Settlement {
			if box.counts()[m.ID] == 0 {
				box.take(ctx, m)
				return rejects("no")
			}
			return again.take(ctx, m)
		})
	ids := t.emitMany(source, "e", 20)
	t.untilDead(20)
	var both sync.WaitGroup
	for range 2 {
		link := t.dial()
		both.Go(func() {
			for l, err := range link.DeadLetters(t.ctx, broker.DeadLetterFilter{Service: t.name("svc")}) {
				if err == nil {
					err = l.Retry(t.ctx)
				}
				if err != nil && !errors.Is(err, broker.ErrGone) {
					t.Errorf("one of two: %v", err)
					return
				}
			}
		})
	}
	both.Wait()
	t.until("every letter comes back", func() error { return again.missing(ids) })
	if left := t.deadLetters(t.link); len(left) != 0 {
		t.Errorf("%d letters are left, want none", len(left))
	}
	t.leave(m)
	if err := again.once(ids); err != nil {
		t.Error(err)
	}
}

func manyDeadLetters(t *trial) {
	const number = 300 // more than any driver reads at once
	source := t.name("source")
	var box inbox
	var bad sync.Map
	m := t.subscribe(t.dial(), t.name("svc"), broker.Subscription{Source: source, Event: "e", Handler: "h"},
		func(ctx context.Context, m *broker.Message) broker.Settlement {
			if _, seen := bad.LoadOrStore(m.ID, true); !seen {
				return rejects("no")
			}
			return box.take(ctx, m)
		})
	ids := make([]string, number)
	var emitters sync.WaitGroup
	for w := range 10 {
		emitters.Go(func() {
			for i := w; i < number; i += 10 {
				ids[i] = fmt.Sprintf("many-%03d", i)
				if err := t.link.Emit(t.ctx, source, "e", &broker.Message{ID: ids[i], Body: []byte("x")}); err != nil {
					t.Errorf("Emit: %v", err)
				}
			}
		})
	}
	emitters.Wait()
	t.untilDead(number)
	if n := t.retry(t.dial(), broker.DeadLetterFilter{Service: t.name("svc")}); n != number {
		t.Errorf("%d letters were retried, want %d", n, number)
	}
	t.until("every letter is handled", func() error { return box.missing(ids) })
	t.leave(m)
	if err := box.once(ids); err != nil {
		t.Error(err)
	}
}
