// Package growth holds what services and calls leave behind in a process:
// the memory and the goroutines that stay.
package growth

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/broker/nats"
	"github.com/enoki-go/enoki/broker/nats/embedded"
	"github.com/enoki-go/enoki/host"
	"github.com/enoki-go/enoki/internal/testserver"
)

// workers are few, so that all of them have been started, to stay, before
// anything is counted.
const workers = 8

// patience is for a busy machine.
const patience = 2 * time.Minute

var quiet = slog.New(slog.DiscardHandler)

// rabbit and server are the brokers of all tests here; rabbit is nil when none
// is installed. They are processes of their own: what they need is theirs.
var rabbit, server *testserver.Server

func TestMain(m *testing.M) {
	testserver.Main(m, testserver.Started(&rabbit, testserver.StartRabbitMQ), testserver.Started(&server, testserver.StartNATSFast))
}

// everyBroker runs test on a new link to each kind of broker.
func everyBroker(t *testing.T, test func(t *testing.T, dial func() broker.Broker)) {
	t.Run("memory", func(t *testing.T) {
		hub := memory.New()
		test(t, func() broker.Broker { return hub.Link() })
	})
	t.Run("embedded", func(t *testing.T) {
		server, err := embedded.Start(embedded.Options{Dir: t.TempDir(), Port: -1, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Shutdown)
		test(t, func() broker.Broker {
			return connect(t, func(ctx context.Context) (broker.Broker, error) {
				return nats.Dial(ctx, nats.Config{InProcess: server, Logger: quiet})
			})
		})
	})
	t.Run("nats", func(t *testing.T) {
		test(t, func() broker.Broker { return dial(t, server.URL()) })
	})
	t.Run("amqp", func(t *testing.T) {
		if rabbit == nil {
			testserver.Skip(t, "RabbitMQ is not installed")
		}
		test(t, func() broker.Broker { return dial(t, rabbit.URL()) })
	})
}

func dial(t *testing.T, url string) broker.Broker {
	t.Helper()
	return connect(t, func(ctx context.Context) (broker.Broker, error) { return host.Dial(ctx, url, quiet) })
}

func connect(t *testing.T, by func(context.Context) (broker.Broker, error)) broker.Broker {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b, err := by(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// run runs services until stop is called or the test ends.
func run(t *testing.T, b broker.Broker, services ...*enoki.Service) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan struct{})
	var failed error
	go func() {
		defer close(done)
		failed = enoki.Run(ctx, b, &enoki.Options{Logger: quiet, Workers: workers, OnReady: func() { close(ready) }}, services...)
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	select {
	case <-ready:
	case <-done:
		t.Fatal(failed)
	case <-time.After(patience):
		t.Fatal("the services don't become ready")
	}
	return stop
}

// held is what a process has in use.
type held struct {
	bytes      uint64 // heap and stacks
	resident   uint64 // bytes of the process in memory, 0 where they tell nothing
	goroutines int
}

// hold collects what is garbage first.
func hold() held {
	runtime.GC() // twice: a pool gives back what it has at the second one
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return held{bytes: m.HeapAlloc + m.StackInuse, resident: resident(), goroutines: runtime.NumGoroutine()}
}

func resident() uint64 {
	if raced() {
		return 0
	}
	var all, resident uint64
	text, _ := os.ReadFile("/proc/self/statm") // pages; only Linux has it
	fmt.Sscan(string(text), &all, &resident)
	return resident * uint64(os.Getpagesize())
}

// raced tells whether the race detector is on, which has memory of its own:
// more and more in the process, and some hundred kB of the heap now and then.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
