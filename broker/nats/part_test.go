package nats_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/nats"
	"github.com/enoki-go/enoki/broker/nats/embedded"
)

// TestPart parts the stream that earlier versions kept all events in, while one
// service emits, one handles in order, and one is down.
func TestPart(t *testing.T) {
	for name, interrupted := range map[string]bool{"in one go": false, "interrupted": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := startEmbedded(t, embedded.Options{})
			js := jetStream(t, server)
			share(t, js)
			p := startParted(t, server)
			p.emitMany(t, 200)
			if interrupted {
				ctx, cancel := context.WithCancel(t.Context())
				err := open(t, nats.Config{InProcess: server}).Part(ctx, func([]broker.Waiting) { cancel() })
				if !errors.Is(err, context.Canceled) {
					t.Fatalf("Part: %v, want that it was cancelled", err)
				}
				close(p.gate)
				eventually(t, func() error { return p.isOver(t, js, "evt+comments+posted+push+on_posted") })
			}
			parted := make(chan error, 1)
			began, ended := make(chan struct{}), false
			go func() {
				parted <- open(t, nats.Config{InProcess: server}).Part(t.Context(), func(waiting []broker.Waiting) {
					if !ended {
						ended = true
						close(began)
					}
				})
			}()
			receive(t, "that it begins to wait", began)
			p.emitMany(t, 200)
			if !interrupted {
				close(p.gate)
			}
			select {
			case err := <-parted:
				t.Fatalf("Part: %v, while one service has not handled its events", err)
			case <-time.After(time.Second): // it must not happen, however long it is waited for
			}
			p.join(t, "mail", p.mail) // which was down
			if err := receive(t, "the end of Part", parted); err != nil {
				t.Fatal(err)
			}
			p.finish(t)
			if _, err := js.Stream(t.Context(), "ENOKI_EVENTS"); !errors.Is(err, jetstream.ErrStreamNotFound) {
				t.Errorf("the shared stream: %v, want none", err)
			}
			if err := open(t, nats.Config{InProcess: server}).Part(t.Context(), nil); err != nil {
				t.Errorf("Part of what is parted: %v", err)
			}
		})
	}
}

// TestPartBesideEarlierVersions: where an instance of an earlier version runs,
// everything stays as it is.
func TestPartBesideEarlierVersions(t *testing.T) {
	server := startEmbedded(t, embedded.Options{})
	js := jetStream(t, server)
	share(t, js)
	got := make(chan string, 10)
	join(t, open(t, nats.Config{InProcess: server}), handles(func(_ context.Context, m *broker.Message) broker.Settlement {
		got <- m.ID
		return broker.Settlement{}
	}))
	sub, err := connect(t, server.URL()).Subscribe("$SRV.INFO", func(msg *natsgo.Msg) {
		_ = msg.Respond([]byte(`{"name":"old","id":"old-1","version":"0.0.0","metadata":{"enoki":"{\"name\":\"old\"}"}}`))
	})
	if err != nil {
		t.Fatal(err)
	}
	link := open(t, nats.Config{InProcess: server})
	if err := link.Part(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "old old-1") {
		t.Errorf("Part: %v, want an error that names the instance", err)
	}
	stream, err := js.Stream(t.Context(), "ENOKI_EVENTS")
	if err != nil || stream.CachedInfo().Config.Subjects[0] != "enoki.events.>" {
		t.Fatalf("the shared stream is not as it was: %v", err)
	}
	emit(t, link, "still shared")
	receive(t, "the event", got)

	if err := sub.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "archive", FilterSubject: "enoki.events.>", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Fatal(err)
	}
	if err := link.Part(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "archive") {
		t.Errorf("Part: %v, want an error that names the consumer of somebody else", err)
	}
	emit(t, link, "and again")
	receive(t, "the event", got)
}

// share makes the stream of earlier versions.
func share(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "ENOKI_EVENTS", Subjects: []string{"enoki.events.>"}, Retention: jetstream.InterestPolicy, Discard: jetstream.DiscardNew, MaxBytes: 64 << 20,
	}); err != nil {
		t.Fatal(err)
	}
}

// parting is a cluster whose stream is parted.
type parting struct {
	server     *embedded.Server
	emitter    *nats.Driver
	gate       chan struct{} // held shut, the first event of push waits
	push, mail chan string
	emitted    int
}

func startParted(t *testing.T, server *embedded.Server) *parting {
	p := &parting{server: server, emitter: open(t, nats.Config{InProcess: server}), gate: make(chan struct{}),
		push: make(chan string, 10_000), mail: make(chan string, 10_000)}
	if err := p.join(t, "mail", p.mail).Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.join(t, "push", p.push)
	return p
}

// join joins a service that handles in order and retries each tenth event once.
func (p *parting) join(t *testing.T, service string, got chan<- string) broker.Member {
	var count atomic.Int64
	s := broker.Service{Instance: broker.Instance{Name: service, ID: service + "-1"}, Workers: 4, Subscriptions: []broker.Subscription{{
		Source: "comments", Event: "posted", Handler: "on_posted", OrderBy: func(*broker.Message) string { return "one key" },
		Handle: func(ctx context.Context, m *broker.Message) broker.Settlement {
			select {
			case <-p.gate:
			case <-ctx.Done():
				return broker.Settlement{Verdict: broker.HandBack}
			}
			if m.Attempt == 1 && count.Add(1)%10 == 0 {
				return broker.Settlement{Verdict: broker.Retry}
			}
			got <- m.ID
			return broker.Settlement{}
		},
	}}}
	return join(t, open(t, nats.Config{InProcess: p.server}), s)
}

func (p *parting) emitMany(t *testing.T, n int) {
	t.Helper()
	for range n {
		id := fmt.Sprintf("%05d", p.emitted)
		if err := p.emitter.Emit(t.Context(), "comments", "posted", &broker.Message{ID: id}); err != nil {
			t.Fatal(err)
		}
		p.emitted++
	}
}

// isOver tells whether a consumer has only its twin.
func (p *parting) isOver(t *testing.T, js jetstream.JetStream, consumer string) error {
	if _, err := js.Consumer(t.Context(), "ENOKI_EVENTS", consumer); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("the consumer in the shared stream is there: %w", err)
	}
	_, err := js.Consumer(t.Context(), "ENOKI_EVENTS_comments", consumer)
	return err
}

// finish sees that both services have got each event once, in order.
func (p *parting) finish(t *testing.T) {
	t.Helper()
	p.emitMany(t, 10)
	for service, got := range map[string]chan string{"push": p.push, "mail": p.mail} {
		for i := range p.emitted {
			if id := receive(t, "an event of "+service, got); id != fmt.Sprintf("%05d", i) {
				t.Fatalf("%s got event %s as number %d", service, id, i)
			}
		}
	}
}
