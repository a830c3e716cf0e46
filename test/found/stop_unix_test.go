//go:build unix

package found

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp"
	"github.com/enoki-go/enoki/broker/nats"
	"github.com/enoki-go/enoki/internal/testserver"
)

// TestIdleServiceStopsWithoutItsBroker: nothing runs, so nothing is to be
// waited for, whether the broker is killed or stands still.
func TestIdleServiceStopsWithoutItsBroker(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) (*testserver.Server, func(context.Context) (broker.Broker, error)){
		"nats": func(t *testing.T) (*testserver.Server, func(context.Context) (broker.Broker, error)) {
			s := testserver.NATS(t)
			return s, func(ctx context.Context) (broker.Broker, error) {
				return nats.Dial(ctx, nats.Config{URL: s.URL(), Logger: quiet})
			}
		},
		"amqp": func(t *testing.T) (*testserver.Server, func(context.Context) (broker.Broker, error)) {
			s := testserver.RabbitMQ(t)
			return s, func(ctx context.Context) (broker.Broker, error) {
				return amqp.Dial(ctx, amqp.Config{URL: s.URL(), Logger: quiet})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, dial := start(t)
			t.Run("away", func(t *testing.T) { stopWithout(t, dial, s.Kill, func() { _ = s.Start() }) })
			t.Run("frozen", func(t *testing.T) {
				signal := func(sig syscall.Signal) func() {
					return func() {
						if err := syscall.Kill(-s.PID(), sig); err != nil { // it leads a group
							t.Fatal(err)
						}
					}
				}
				stopWithout(t, dial, signal(syscall.SIGSTOP), signal(syscall.SIGCONT))
			})
		})
	}
}

// stopWithout stops an idle service while its broker is out.
func stopWithout(t *testing.T, dial func(context.Context) (broker.Broker, error), out, back func()) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b, err := dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	event := enoki.NewEvent[int]("idlesource", "happened")
	nothing := func(context.Context, int) error { return nil }
	s := enoki.NewService("idle",
		enoki.Method("m", func(context.Context) (int, error) { return 1, nil }),
		enoki.Subscription[int]{Event: event, Handle: nothing, Name: "pool"},
		enoki.Subscription[int]{Event: event, Handle: nothing, Name: "cast", Delivery: enoki.Broadcast{}},
		enoki.Subscription[int]{Event: event, Handle: nothing, Name: "line", OrderBy: func(int) string { return "" }})
	stopping, stop := context.WithCancel(context.Background())
	defer stop()
	ready, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		stopped <- enoki.Run(stopping, b, &enoki.Options{Logger: quiet, Grace: 2 * patience, OnReady: func() { close(ready) }}, s)
	}()
	select {
	case <-ready:
	case err := <-stopped:
		t.Fatalf("it ended before it was ready: %v", err)
	}
	out()
	begun := time.Now()
	stop()
	select {
	case err := <-stopped:
		t.Logf("stopped after %v", time.Since(begun).Round(time.Millisecond))
		if err != nil {
			t.Errorf("stopped with %v", err)
		}
	case <-time.After(patience): // half of the grace
		t.Error("it does not stop")
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = b.Close() // a broker that is out may not have been told
	}()
	select {
	case <-closed:
		t.Logf("closed after %v", time.Since(begun).Round(time.Millisecond))
	case <-time.After(patience):
		t.Error("its link is not closed")
	}
	back()
}
