package nats_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/nats"
	"github.com/enoki-go/enoki/broker/nats/embedded"
)

// inOrder is a service that handles comments.posted in order, all of one key.
func inOrder(id string, fn func(context.Context, *broker.Message) broker.Settlement) broker.Service {
	s := handles(fn)
	s.ID = id
	s.Subscriptions[0].OrderBy = func(*broker.Message) string { return "key" }
	return s
}

// to returns a handler that sends the ids of events to got.
func to(got chan<- string) func(context.Context, *broker.Message) broker.Settlement {
	return func(_ context.Context, m *broker.Message) broker.Settlement {
		got <- m.ID
		return broker.Settlement{}
	}
}

// TestOrderAfterDeath: when the active instance dies without a word, another
// one goes on from the oldest event that is not settled. What comes meanwhile,
// and what the dead one had, is brought in order.
func TestOrderAfterDeath(t *testing.T) {
	for name, change := range map[string]func(nats.Config) nats.Config{
		"pinned": func(c nats.Config) nats.Config { return c }, "one at a time": nats.AsBefore,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := change(nats.Config{InProcess: startEmbedded(t, embedded.Options{}), AckWait: 3 * time.Second})
			dying, link := open(t, config), open(t, config)
			started, got := make(chan string, 100), make(chan string, 100)
			join(t, dying, inOrder("1", func(ctx context.Context, m *broker.Message) broker.Settlement {
				if started <- m.ID; m.ID == "04" {
					<-ctx.Done()
				}
				return broker.Settlement{}
			}))
			for i := range 10 {
				emit(t, link, fmt.Sprintf("%02d", i))
			}
			for range 5 {
				receive(t, "the active instance", started)
			}
			join(t, link, inOrder("2", to(got)))
			dying.Cut()
			for i := 10; i < 20; i++ {
				emit(t, link, fmt.Sprintf("%02d", i))
			}
			first, err := strconv.Atoi(receive(t, "the other instance", got))
			if err != nil || first > 4 {
				t.Errorf("the other instance began with %d, want 4 or what was settled just before the death", first)
			}
			for n := first + 1; n < 20; n++ {
				if id, want := receive(t, "the next event", got), fmt.Sprintf("%02d", n); id != want {
					t.Errorf("got event %s, want %s", id, want)
				}
			}
		})
	}
}

// TestStandbyLeaves: the active instance stays it when another one leaves, and
// also while it has as many events as it can take.
func TestStandbyLeaves(t *testing.T) {
	t.Parallel()
	server := startEmbedded(t, embedded.Options{})
	config := nats.Config{InProcess: server, AckWait: 3 * time.Second} // of which a busy machine may stand still for some
	active, standby := open(t, config), open(t, config)
	started, release := make(chan string, 1), make(chan struct{})
	join(t, active, inOrder("1", func(ctx context.Context, m *broker.Message) broker.Settlement {
		started <- m.ID
		<-release
		return broker.Settlement{}
	}))
	emit(t, active, "first")
	receive(t, "the active instance", started)
	pin := pinned(t, jetStream(t, server))
	m := join(t, standby, inOrder("2", func(context.Context, *broker.Message) broker.Settlement {
		t.Error("the other instance got an event")
		return broker.Settlement{}
	}))
	for i := range broker.Window + 100 {
		emit(t, active, fmt.Sprint(i))
	}
	if err := m.Leave(t.Context()); err != nil {
		t.Error(err)
	}
	join(t, standby, inOrder("3", func(context.Context, *broker.Message) broker.Settlement {
		t.Error("the third instance got an event")
		return broker.Settlement{}
	}))
	<-time.After(2 * config.AckWait) // in which it would lose its pin, did it not show itself
	if now := pinned(t, jetStream(t, server)); now != pin {
		t.Errorf("the pin was %q and is %q", pin, now)
	}
	close(release)
	for range broker.Window + 100 {
		receive(t, "those behind", started)
	}
}

// pinned returns what shows the active instance that it is the one.
func pinned(t *testing.T, js jetstream.JetStream) string {
	t.Helper()
	c, err := js.Consumer(t.Context(), "ENOKI_EVENTS_comments", "evt+comments+posted+push+on_posted")
	if err != nil {
		t.Fatal(err)
	}
	groups := c.CachedInfo().PriorityGroups
	if len(groups) != 1 || groups[0].PinnedClientID == "" {
		t.Fatalf("got groups %+v, want one with a pinned instance", groups)
	}
	return groups[0].PinnedClientID
}
