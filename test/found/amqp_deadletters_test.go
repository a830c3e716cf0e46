package found

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/testserver"
)

// foreign is a channel of a client that keeps none of our rules.
func foreign(t *testing.T) *amqp091.Channel {
	t.Helper()
	if rabbit == nil {
		testserver.Skip(t, "RabbitMQ is not installed")
	}
	conn, err := amqp091.Dial(rabbit.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// letters returns the dead letters of one kind once there are n of them.
func letters(t *testing.T, b broker.Broker, kind string, n int) []broker.DeadLetter {
	t.Helper()
	var found []broker.DeadLetter
	for end := time.Now().Add(2 * patience); ; time.Sleep(100 * time.Millisecond) {
		found = nil
		for l, err := range b.DeadLetters(t.Context(), broker.DeadLetterFilter{}) {
			if err != nil {
				t.Fatal(err)
			}
			if l.Kind == kind {
				found = append(found, l.DeadLetter)
			}
		}
		if len(found) >= n {
			return found
		}
		if time.Now().After(end) {
			t.Fatalf("%d dead letters of kind %s, want %d", len(found), kind, n)
		}
	}
}

// TestLargeMessagesBecomeDeadLetters: events of a foreign sender that are
// larger than we send, or have more headers than leave room for a dead letter's
// own, end as dead letters, hold back no good ones, and can be retried whole.
func TestLargeMessagesBecomeDeadLetters(t *testing.T) {
	ch, b := foreign(t), dialRabbitMQ(t)
	const each = 6
	good := make(chan int, 100)
	fixed := make(chan *broker.Message, 2*each)
	var whole bool // read and set between deliveries
	handle := func(_ context.Context, m *broker.Message) broker.Settlement {
		switch {
		case len(m.Body) < 100 && len(m.Context) < 2:
			good <- 1
		case whole:
			fixed <- m
		default:
			return broker.Settlement{Verdict: broker.Reject, Kind: "large", Reason: strings.Repeat("why ", 4000)}
		}
		return broker.Settlement{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	m, err := b.Join(ctx, broker.Service{Instance: broker.Instance{Name: "large", ID: "1"}, Workers: 2,
		Subscriptions: []broker.Subscription{{Source: "big", Event: "e", Handler: "h", Handle: handle}}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Leave(ctx)
	body := bytes.Repeat([]byte("x"), 17<<20)
	headers := amqp091.Table{"nameko.user": "u"}
	for i := range 126 {
		headers[fmt.Sprintf("nameko.h%04d", i)] = strings.Repeat("y", 1000)
	}
	for i := range each {
		for _, p := range []amqp091.Publishing{{Body: body}, {Body: []byte("b"), Headers: headers}, {Body: []byte(fmt.Sprint(i))}} {
			if err := ch.Publish("big.events", "e", false, false, p); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range each {
		select {
		case <-good:
		case <-time.After(2 * patience):
			t.Fatal("good events wait behind large ones")
		}
	}
	for _, l := range letters(t, b, "large", 2*each) {
		if len(l.Message.Body) != len(body) && len(l.Message.Context) != len(headers) {
			t.Errorf("letter %s has a body of %d bytes and %d of context data", l.ID, len(l.Message.Body), len(l.Message.Context))
		}
	}
	whole = true
	for l, err := range b.DeadLetters(ctx, broker.DeadLetterFilter{Service: "large"}) {
		if err == nil {
			err = l.Retry(ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 2 * each {
		select {
		case m := <-fixed:
			if len(m.Body) != len(body) && (string(m.Body) != "b" || m.Context["h0125"] != headers["nameko.h0125"]) {
				t.Errorf("a retried letter came with a body of %d bytes and %d of context data", len(m.Body), len(m.Context))
			}
		case <-ctx.Done():
			t.Fatal("retried letters do not come")
		}
	}
}

// TestTooManyHeadersToRetry: an event whose headers leave no room for what a
// retry adds is a dead letter, and not delivered again and again.
func TestTooManyHeadersToRetry(t *testing.T) {
	ch, b := foreign(t), dialRabbitMQ(t)
	run(t, b, enoki.Options{}, enoki.NewService("crammed",
		enoki.On(enoki.NewEvent[int]("cram", "e"), func(context.Context, int) error { return errors.New("not yet") })))
	err := ch.Publish("cram.events", "e", false, false, amqp091.Publishing{ContentType: "application/json", Body: []byte("1"),
		Headers: amqp091.Table{"nameko.h": strings.Repeat("y", 128<<10-100)}})
	if err != nil {
		t.Fatal(err)
	}
	l := letters(t, b, "too_large", 1)[0]
	if len(l.Message.Context) != 1 || !strings.Contains(l.Reason, "retried") {
		t.Errorf("got a letter with %d of context data and reason %q", len(l.Message.Context), l.Reason)
	}
}

// TestLadderIsNotJammed: what a foreign client puts into the queues of events
// that wait, and can't be routed, becomes dead letters; retries and delayed
// events of all pass by.
func TestLadderIsNotJammed(t *testing.T) {
	ch, b := foreign(t), dialRabbitMQ(t)
	arrived := make(chan int, 100)
	run(t, b, enoki.Options{}, enoki.NewService("patient",
		enoki.On(enoki.NewEvent[int]("slow", "e"), func(_ context.Context, n int) error { arrived <- n; return nil })))
	client := client(t, b)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	late := func(n int) {
		t.Helper()
		if err := client.Emit(ctx, "slow", "e", n, enoki.After(700*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-arrived:
			if got != n {
				t.Errorf("got event %d, want %d", got, n)
			}
		case <-ctx.Done():
			t.Fatalf("event %d does not come", n)
		}
	}
	late(1) // which makes the ladder
	for i := range 40 {
		for _, q := range []string{"enoki.wait.1", "enoki.wait.2"} {
			if err := ch.Publish("", q, false, false, amqp091.Publishing{Body: fmt.Append(nil, q, i)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	// One that goes the whole way and names nobody at its end.
	lost := amqp091.Table{"enoki-later": "nobody.events", "enoki-later-level-0": true}
	if err := ch.Publish("enoki.wait.0", "e", false, false, amqp091.Publishing{Headers: lost, Body: []byte("lost")}); err != nil {
		t.Fatal(err)
	}
	letters(t, b, "unroutable", 81)
	late(2)
}
