package found

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp"
	"github.com/enoki-go/enoki/deadletter"
	"github.com/enoki-go/enoki/internal/testserver"
)

// quorumVhost returns the URL of a vhost whose queues are quorum queues with a
// limit of deliveries, as some hosted offers have it.
func quorumVhost(t *testing.T, limit string) string {
	t.Helper()
	if rabbit == nil {
		testserver.Skip(t, "RabbitMQ is not installed")
	}
	vhost := "quorum-" + strings.ToLower(t.Name())
	for _, args := range [][]string{
		{"add_vhost", vhost, "--default-queue-type", "quorum"},
		{"set_permissions", "-p", vhost, "guest", ".*", ".*", ".*"},
		{"set_policy", "-p", vhost, "limit", ".*", `{"delivery-limit":` + limit + `}`, "--apply-to", "queues"},
	} {
		if _, err := rabbit.Ctl(args...); err != nil {
			t.Fatal(err)
		}
	}
	return rabbit.URL() + vhost
}

func dialQuorum(t *testing.T, url string) broker.Broker {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b, err := amqp.Dial(ctx, amqp.Config{URL: url, Logger: quiet})
	return linked(t, b, err)
}

// An event that its handler wants again and again is kept when the queue would
// give it up.
func TestRequeuedEventOnAQuorumQueue(t *testing.T) {
	b := dialQuorum(t, quorumVhost(t, "20"))
	event := enoki.NewEvent[string]("quorum", "event")
	var handled atomic.Int64
	run(t, b, enoki.Options{}, enoki.NewService("quorum", enoki.Subscription[string]{Event: event, Handle: func(context.Context, string) error {
		handled.Add(1)
		return errors.New("again")
	}, OnError: enoki.Requeue{}}))
	client := client(t, b)
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	if err := enoki.Emitter(client, event)(ctx, "e"); err != nil {
		t.Fatal(err)
	}
	// Looked at more often than the limit allows, it is still there.
	for looks := 0; looks < 25; {
		groups, err := deadletter.Groups(ctx, client, deadletter.Filter{})
		if err != nil {
			t.Fatalf("%v, after %d looks; the event was handled %d times", err, looks, handled.Load())
		}
		if len(groups) == 0 {
			// The handler runs, or a quorum queue has not yet taken back what
			// the last look has shown.
			time.Sleep(10 * time.Millisecond)
			continue
		}
		looks++
	}
	// Once, and 20 times more; RabbitMQ 3.10 does not show the first return.
	if n := handled.Load(); n < 21 || n > 22 {
		t.Errorf("the event was handled %d times, want 21", n)
	}
}

// What instances hand back when they leave is not charged.
func TestHandedBackOnAQuorumQueue(t *testing.T) {
	url := quorumVhost(t, "1")
	link := dialQuorum(t, url)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	done := make(chan struct{})
	var handled atomic.Int64
	service := broker.Service{Instance: broker.Instance{Name: "quorum", ID: "1"}, Workers: 1, Subscriptions: []broker.Subscription{
		{Source: "quorum", Event: "event", Handler: "on_event", Handle: func(context.Context, *broker.Message) broker.Settlement {
			if handled.Add(1) <= 10 {
				return broker.Settlement{Verdict: broker.HandBack}
			}
			close(done)
			return broker.Settlement{}
		}}}}
	m, err := link.Join(ctx, service)
	if err != nil {
		t.Fatal(err)
	}
	if err := link.Emit(ctx, "quorum", "event", &broker.Message{ContentType: "application/json", Body: []byte(`"e"`)}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-done:
	case <-ctx.Done():
		t.Errorf("the event was handed back %d times and is gone", handled.Load())
	}
	if err := m.Leave(ctx); err != nil {
		t.Error(err)
	}
}
