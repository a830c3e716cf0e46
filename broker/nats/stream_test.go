package nats_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/nats"
	"github.com/enoki-go/enoki/broker/nats/embedded"
)

// TestSharedStream: where an earlier version has made one stream for all
// sources, instances of both versions go on with it, and when it is deleted
// each source gets its own.
func TestSharedStream(t *testing.T) {
	server := startEmbedded(t, embedded.Options{})
	js := jetStream(t, server)
	shared, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "ENOKI_EVENTS", Subjects: []string{"enoki.events.>"}, Retention: jetstream.InterestPolicy, Discard: jetstream.DiscardNew, MaxBytes: 64 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	earlier, err := shared.CreateConsumer(t.Context(), jetstream.ConsumerConfig{
		Durable: "evt+comments+posted+mail+on_posted", FilterSubject: "enoki.events.comments.posted", AckPolicy: jetstream.AckExplicitPolicy,
	})
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 100)
	m := join(t, open(t, nats.Config{InProcess: server}), handles(func(_ context.Context, m *broker.Message) broker.Settlement {
		got <- m.ID
		return broker.Settlement{}
	}))
	link := open(t, nats.Config{InProcess: server}) // that only emits
	emit(t, link, "shared")
	if id := receive(t, "the event in the shared stream", got); id != "shared" {
		t.Errorf("got %q, want shared", id)
	}
	msg, err := earlier.Next(jetstream.FetchMaxWait(30 * time.Second))
	if err != nil || msg.Headers().Get("Enoki-Id") != "shared" {
		t.Errorf("an instance of an earlier version got %v, %v", msg, err)
	}

	if err := js.DeleteStream(t.Context(), "ENOKI_EVENTS"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		_, err := js.Consumer(t.Context(), "ENOKI_EVENTS_comments", "evt+comments+posted+push+on_posted")
		return errors.Join(err, m.Ready())
	})
	emit(t, link, "parted")
	if id := receive(t, "the event in the stream of its source", got); id != "parted" {
		t.Errorf("got %q, want parted", id)
	}
}

// TestEarlierVersionIsFaster: an instance of an earlier version makes its
// stream after we have looked.
func TestEarlierVersionIsFaster(t *testing.T) {
	server := startEmbedded(t, embedded.Options{})
	link := open(t, nats.Config{InProcess: server})
	if _, err := jetStream(t, server).CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "ENOKI_EVENTS", Subjects: []string{"enoki.events.>"}, Retention: jetstream.InterestPolicy,
	}); err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	join(t, link, handles(func(_ context.Context, m *broker.Message) broker.Settlement {
		got <- m.ID
		return broker.Settlement{}
	}))
	emit(t, link, "x")
	receive(t, "the event", got)
}

// TestUnheardEvent: events that nobody subscribes to make no stream, however
// many sources they name.
func TestUnheardEvent(t *testing.T) {
	server := startEmbedded(t, embedded.Options{})
	link := open(t, nats.Config{InProcess: server})
	for i := range 10 {
		if err := link.Emit(t.Context(), fmt.Sprint("nobody-", i), "e", &broker.Message{}); err != nil {
			t.Fatal(err)
		}
	}
	for name := range jetStream(t, server).StreamNames(t.Context()).Name() {
		if len(name) > len("ENOKI_EVENTS_") && name[:13] == "ENOKI_EVENTS_" {
			t.Errorf("there is a stream %s", name)
		}
	}
	got := make(chan string, 1)
	s := handles(nil)
	s.Subscriptions = []broker.Subscription{{Source: "nobody-1", Event: "e", Handler: "h", Handle: func(_ context.Context, m *broker.Message) broker.Settlement {
		got <- m.ID
		return broker.Settlement{}
	}}}
	join(t, open(t, nats.Config{InProcess: server}), s)
	if err := link.Emit(t.Context(), "nobody-1", "e", &broker.Message{ID: "x"}); err != nil {
		t.Fatal(err)
	}
	receive(t, "the event that somebody subscribes to now", got)
}

// TestStreamsVanish: when all streams are deleted under a running service with
// several subscriptions, all of them are made again, with all that hangs on
// them.
func TestStreamsVanish(t *testing.T) {
	const sources = 5
	server := startEmbedded(t, embedded.Options{})
	link := open(t, nats.Config{InProcess: server})
	got := make(chan string, 1000)
	s := handles(done)
	s.Subscriptions = nil
	for i := range sources {
		s.Subscriptions = append(s.Subscriptions, broker.Subscription{Source: fmt.Sprint("source-", i), Event: "e", Handler: "h",
			Handle: func(_ context.Context, m *broker.Message) broker.Settlement {
				got <- m.ID
				if m.Attempt == 1 { // which needs the stream of attempts
					return broker.Settlement{Verdict: broker.Retry}
				}
				return broker.Settlement{Verdict: broker.Reject, Reason: "tried twice"} // and that of dead letters
			}})
	}
	m := join(t, link, s)
	js := jetStream(t, server)
	for name := range js.StreamNames(t.Context()).Name() {
		if err := js.DeleteStream(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	eventually(t, func() error {
		for i := range sources {
			if _, err := js.Consumer(t.Context(), fmt.Sprint("ENOKI_EVENTS_source-", i), fmt.Sprintf("evt+source-%d+e+push+h", i)); err != nil {
				return err
			}
		}
		return m.Ready()
	})
	t.Logf("all consumers are back after %v", time.Since(began))
	for i := range sources {
		id := fmt.Sprint("event of ", i)
		if err := link.Emit(t.Context(), fmt.Sprint("source-", i), "e", &broker.Message{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() error {
		letters, err := deadLetters(t, link)
		if err == nil && len(letters) != sources {
			err = fmt.Errorf("%d dead letters, want %d", len(letters), sources)
		}
		return err
	})
	if err := link.Emit(t.Context(), "source-0", "e", &broker.Message{ID: "later", Due: time.Now().Add(100 * time.Millisecond)}); err != nil {
		t.Fatal(err)
	}
	for receive(t, "the event that was due later", got) != "later" {
		continue
	}
}

// TestManySources: services start though their sources are far more than the
// server has room for, set aside for each.
func TestManySources(t *testing.T) {
	link := open(t, nats.Config{InProcess: startEmbedded(t, embedded.Options{MaxStore: 64 << 20})})
	s := broker.Service{Instance: broker.Instance{Name: "reader", ID: "reader"}, Workers: 1}
	got := make(chan string, 200)
	for i := range cap(got) {
		s.Subscriptions = append(s.Subscriptions, broker.Subscription{Source: fmt.Sprintf("source_%d", i), Event: "e", Handler: "h",
			Handle: func(_ context.Context, m *broker.Message) broker.Settlement { got <- m.ID; return broker.Settlement{} }})
	}
	join(t, link, s)
	for _, i := range []int{0, cap(got) - 1} {
		source := fmt.Sprintf("source_%d", i)
		if err := link.Emit(t.Context(), source, "e", &broker.Message{ID: source, Body: []byte("1")}); err != nil {
			t.Fatalf("emit of %s: %v", source, err)
		}
		if id := receive(t, "the event of "+source, got); id != source {
			t.Errorf("got %q, want %s", id, source)
		}
	}
}
