package nats_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/brokertest"
	"github.com/enoki-go/enoki/broker/nats"
	"github.com/enoki-go/enoki/broker/nats/embedded"
	"github.com/enoki-go/enoki/internal/testserver"
)

// tooLarge is more than a NATS server takes unless told otherwise: 1 MiB.
const tooLarge = 1<<20 + 1

func TestContractEmbedded(t *testing.T) {
	server := startEmbedded(t, embedded.Options{})
	brokertest.Run(t, brokertest.Fixture{
		Dial:        func(t testing.TB) broker.Broker { return dial(t, nats.Config{InProcess: server}) },
		Doomed:      func(t testing.TB) (broker.Broker, func()) { return doomed(t, server.URL()) },
		TooLarge:    tooLarge,
		IgnoreLeaks: serverGoroutines(),
	})
}

// doomed returns a link that can be cut off for good. The server soon gives to
// others what it had.
func doomed(t testing.TB, url string) (link broker.Broker, die func()) {
	t.Helper()
	cable, near := testserver.NewCable(t, url)
	return dial(t, nats.Config{URL: near, AckWait: time.Second}), cable.Cut
}

// serverGoroutines are those of a server in this process that runs on: it has
// some for each stream and durable consumer. TestShutdown of package embedded
// shows that they end with it.
func serverGoroutines() []goleak.Option {
	const server = "github.com/nats-io/nats-server/v2/server"
	var all []goleak.Option
	for _, function := range []string{
		".(*consumer).loopAndGatherMsgs", ".(*consumer).processInboundAcks", ".(*consumer).processInboundNextMsgReqs",
		".(*consumerFileStore).flushLoop", ".(*fileStore).flushStreamStateLoop",
		".(*stream).internalLoop", ".(*stream).signalConsumersLoop", "/ats.Register.func1",
	} {
		all = append(all, goleak.IgnoreAnyFunction(server+function))
	}
	return all
}

func TestContractServer(t *testing.T) {
	server := testserver.NATS(t)
	brokertest.Run(t, brokertest.Fixture{
		Dial: func(t testing.TB) broker.Broker {
			return dial(t, nats.Config{URL: server.URL(), AckWait: 3 * time.Second})
		},
		Kill: func(testing.TB) { server.Kill() },
		Start: func(t testing.TB) {
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
		},
		Doomed:   func(t testing.TB) (broker.Broker, func()) { return doomed(t, server.URL()) },
		TooLarge: tooLarge,
	})
}

func BenchmarkEmbedded(b *testing.B) {
	server := startEmbedded(b, embedded.Options{})
	brokertest.Benchmark(b, brokertest.Fixture{
		Dial: func(t testing.TB) broker.Broker { return dial(t, nats.Config{InProcess: server}) },
	})
}

func BenchmarkEmbeddedEvents(b *testing.B) {
	server := startEmbedded(b, embedded.Options{})
	brokertest.BenchmarkEvents(b, brokertest.Fixture{
		Dial: func(t testing.TB) broker.Broker { return dial(t, nats.Config{InProcess: server}) },
	})
}

func BenchmarkServerEvents(b *testing.B) {
	server := testserver.NATS(b)
	brokertest.BenchmarkEvents(b, brokertest.Fixture{
		Dial: func(t testing.TB) broker.Broker { return dial(t, nats.Config{URL: server.URL()}) },
	})
}

func BenchmarkServer(b *testing.B) {
	server := testserver.NATS(b)
	brokertest.Benchmark(b, brokertest.Fixture{
		Dial: func(t testing.TB) broker.Broker { return dial(t, nats.Config{URL: server.URL()}) },
	})
}

// startEmbedded starts a server on a free port, in a directory of the test.
func startEmbedded(t testing.TB, o embedded.Options) *embedded.Server {
	t.Helper()
	o.Dir, o.Port, o.Logger = t.TempDir(), -1, logger(t)
	server, err := embedded.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	return server
}

// dial returns a link that the caller closes.
func dial(t testing.TB, c nats.Config) *nats.Driver {
	t.Helper()
	c.Logger = logger(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	link, err := nats.Dial(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// logger writes to the log of the test, or to that of all tests after its end.
func logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
}
