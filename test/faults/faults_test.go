// Package faults breaks what Enoki stands on while it works, and accounts for
// every event: what was confirmed to its emitter against what was handled.
package faults

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/host"
	"github.com/enoki-go/enoki/internal/testserver"
)

// programs is the directory of the built command enoki; set by TestMain.
var programs string

func TestMain(m *testing.M) { testserver.Main(m, testserver.Built(&programs, "cmd/enoki")) }

// brokers are those that are killed.
var brokers = []struct {
	name  string
	start func(testing.TB) *testserver.Server
}{
	{"embedded", func(t testing.TB) *testserver.Server { return testserver.Enoki(t, filepath.Join(programs, "enoki")) }},
	{"nats", testserver.NATS},
	{"rabbitmq", testserver.RabbitMQ},
}

func dial(t *testing.T, url string) broker.Broker {
	t.Helper()
	b, err := host.Dial(t.Context(), url, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() }) // a second time where the test has come to its end
	return b
}

// TestKilledBroker kills a broker with -9 again and again while events are
// emitted and handled.
func TestKilledBroker(t *testing.T) {
	for _, b := range brokers {
		t.Run(b.name, func(t *testing.T) {
			server := b.start(t)
			a := newAccount()
			shop := open(t, dial(t, server.URL()), a)
			for range testserver.Count(t, "ENOKI_KILLS", 2) {
				a.await(t, "events are handled", progress(a))
				server.Kill()
				a.await(t, "emitters meet a broker that is down", attempts(a))
				if err := server.Start(); err != nil {
					t.Fatal(err)
				}
			}
			a.await(t, "events are handled", progress(a))
			shop.emitters.stop()
			a.await(t, "every confirmed event is handled by both", func(b *books) bool { return b.missing() == 0 })
			shop.close(t)
			a.check(t, shop.effects(t))
		})
	}
}
