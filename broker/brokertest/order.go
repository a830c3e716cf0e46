package brokertest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/enoki-go/enoki/broker"
)

func orderCases() []testCase {
	return []testCase{
		{"order", "events of one key are handled one after the other in the order they were emitted, once each, by one of the instances", order},
		{"order side by side", "events of different keys are handled side by side, no more than Workers at once", orderSideBySide},
		{"order and retry", "an event that is retried or handed back holds back those of its key, and no others", orderAndRetry},
		{"order and many behind", "hundreds of events behind one of their key don't hold back those of other keys", orderAndManyBehind},
		{"order and dead letter", "a dead letter lets the next event of its key pass", orderAndDeadLetter},
		{"order over a leave", "when the active instance leaves, another one goes on with the next event of each key, and no event is handled twice", orderOverLeave},
		{"order over a loss", "when the active instance is cut off, another one goes on from the oldest event that is not settled", orderOverLoss},
		{"order in every mode", "Broadcast, Singleton and ephemeral subscriptions have an order like those of a Pool", orderInEveryMode},
		{"order or none", "a subscription that exists is not given an order, and does not lose it; Join refuses that", orderOrNone},
	}
}

// keyOf is the key of the events of these cases, whose bodies are like a-007.
func keyOf(m *broker.Message) string {
	key, _, _ := strings.Cut(string(m.Body), "-")
	return key
}

func ordered(source string) broker.Subscription {
	return broker.Subscription{Source: source, Event: "e", Handler: "h", OrderBy: keyOf}
}

// emitKeys emits n events of each key, in turn, and returns their ids.
func (t *trial) emitKeys(source string, n int, keys ...string) []string {
	t.Helper()
	var ids []string
	for i := range n {
		for _, key := range keys {
			id := fmt.Sprintf("%s-%03d", key, i)
			t.emit(t.link, source, "e", id)
			ids = append(ids, id)
		}
	}
	return ids
}

// ledger records what is handled, and what must not be: two of a key at once.
type ledger struct {
	mu      sync.Mutex
	handled map[string][]string // by key
	busy    map[string]string
	wrong   []string
}

func newLedger() *ledger {
	return &ledger{handled: map[string][]string{}, busy: map[string]string{}}
}

func (l *ledger) begin(m *broker.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := keyOf(m)
	if other := l.busy[key]; other != "" {
		l.wrong = append(l.wrong, fmt.Sprintf("%s began while %s was running", m.ID, other))
	}
	l.busy[key] = m.ID
}

func (l *ledger) end(m *broker.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := keyOf(m)
	l.busy[key] = ""
	l.handled[key] = append(l.handled[key], m.ID)
}

func (l *ledger) take(_ context.Context, m *broker.Message) broker.Settlement {
	l.begin(m)
	defer l.end(m)
	return broker.Settlement{}
}

// missing tells which of ids have not been handled.
func (l *ledger) missing(ids []string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		key, _, _ := strings.Cut(id, "-")
		if !slices.Contains(l.handled[key], id) {
			return fmt.Errorf("%s has not been handled; of its key were %v", id, l.handled[key])
		}
	}
	return nil
}

// check fails for what came out of order. again allows that events come again,
// from an older one on.
func (l *ledger) check(t *trial, again bool) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.wrong {
		t.Error(w)
	}
	for key, ids := range l.handled {
		latest := ""
		for i, id := range ids {
			if next := fmt.Sprintf("%s-%03d", key, len(slices.Compact(slices.Sorted(slices.Values(ids[:i]))))); id > latest && id != next {
				t.Errorf("after %v came %s, want %s", ids[:i], id, next)
			}
			if id <= latest && !again {
				t.Errorf("after %v came %s once more", ids[:i], id)
			}
			latest = max(latest, id)
		}
	}
}

func order(t *trial) {
	source := t.name("source")
	l := newLedger()
	var members []broker.Member
	for range 2 {
		members = append(members, t.subscribe(t.dial(), t.name("svc"), ordered(source), l.take))
	}
	ids := t.emitKeys(source, 30, "a", "b", "c")
	t.until("every event is handled", func() error { return l.missing(ids) })
	for _, m := range members {
		t.leave(m)
	}
	l.check(t, false)
}

func orderSideBySide(t *trial) {
	const workers = 3
	source := t.name("source")
	l, stuck := newLedger(), newStuck(t)
	var running gauge
	s := service(t.name("svc"))
	s.Workers = workers
	sub := ordered(source)
	sub.Handle = func(ctx context.Context, m *broker.Message) broker.Settlement {
		running.in()
		defer running.out()
		stuck.wait(ctx, m.ID)
		return l.take(ctx, m)
	}
	s.Subscriptions = []broker.Subscription{sub}
	t.join(t.dial(), s)
	ids := t.emitKeys(source, 2, "a", "b", "c", "d", "e")
	for range workers {
		wait(t, "as many handlers as workers", stuck.started)
	}
	t.meanwhile() // a handler too many would start
	stuck.free()
	t.until("every event is handled", func() error { return l.missing(ids) })
	l.check(t, false)
	if most := running.most.Load(); most != workers {
		t.Errorf("at most %d handlers ran at once, want %d", most, workers)
	}
}

func orderAndRetry(t *trial) {
	const delay = 400 * time.Millisecond
	source := t.name("source")
	l := newLedger()
	got := make(chan *broker.Message, 1000)
	handedBack := false // of b-001, whose handler never runs twice at once
	m := t.subscribe(t.dial(), t.name("svc"), ordered(source), func(ctx context.Context, m *broker.Message) broker.Settlement {
		got <- m
		switch {
		case m.ID == "a-000" && m.Attempt < 3:
			return broker.Settlement{Verdict: broker.Retry, Delay: delay}
		case m.ID == "b-001" && !handedBack:
			handedBack = true
			return broker.Settlement{Verdict: broker.HandBack}
		}
		return l.take(ctx, m)
	})
	start := time.Now()
	ids := t.emitKeys(source, 3, "a", "b")
	t.until("those of the other key are handled", func() error { return l.missing([]string{"b-000", "b-001", "b-002"}) })
	if err := l.missing([]string{"a-000"}); err == nil && time.Since(start) < 2*delay {
		t.Errorf("the retries took %v, want %v or more", time.Since(start), 2*delay)
	}
	t.until("every event is handled", func() error { return l.missing(ids) })
	if waited := time.Since(start); waited < 2*delay-coarse {
		t.Errorf("the retries took %v, want %v or more", waited, 2*delay)
	}
	t.leave(m)
	l.check(t, false)
	attempts := map[string][]int{}
	for range len(got) {
		m := <-got
		attempts[m.ID] = append(attempts[m.ID], m.Attempt)
		if again := len(attempts[m.ID]) > 1; m.Redelivered != again {
			t.Errorf("%s: delivery %d has Redelivered %v, want %v", m.ID, len(attempts[m.ID]), m.Redelivered, again)
		}
	}
	if !slices.Equal(attempts["a-000"], []int{1, 2, 3}) || !slices.Equal(attempts["b-001"], []int{1, 1}) || len(attempts["a-001"]) != 1 {
		t.Errorf("got attempts %v, want three at a-000, counted, two at b-001, not counted, and one at the others", attempts)
	}
}

func orderAndManyBehind(t *trial) {
	source := t.name("source")
	l, stuck := newLedger(), newStuck(t)
	s := service(t.name("svc"))
	s.Workers = 2
	sub := ordered(source)
	sub.Handle = func(ctx context.Context, m *broker.Message) broker.Settlement {
		if m.ID == "a-000" {
			stuck.wait(ctx, m.ID)
		}
		return l.take(ctx, m)
	}
	s.Subscriptions = []broker.Subscription{sub}
	t.join(t.dial(), s)
	behind := t.emitKeys(source, 200, "a")
	wait(t, "the first one", stuck.started)
	others := t.emitKeys(source, 5, "b", "c")
	t.until("those of other keys are handled", func() error { return l.missing(others) })
	if l.missing(behind[1:2]) == nil {
		t.Error("one was handled before the one in front of it was done")
	}
	stuck.free()
	t.until("those behind are handled", func() error { return l.missing(behind) })
	l.check(t, false)
}

func orderAndDeadLetter(t *trial) {
	source := t.name("source")
	l := newLedger()
	t.subscribe(t.dial(), t.name("svc"), ordered(source), func(ctx context.Context, m *broker.Message) broker.Settlement {
		l.take(ctx, m)
		if m.ID != "a-000" {
			return broker.Settlement{}
		}
		if m.Attempt == 1 {
			l.forget(m)
			return broker.Settlement{Verdict: broker.Retry}
		}
		return broker.Settlement{Verdict: broker.Reject, Reason: "no"}
	})
	ids := t.emitKeys(source, 3, "a")
	t.until("every event is handled", func() error { return l.missing(ids) })
	l.check(t, false)
	t.until("the dead letter appears", func() error {
		for _, d := range t.deadLetters(t.link) {
			if d.Message.ID == "a-000" && d.Reason == "no" && d.Attempts == 2 {
				return nil
			}
		}
		return fmt.Errorf("there is none of a-000, after 2 attempts, because %q", "no")
	})
}

// forget takes back that m was handled.
func (l *ledger) forget(m *broker.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := keyOf(m)
	l.handled[key] = slices.DeleteFunc(l.handled[key], func(id string) bool { return id == m.ID })
}

func orderOverLeave(t *trial) {
	source := t.name("source")
	l, stuck := newLedger(), newStuck(t)
	retried := make(chan struct{}, 100)
	first := t.subscribe(t.dial(), t.name("svc"), ordered(source), func(ctx context.Context, m *broker.Message) broker.Settlement {
		switch keyOf(m) {
		case "a": // runs while its instance leaves
			l.begin(m)
			defer l.end(m)
			stuck.wait(ctx, m.ID)
		case "b": // waits for its retry
			retried <- struct{}{}
			return broker.Settlement{Verdict: broker.Retry, Delay: time.Second}
		default:
			return l.take(ctx, m)
		}
		return broker.Settlement{}
	})
	ids := t.emitKeys(source, 10, "a", "b", "c")
	wait(t, "the handler", stuck.started)
	wait(t, "the one that will be retried", retried)
	second := t.subscribe(t.dial(), t.name("svc"), ordered(source), l.take)
	left := t.leaving(t.ctx, first)
	t.meanwhile()
	stuck.free()
	if err := wait(t, "Leave", left); err != nil {
		t.Errorf("Leave: %v", err)
	}
	t.until("every event is handled", func() error { return l.missing(ids) })
	t.leave(second)
	l.check(t, false)
}

func orderOverLoss(t *trial) {
	source := t.name("source")
	l, lost := newLedger(), t.dial()
	stuck := newStuck(t)
	t.subscribe(lost, t.name("svc"), ordered(source), func(ctx context.Context, m *broker.Message) broker.Settlement {
		if keyOf(m) != "b" {
			stuck.wait(ctx, m.ID)
		}
		return l.take(ctx, m)
	})
	ids := t.emitKeys(source, 10, "a", "b")
	t.until("one key is handled", func() error { return l.missing([]string{"b-009"}) })
	wait(t, "the handler of the other", stuck.started)
	closed := t.closing(lost)
	if id := wait(t, "the handler to be told", stuck.cancelled); id != "a-000" {
		t.Errorf("the handler of %s was running, want that of a-000", id)
	}
	stuck.free()
	if err := wait(t, "Close", closed); err != nil {
		t.Errorf("Close: %v", err)
	}
	ids = append(ids, t.emitKeys(source, 10, "c")...)
	t.subscribe(t.dial(), t.name("svc"), ordered(source), l.take)
	t.until("every event is handled", func() error { return l.missing(ids) })
	l.check(t, true)
}

func orderInEveryMode(t *trial) {
	source := t.name("source")
	s := service(t.name("svc"))
	var ledgers []*ledger
	for i, change := range []func(*broker.Subscription){
		func(sub *broker.Subscription) { sub.Mode = broker.Broadcast },
		func(sub *broker.Subscription) { sub.Mode, sub.BroadcastID = broker.Broadcast, "host-1" },
		func(sub *broker.Subscription) { sub.Mode = broker.Singleton },
		func(sub *broker.Subscription) { sub.Ephemeral = true },
	} {
		l := newLedger()
		ledgers = append(ledgers, l)
		sub := ordered(source)
		sub.Handler = fmt.Sprint("h", i)
		change(&sub)
		sub.Handle = func(ctx context.Context, m *broker.Message) broker.Settlement {
			if m.Attempt == 1 {
				return broker.Settlement{Verdict: broker.Retry}
			}
			return l.take(ctx, m)
		}
		s.Subscriptions = append(s.Subscriptions, sub)
	}
	m := t.join(t.dial(), s)
	ids := t.emitKeys(source, 5, "a", "b")
	for _, l := range ledgers {
		t.until("every event is handled", func() error { return l.missing(ids) })
	}
	t.leave(m)
	for _, l := range ledgers {
		l.check(t, false)
	}
}

func orderOrNone(t *trial) {
	for _, was := range []bool{false, true} {
		source := t.name(fmt.Sprint("source", was))
		kinds := map[bool]broker.Subscription{true: ordered(source), false: {Source: source, Event: "e", Handler: "h"}}
		var box inbox
		t.subscribe(t.dial(), t.name("svc"), kinds[was], box.take)
		other := service(t.name("svc"))
		sub := kinds[!was]
		sub.Handle = done
		other.Subscriptions = []broker.Subscription{sub}
		if m, err := t.dial().Join(t.ctx, other); err == nil {
			t.leave(m)
			t.Errorf("there is an order: %v: Join with %v: got no error", was, !was)
		} else if t.ctx.Err() != nil {
			t.Errorf("there is an order: %v: Join with %v: got %v, and not at once", was, !was, err)
		}
		t.emit(t.link, source, "e", "x")
		t.until("the subscription that exists handles the event", func() error { return box.missing([]string{"x"}) })
	}
}
