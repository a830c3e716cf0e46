package nats_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/nats"
	"github.com/enoki-go/enoki/broker/nats/embedded"
	"github.com/enoki-go/enoki/internal/testserver"
)

// TestLater emits events that are due later, on a server that has schedules
// and on one that has none, and kills it while they wait.
func TestLater(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(nats.Config) nats.Config
		waiting string
	}{
		"with schedules":   {func(c nats.Config) nats.Config { return c }, "enoki.later."},
		"before schedules": {nats.AsBefore, "enoki.due."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := testserver.NATS(t)
			config := c.change(nats.Config{URL: server.URL(), AckWait: time.Second})
			link := open(t, config)
			type arrival struct {
				id    string
				early time.Duration
			}
			dues := map[string]time.Time{}
			got := make(chan arrival, 100)
			m := join(t, link, handles(func(_ context.Context, m *broker.Message) broker.Settlement {
				got <- arrival{m.ID, time.Until(dues[m.ID])}
				return broker.Settlement{}
			}))
			start := time.Now()
			for id, delay := range map[string]time.Duration{"soon": time.Second, "later": 4 * time.Second, "next year": 300 * 24 * time.Hour} {
				dues[id] = start.Add(delay)
			}
			for id, due := range dues {
				if err := link.Emit(t.Context(), "comments", "posted", &broker.Message{ID: id, Due: due}); err != nil {
					t.Fatal(err)
				}
			}
			waits := func() []string { return slices.Sorted(maps.Keys(stored(t, server.URL(), "ENOKI_LATER"))) }
			for _, subject := range waits() {
				if !strings.HasPrefix(subject, c.waiting) {
					t.Errorf("an event waits as %q, want %q", subject, c.waiting)
				}
			}
			if a := receive(t, "the first event", got); a.id != "soon" || a.early > 0 {
				t.Errorf("got event %q, %v before it was due, want %q", a.id, a.early, "soon")
			}
			server.Kill()
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, m.Ready)
			for id := ""; id != "later"; { // the first may come again: its acknowledgement can be lost in a kill
				a := receive(t, "the second event", got)
				if id = a.id; a.early > 0 || id == "next year" {
					t.Fatalf("got event %q %v before it was due", id, a.early)
				}
			}
			eventually(t, func() error {
				if n := len(waits()); n != 1 {
					return fmt.Errorf("events of %d subjects wait, want 1", n)
				}
				return nil
			})
		})
	}
}

// stored counts the messages of a stream by their subjects.
func stored(t *testing.T, url, stream string) map[string]uint64 {
	t.Helper()
	js, err := jetstream.New(connect(t, url), jetstream.WithDefaultTimeout(30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(t.Context(), jetstream.WithSubjectFilter(">"))
	if err != nil {
		t.Fatal(err)
	}
	return info.State.Subjects
}

// TestLaterTwice: an event that is due later and is emitted again with its id
// comes once.
func TestLaterTwice(t *testing.T) {
	for name, change := range map[string]func(nats.Config) nats.Config{
		"with schedules":   func(c nats.Config) nats.Config { return c },
		"before schedules": nats.AsBefore,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			link := open(t, change(nats.Config{URL: testserver.NATS(t).URL()}))
			got := make(chan string, 10)
			join(t, link, handles(func(_ context.Context, m *broker.Message) broker.Settlement {
				got <- m.ID
				return broker.Settlement{}
			}))
			due := time.Now().Add(time.Second)
			for _, id := range []string{"a", "a", "b"} {
				if err := link.Emit(t.Context(), "comments", "posted", &broker.Message{ID: id, Due: due}); err != nil {
					t.Fatal(err)
				}
			}
			if err := link.Emit(t.Context(), "comments", "posted", &broker.Message{ID: "last", Due: due.Add(2 * time.Second)}); err != nil {
				t.Fatal(err)
			}
			count := map[string]int{}
			for id := ""; id != "last"; count[id]++ {
				id = receive(t, "an event", got)
			}
			if want := map[string]int{"a": 1, "b": 1, "last": 1}; !maps.Equal(count, want) {
				t.Errorf("got %v, want %v", count, want)
			}
		})
	}
}

// TestLaterFull: a store that is full refuses events that are due later, and
// keeps all that it has confirmed.
func TestLaterFull(t *testing.T) {
	server, err := embedded.Start(embedded.Options{Dir: t.TempDir(), Port: -1, MaxStore: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	link := open(t, nats.Config{URL: server.URL()})
	due, body := time.Now().Add(time.Hour), make([]byte, 900<<10)
	for confirmed := range 80 { // 70 MiB
		err = link.Emit(t.Context(), "comments", "posted", &broker.Message{ID: fmt.Sprint(confirmed), Due: due, Body: body})
		if err == nil {
			continue
		}
		if !errors.Is(err, broker.ErrNotDelivered) {
			t.Errorf("Emit to a full store: got error %v, want ErrNotDelivered", err)
		}
		if waiting := len(stored(t, server.URL(), "ENOKI_LATER")); waiting != confirmed || confirmed == 0 {
			t.Errorf("%d events wait, %d were confirmed", waiting, confirmed)
		}
		return
	}
	t.Error("70 MiB went into a store of 64 MiB")
}
