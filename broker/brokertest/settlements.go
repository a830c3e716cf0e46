package brokertest

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/enoki-go/enoki/broker"
)

// coarse is what a broker that counts in milliseconds may be early.
const coarse = 2 * time.Millisecond

// many is more often than any default delivery limit of a broker allows
// (RabbitMQ's quorum queues: 20).
const many = 25

func settlementCases() []testCase {
	return []testCase{
		{"retry counts attempts", "a Retry delivers the same event again with Attempt one higher, however often", retryCountsAttempts},
		{"retry waits", "a Retry comes no sooner than its Delay, and other events are handled meanwhile", retryWaits},
		{"retry is one subscription's", "a Retry of one subscription delivers nothing to the others", retryIsOnes},
		{"retry goes to any instance", "an event to be retried outlives the instance that asked for it", retryOutlivesInstance},
		{"retry in every mode", "Broadcast and Singleton events are retried like those of a Pool", retryInEveryMode},
		{"event handed back", "a HandBack delivers the event again without counting an attempt, however often", eventHandedBack},
		{"handed back to another", "an event handed back goes to another instance when there is one", handedBackToAnother},
		{"many verdicts", "each event gets its own verdict when many are settled at once", manyVerdicts},
	}
}

func retryCountsAttempts(t *trial) {
	source := t.name("source")
	got := make(chan *broker.Message, 2*many)
	t.subscribe(t.dial(), t.name("svc"), broker.Subscription{Source: source, Event: "e", Handler: "h"},
		func(_ context.Context, m *broker.Message) broker.Settlement {
			got <- m
			if m.Attempt < many {
				return broker.Settlement{Verdict: broker.Retry}
			}
			return broker.Settlement{}
		})
	m := text("event")
	sent, want := contextData()
	m.Context = sent
	if err := t.link.Emit(t.ctx, source, "e", m); err != nil {
		t.Fatalf("Emit: %v", err)
	}
	for attempt := 1; attempt <= many; attempt++ {
		e := wait(t, fmt.Sprint("attempt ", attempt), got)
		if e.Attempt != attempt || e.ID != m.ID {
			t.Fatalf("got attempt %d of event %q, want attempt %d of %q", e.Attempt, e.ID, attempt, m.ID)
		}
		t.wantContent("retried event", e, m)
		t.wantContext(e.Context, want)
	}
}

func retryWaits(t *trial) {
	source := t.name("source")
	type delivery struct {
		id      string
		attempt int
		at      time.Time
	}
	got := make(chan delivery, 100)
	s := service(t.name("svc"))
	s.Workers = 1 // so that an event that waits for its retry would block the others
	s.Subscriptions = []broker.Subscription{{Source: source, Event: "e", Handler: "h",
		Handle: func(_ context.Context, m *broker.Message) broker.Settlement {
			got <- delivery{m.ID, m.Attempt, time.Now()}
			if delay, err := time.ParseDuration(m.ID); err == nil && m.Attempt == 1 {
				return broker.Settlement{Verdict: broker.Retry, Delay: delay}
			}
			return broker.Settlement{}
		}}}
	t.join(t.dial(), s)
	for delay := 700 * time.Millisecond; ; delay *= 2 { // until the machine is fast enough for what comes meanwhile
		again, other := delay.String(), "while "+delay.String()
		t.emit(t.link, source, "e", again)
		first := wait(t, "the first attempt", got)
		t.emit(t.link, source, "e", other)
		meanwhile, second := wait(t, "the other event, meanwhile", got), wait(t, "the second attempt", got)
		late := meanwhile.id != other
		if late {
			meanwhile, second = second, meanwhile
		}
		if meanwhile.id != other || second.id != again || second.attempt != 2 {
			t.Errorf("got %q and attempt %d of %q, want %q and attempt 2 of %q", meanwhile.id, second.attempt, second.id, other, again)
		}
		if waited := second.at.Sub(first.at); waited < delay-coarse {
			t.Errorf("the retry came after %v, want %v or more", waited, delay)
		}
		if !late {
			return
		}
	}
}

func retryIsOnes(t *trial) {
	source := t.name("source")
	attempts := make(chan int, 10)
	s := service(t.name("svc"))
	var others inbox
	s.Subscriptions = []broker.Subscription{
		{Source: source, Event: "e", Handler: "again", Handle: func(_ context.Context, m *broker.Message) broker.Settlement {
			attempts <- m.Attempt
			if m.Attempt < 3 {
				return broker.Settlement{Verdict: broker.Retry, Delay: time.Millisecond}
			}
			return broker.Settlement{}
		}},
		{Source: source, Event: "e", Handler: "once", Handle: others.take},
	}
	m := t.join(t.dial(), s)
	o := t.subscribe(t.dial(), t.name("other"), broker.Subscription{Source: source, Event: "e", Handler: "again"}, others.take)
	t.emit(t.link, source, "e", "x")
	for want := 1; want <= 3; want++ {
		if got := wait(t, "the next attempt", attempts); got != want {
			t.Errorf("got attempt %d, want %d", got, want)
		}
	}
	t.until("the other subscriptions get the event", func() error {
		if n := others.counts()["x"]; n < 2 {
			return fmt.Errorf("got it %d times, want 2", n)
		}
		return nil
	})
	t.leave(m)
	t.leave(o)
	for _, m := range others.all() {
		if m.Attempt != 1 {
			t.Errorf("a subscription that asked for no retry got attempt %d", m.Attempt)
		}
	}
	if n := others.counts()["x"]; n != 2 {
		t.Errorf("two other subscriptions got the event %d times, want 2", n)
	}
}

func retryOutlivesInstance(t *trial) {
	source := t.name("source")
	sub := broker.Subscription{Source: source, Event: "e", Handler: "h"}
	seen := make(chan int, 10)
	m := t.subscribe(t.dial(), t.name("svc"), sub, func(_ context.Context, m *broker.Message) broker.Settlement {
		seen <- m.Attempt
		return broker.Settlement{Verdict: broker.Retry, Delay: 300 * time.Millisecond}
	})
	t.emit(t.link, source, "e", "x")
	wait(t, "the first attempt", seen)
	t.leave(m)
	got := make(chan *broker.Message, 10)
	t.subscribe(t.dial(), t.name("svc"), sub, func(_ context.Context, m *broker.Message) broker.Settlement {
		got <- m
		return broker.Settlement{}
	})
	if e := wait(t, "the next attempt", got); e.Attempt < 2 || e.ID != "x" {
		t.Errorf("the next instance got attempt %d of %q, want attempt 2 of %q", e.Attempt, e.ID, "x")
	}
}

func retryInEveryMode(t *trial) {
	source := t.name("source")
	for _, mode := range []broker.Mode{broker.Broadcast, broker.Singleton} {
		got := make(chan int, 10)
		t.subscribe(t.dial(), t.name("svc"), broker.Subscription{Source: source, Event: "e" + string(mode), Mode: mode, Handler: "h" + string(mode)},
			func(_ context.Context, m *broker.Message) broker.Settlement {
				got <- m.Attempt
				if m.Attempt < 3 {
					return broker.Settlement{Verdict: broker.Retry, Delay: 20 * time.Millisecond}
				}
				return broker.Settlement{}
			})
		t.emit(t.link, source, "e"+string(mode), "x")
		for want := 1; want <= 3; want++ {
			if attempt := wait(t, "the next attempt of a "+string(mode), got); attempt != want {
				t.Errorf("%s: got attempt %d, want %d", mode, attempt, want)
			}
		}
	}
}

func eventHandedBack(t *trial) {
	source := t.name("source")
	got := make(chan *broker.Message, 2*many)
	var n atomic.Int64
	t.subscribe(t.dial(), t.name("svc"), broker.Subscription{Source: source, Event: "e", Handler: "h"},
		func(_ context.Context, m *broker.Message) broker.Settlement {
			got <- m
			if n.Add(1) < many {
				return broker.Settlement{Verdict: broker.HandBack}
			}
			return broker.Settlement{}
		})
	t.emit(t.link, source, "e", "x")
	for i := range many {
		e := wait(t, fmt.Sprint("delivery ", i+1), got)
		if e.ID != "x" || e.Attempt != 1 || e.Redelivered != (i > 0) {
			t.Fatalf("delivery %d: got event %q, attempt %d, redelivered %v, want %q, 1, %v", i+1, e.ID, e.Attempt, e.Redelivered, "x", i > 0)
		}
	}
}

func handedBackToAnother(t *trial) {
	source := t.name("source")
	sub := broker.Subscription{Source: source, Event: "e", Handler: "h"}
	t.subscribe(t.dial(), t.name("svc"), sub, func(context.Context, *broker.Message) broker.Settlement {
		return broker.Settlement{Verdict: broker.HandBack}
	})
	var box inbox
	t.subscribe(t.dial(), t.name("svc"), sub, box.take)
	ids := t.emitMany(source, "e", 10)
	t.until("the instance that handles gets every event", func() error { return box.missing(ids) })
}

func manyVerdicts(t *trial) {
	source := t.name("source")
	twice := func(id string) bool { return id != "" && id[len(id)-1]%2 == 0 }
	var box inbox
	m := t.subscribe(t.dial(), t.name("svc"), broker.Subscription{Source: source, Event: "e", Handler: "h"},
		func(ctx context.Context, m *broker.Message) broker.Settlement {
			box.take(ctx, m)
			if m.Attempt == 1 && twice(m.ID) {
				return broker.Settlement{Verdict: broker.Retry, Delay: time.Millisecond}
			}
			return broker.Settlement{}
		})
	ids := t.emitMany(source, "e", 40)
	want := map[string]int{}
	for _, id := range ids {
		want[id] = 1
		if twice(id) {
			want[id] = 2
		}
	}
	t.until("every event is handled as often as it asked for", func() error {
		got := box.counts()
		for id, n := range want {
			if got[id] < n {
				return fmt.Errorf("event %s was handled %d times, want %d", id, got[id], n)
			}
		}
		return nil
	})
	t.leave(m)
	for id, n := range box.counts() {
		if n != want[id] {
			t.Errorf("event %s was handled %d times, want %d", id, n, want[id])
		}
	}
}
