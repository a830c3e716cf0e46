// Package found has a case for each fault that outsiders found, by name, on
// the brokers that it concerns. A rule for drivers is a case of
// broker/brokertest as well.
package found

import (
	"context"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/broker/nats"
	"github.com/enoki-go/enoki/internal/testserver"
)

// patience is how long a test waits for an event that must come.
const patience = 30 * time.Second

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// rabbit and server are the brokers that the tests here share; rabbit is nil
// when none is installed. A test that harms a broker starts one of its own.
var rabbit, server *testserver.Server

func TestMain(m *testing.M) {
	if url, handler, poisoned := strings.Cut(os.Getenv(poisonURL), " "); poisoned {
		dieOfPoison(url, handler)
	}
	testserver.Main(m, testserver.Started(&rabbit, testserver.StartRabbitMQ), testserver.Started(&server, testserver.StartNATS))
}

// onEveryBroker runs test on each kind of broker; dial gives it a new link.
func onEveryBroker(t *testing.T, test func(t *testing.T, dial func() broker.Broker)) {
	t.Run("memory", func(t *testing.T) {
		hub := memory.New()
		test(t, func() broker.Broker { return linked(t, hub.Link(), nil) })
	})
	t.Run("nats", func(t *testing.T) {
		test(t, func() broker.Broker { return dialNATS(t, server.URL()) })
	})
	t.Run("amqp", func(t *testing.T) {
		test(t, func() broker.Broker { return dialRabbitMQ(t) })
	})
}

// onMemory runs test on a broker in memory.
func onMemory(t *testing.T, test func(dial func() broker.Broker)) {
	hub := memory.New()
	test(func() broker.Broker { return linked(t, hub.Link(), nil) })
}

// eventually looks until what is true, for what sends no signal.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func dialNATS(t *testing.T, url string) broker.Broker {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b, err := nats.Dial(ctx, nats.Config{URL: url, Logger: quiet})
	return linked(t, b, err)
}

// dialRabbitMQ returns a new link to the shared RabbitMQ.
func dialRabbitMQ(t *testing.T) broker.Broker {
	t.Helper()
	if rabbit == nil {
		testserver.Skip(t, "RabbitMQ is not installed")
	}
	return dialRabbitMQAt(t, rabbit.URL())
}

func dialRabbitMQAt(t *testing.T, url string) broker.Broker {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b, err := amqp.Dial(ctx, amqp.Config{URL: url, Logger: quiet})
	return linked(t, b, err)
}

// linked returns b, which is closed when the test ends.
func linked(t *testing.T, b broker.Broker, err error) broker.Broker {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() }) // a test that broke the link has looked itself
	return b
}

// client returns a client whose calls and emits wait as long as the test does.
func client(t *testing.T, b broker.Broker) *enoki.Client {
	t.Helper()
	return enoki.NewClient(b, &enoki.Options{Logger: quiet, Timeout: patience})
}

// run runs services on b until the test ends, and returns when they take work.
// What it returns stops them earlier, and waits.
func run(t *testing.T, b broker.Broker, o enoki.Options, services ...*enoki.Service) (stop func()) {
	t.Helper()
	if o.Logger == nil {
		o.Logger = quiet
	}
	if o.Timeout == 0 {
		o.Timeout = patience
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	o.OnReady = func() { close(ready) }
	go func() { done <- enoki.Run(ctx, b, &o, services...) }()
	select {
	case <-ready:
	case err := <-done:
		cancel()
		t.Fatalf("services ended before they were ready: %v", err)
	case <-time.After(patience):
		cancel()
		t.Fatal("services are not ready in time")
	}
	var stopped bool
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case <-done:
		case <-time.After(patience):
			t.Error("services do not stop in time")
		}
	}
	t.Cleanup(stop)
	return stop
}
