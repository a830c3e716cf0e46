package found

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/nats"
	"github.com/enoki-go/enoki/internal/testserver"
)

// TestNATSCluster kills each of three servers in turn, and so the leader of
// every stream once at least, while events are emitted and handled: none that
// was confirmed is lost.
func TestNATSCluster(t *testing.T) {
	servers := testserver.NATSCluster(t, 3)
	urls := make([]string, len(servers))
	for i, s := range servers {
		urls[i] = s.URL()
	}
	url := strings.Join(urls, ",")
	counted := enoki.NewEvent[string]("cluster", "counted")
	var handled, confirmed ledger
	run(t, dialCluster(t, url), enoki.Options{}, enoki.NewService("ledger", enoki.On(counted, func(_ context.Context, id string) error {
		handled.add(id)
		return nil
	})))

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var emitters sync.WaitGroup
	for e := range 4 {
		emit := enoki.Emitter(enoki.NewClient(dialCluster(t, url), &enoki.Options{Logger: quiet, Timeout: 5 * time.Second}), counted)
		emitters.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id := fmt.Sprintf("%d-%d", e, i)
				if emit(context.Background(), id) == nil {
					confirmed.add(id)
				}
			}
		})
	}
	for i, s := range servers {
		confirmed.grow(t, 100, "before a server is killed")
		s.Kill()
		confirmed.grow(t, 100, fmt.Sprintf("while server %d is down", i+1))
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
	}
	confirmed.grow(t, 100, "with all servers")
	stop()
	emitters.Wait()
	deadline := time.Now().Add(4 * patience)
	for {
		lost := confirmed.without(&handled)
		if len(lost) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d confirmed events were not handled, such as %s", len(lost), confirmed.len(), lost[0])
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("%d events confirmed, none lost", confirmed.len())
}

// dialCluster waits until the servers have found each other.
func dialCluster(t *testing.T, url string) broker.Broker {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	b, err := nats.Dial(ctx, nats.Config{URL: url, Logger: quiet})
	return linked(t, b, err)
}

// ledger is a set of events.
type ledger struct {
	mu  sync.Mutex
	ids map[string]bool
}

func (l *ledger) add(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ids == nil {
		l.ids = make(map[string]bool)
	}
	l.ids[id] = true
}

func (l *ledger) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ids)
}

// without returns the events that other does not have.
func (l *ledger) without(other *ledger) (missing []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	other.mu.Lock()
	defer other.mu.Unlock()
	for id := range l.ids {
		if !other.ids[id] {
			missing = append(missing, id)
		}
	}
	return missing
}

// grow waits until there are more events.
func (l *ledger) grow(t *testing.T, more int, when string) {
	t.Helper()
	want := l.len() + more
	for deadline := time.Now().Add(4 * patience); l.len() < want; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d events were confirmed, want %d", when, l.len(), want)
		}
	}
}
