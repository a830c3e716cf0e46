package found

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/nats"
	"github.com/enoki-go/enoki/broker/nats/embedded"
)

// TestDeadLettersOfOneHandler: a handler whose events all die fills the stream
// of dead letters only so far that another one's still find room, and the log
// names it. It filled all of it, and the events of others that should have been
// dead letters came again every second.
func TestDeadLettersOfOneHandler(t *testing.T) {
	const many = 200 // of 8 kB each, into 1 MiB
	s := roomyServer(t)
	dial := func() broker.Broker {
		b, err := nats.Dial(t.Context(), nats.Config{URL: s.URL(), Logger: quiet, DeadBytes: 1 << 20})
		return linked(t, b, err)
	}
	bad, good := enoki.NewEvent[string]("bad", "ev"), enoki.NewEvent[string]("good", "ev")
	die := func(context.Context, string) error { return enoki.Permanent(fmt.Errorf("it never works")) }
	var said saying
	loud, err := nats.Dial(t.Context(), nats.Config{URL: s.URL(), Logger: slog.New(slog.NewTextHandler(&said, nil)), DeadBytes: 1 << 20})
	link := linked(t, loud, err)
	run(t, link, enoki.Options{}, enoki.NewService("poisoned", enoki.On(bad, die)))
	run(t, dial(), enoki.Options{}, enoki.NewService("honest", enoki.On(good, die)))
	client := client(t, link)
	emitBad, emitGood := enoki.Emitter(client, bad), enoki.Emitter(client, good)
	for range many {
		if err := emitBad(t.Context(), strings.Repeat("x", 8000)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the log names who has too many dead letters", func() bool {
		return said.has("dead letters of poisoned.on_ev") && said.has("enoki dead --service poisoned --handler on_ev")
	})
	if err := emitGood(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	lettersOf := func(service string) (letters []*broker.HeldLetter) {
		for l, err := range link.DeadLetters(t.Context(), broker.DeadLetterFilter{Service: service}) {
			if err != nil {
				t.Fatal(err)
			}
			letters = append(letters, l)
		}
		return letters
	}
	eventually(t, "the other handler's event is a dead letter", func() bool { return len(lettersOf("honest")) == 1 })

	discarded := 0 // those that had no room take it
	eventually(t, "all its events have become dead letters", func() bool {
		for _, l := range lettersOf("poisoned") {
			if err := l.Discard(t.Context()); err != nil {
				t.Fatal(err)
			}
			discarded++
		}
		return discarded == many
	})
}

// TestDelayedEventsOfOneSource: a source that emits more and more events that
// are due later is refused, by an error that names it, while others still have
// room. There was no limit, and it could fill the server, which then refused all.
func TestDelayedEventsOfOneSource(t *testing.T) {
	s := roomyServer(t)
	dial := func() broker.Broker {
		b, err := nats.Dial(t.Context(), nats.Config{URL: s.URL(), Logger: quiet, LaterBytes: 1 << 20})
		return linked(t, b, err)
	}
	greedy, modest := enoki.NewEvent[string]("greedy", "ev"), enoki.NewEvent[string]("modest", "ev")
	got := make(chan string, 10)
	handle := func(_ context.Context, s string) error { got <- s; return nil }
	run(t, dial(), enoki.Options{}, enoki.NewService("handler",
		enoki.Subscription[string]{Event: greedy, Handle: handle, Name: "on_greedy"},
		enoki.Subscription[string]{Event: modest, Handle: handle, Name: "on_modest"}))
	link := dial()
	client := client(t, link)
	emitGreedy, emitModest := enoki.Emitter(client, greedy), enoki.Emitter(client, modest)
	var err error
	stored := 0
	for ; err == nil && stored < 1000; stored++ {
		err = emitGreedy(t.Context(), strings.Repeat("x", 8000), enoki.After(time.Hour))
	}
	stored--
	if enoki.CodeOf(err) != enoki.NotDelivered || !strings.Contains(err.Error(), fmt.Sprint(stored, " events of greedy that are due later")) {
		t.Errorf("got error %v after %d events, want not_delivered that names greedy and how many wait", err, stored)
	}
	if stored < 30 {
		t.Errorf("got %d events of 8 kB into 1 MiB, want a source alone to have half of it", stored)
	}
	if err := emitModest(t.Context(), "later", enoki.After(100*time.Millisecond)); err != nil {
		t.Errorf("another source can't emit events that are due later: %v", err)
	} else if s := receive(t, got); s != "later" {
		t.Errorf("got %q, want later", s)
	}
	if err := emitGreedy(t.Context(), "now"); err != nil {
		t.Errorf("the source can't emit what is due now: %v", err)
	} else if s := receive(t, got); s != "now" {
		t.Errorf("got %q, want now", s)
	}
	backlog, err := link.Backlog(t.Context())
	room := func(s broker.Store) bool {
		return s.Name == "ENOKI_LATER" && s.Limit == 1<<20 && s.Used > 1<<18 && s.Used < s.Limit
	}
	if err != nil || !slices.ContainsFunc(backlog.Stores, room) {
		t.Errorf("the stores are %+v, %v, want ENOKI_LATER with its limit", backlog.Stores, err)
	}
}

func roomyServer(t *testing.T) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(embedded.Options{Dir: t.TempDir(), Port: -1, Fast: true, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

func receive(t *testing.T, from <-chan string) string {
	t.Helper()
	select {
	case s := <-from:
		return s
	case <-time.After(patience):
		t.Fatal("no event comes")
		return ""
	}
}

// saying is a log that can be looked at.
type saying struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *saying) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *saying) has(what string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.text.String(), what)
}
