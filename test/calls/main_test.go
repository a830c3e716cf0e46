// Package calls tries every kind of call on every broker, each service with a
// link of its own, as in processes of their own.
package calls

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/broker/nats"
	"github.com/enoki-go/enoki/broker/nats/embedded"
	"github.com/enoki-go/enoki/internal/testserver"
)

const patience = 30 * time.Second

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// rabbit and server are the brokers of all tests here; rabbit is nil when none
// is installed.
var rabbit, server *testserver.Server

func TestMain(m *testing.M) {
	testserver.Main(m, testserver.Started(&rabbit, testserver.StartRabbitMQ), testserver.Started(&server, testserver.StartNATS))
}

// cluster is a broker and how to reach it.
type cluster struct {
	testing.TB
	dial func(ctx context.Context) (broker.Broker, error)
}

// everyBroker runs test on each kind of broker.
func everyBroker(t *testing.T, test func(c *cluster)) {
	for name, dial := range brokers {
		t.Run(name, func(t *testing.T) { test(&cluster{t, dial(t)}) })
	}
}

// brokers are all kinds of brokers: each returns how to get a link to one.
var brokers = map[string]func(t testing.TB) func(ctx context.Context) (broker.Broker, error){
	"memory": func(t testing.TB) func(ctx context.Context) (broker.Broker, error) {
		hub := memory.New()
		return func(context.Context) (broker.Broker, error) { return hub.Link(), nil }
	},
	"embedded": func(t testing.TB) func(ctx context.Context) (broker.Broker, error) {
		server, err := embedded.Start(embedded.Options{Dir: t.TempDir(), Port: -1, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Shutdown)
		return func(ctx context.Context) (broker.Broker, error) {
			return nats.Dial(ctx, nats.Config{InProcess: server, Logger: quiet})
		}
	},
	"nats": func(testing.TB) func(ctx context.Context) (broker.Broker, error) {
		return func(ctx context.Context) (broker.Broker, error) {
			return nats.Dial(ctx, nats.Config{URL: server.URL(), Logger: quiet})
		}
	},
	"amqp": func(t testing.TB) func(ctx context.Context) (broker.Broker, error) {
		if rabbit == nil {
			testserver.Skip(t, "RabbitMQ is not installed")
		}
		return func(ctx context.Context) (broker.Broker, error) {
			return amqp.Dial(ctx, amqp.Config{URL: rabbit.URL(), Logger: quiet})
		}
	},
}

// link returns a new link to the broker.
func (c *cluster) link() broker.Broker {
	c.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	b, err := c.dial(ctx)
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { b.Close() })
	return b
}

// process runs services by a link of their own.
type process struct {
	link broker.Broker
	stop func() // drains
	done chan struct{}
}

func (c *cluster) run(services ...*enoki.Service) *process {
	c.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{link: c.link(), done: make(chan struct{})}
	ready := make(chan struct{})
	var failed error
	go func() {
		defer close(p.done)
		o := &enoki.Options{Logger: quiet, Grace: patience, OnReady: func() { close(ready) }}
		failed = enoki.Run(ctx, p.link, o, services...)
	}()
	p.stop = func() { cancel(); <-p.done }
	c.Cleanup(p.stop)
	select {
	case <-ready:
	case <-p.done:
		c.Fatal(failed)
	}
	return p
}

// bind fills a contract by a link of its own.
func (c *cluster) bind(service string, contract any) {
	c.Helper()
	if err := enoki.NewClient(c.link(), &enoki.Options{Logger: quiet}).Bind(service, contract); err != nil {
		c.Fatal(err)
	}
}

// receive returns what comes, or ends the test.
func receive[T any](c *cluster, what string, from <-chan T) T {
	c.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		c.Fatalf("waited in vain for %s", what)
		panic("not reached")
	}
}
