package nameko_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker/amqp"
	"github.com/enoki-go/enoki/internal/testserver"
	"github.com/enoki-go/enoki/internal/uuid"
)

// patience is how long a test waits for what has to happen soon.
const patience = time.Minute

// node is the RabbitMQ of all tests here; nil when none is installed.
var node *testserver.Server

func TestMain(m *testing.M) {
	var err error
	node, err = testserver.StartRabbitMQ()
	if err != nil && !errors.Is(err, exec.ErrNotFound) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(goleak.IgnoreAnyFunction("github.com/enoki-go/enoki/internal/testserver.startProcess.func1")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if node != nil {
		node.Stop()
	}
	os.Exit(code)
}

// dial returns a link to the node, or skips the test when there is none.
func dial(t *testing.T) *amqp.Driver {
	t.Helper()
	if node == nil {
		testserver.Skip(t, "RabbitMQ is not installed")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d, err := amqp.Dial(ctx, amqp.Config{URL: node.URL()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// run runs services until the test ends or stop is called, which returns the
// error of Run.
func run(t *testing.T, d *amqp.Driver, o enoki.Options, services ...*enoki.Service) (stop func() error) {
	t.Helper()
	ready, ended := make(chan struct{}), make(chan error, 1)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.OnReady = func() { close(ready) }
	ctx, cancel := context.WithCancel(context.Background())
	go func() { ended <- enoki.Run(ctx, d, &o, services...) }()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		t.Fatalf("Run ended before it was ready: %v", err)
	}
	stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { stop() })
	return stop
}

// next returns what comes from ch, or fails the test when nothing does.
func next[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("not reached")
	}
}

// name makes s unique to this test run.
func name(s string) string { return s + "-" + uuid.New()[:8] }

// lines is a log that can be read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
