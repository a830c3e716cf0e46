package amqp

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/brokertest"
	"github.com/enoki-go/enoki/internal/testserver"
)

// node is the RabbitMQ of all tests here; nil when none is installed.
var node *testserver.Server

func TestMain(m *testing.M) {
	testserver.Main(m, testserver.Started(&node, testserver.StartRabbitMQ))
}

// rabbit returns the node, or skips the test when there is none.
func rabbit(t testing.TB) *testserver.Server {
	t.Helper()
	if node == nil {
		testserver.Skip(t, "RabbitMQ is not installed")
	}
	return node
}

func dial(t testing.TB, c Config) *Driver {
	t.Helper()
	if c.URL == "" {
		c.URL = rabbit(t).URL()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	d, err := Dial(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func TestBroker(t *testing.T) {
	rabbit(t)
	brokertest.Run(t, brokertest.Fixture{
		Dial: func(t testing.TB) broker.Broker {
			t.Helper()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			d, err := Dial(ctx, Config{URL: node.URL()})
			if err != nil {
				t.Fatal(err)
			}
			return d
		},
		Kill: func(testing.TB) { node.Kill() },
		Start: func(t testing.TB) {
			if err := node.Start(); err != nil {
				t.Fatal(err)
			}
		},
		Doomed:       func(t testing.TB) (broker.Broker, func()) { return doomed(t, Config{}) },
		CallsWait:    true,
		BacklogIsOwn: true,
		KeepsNoIDs:   true,
		TooLarge:     maxMessage + 1,
		// The goroutine that waits for the node that was started again.
		IgnoreLeaks: []goleak.Option{goleak.IgnoreAnyFunction("github.com/enoki-go/enoki/internal/testserver.startProcess.func1")},
	})
}

// doomed returns a link to the node that can be cut off for good.
func doomed(t testing.TB, c Config) (link broker.Broker, die func()) {
	t.Helper()
	var cable *testserver.Cable
	cable, c.URL = testserver.NewCable(t, node.URL())
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	d, err := Dial(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	return d, cable.Cut
}

func BenchmarkBroker(b *testing.B) {
	rabbit(b)
	brokertest.Benchmark(b, brokertest.Fixture{
		Dial: func(t testing.TB) broker.Broker { return dial(t, Config{}) },
	})
}

func BenchmarkBrokerEvents(b *testing.B) {
	rabbit(b)
	brokertest.BenchmarkEvents(b, brokertest.Fixture{
		Dial: func(t testing.TB) broker.Broker { return dial(t, Config{}) },
	})
}
