package amqp

import (
	"context"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/uuid"
)

// patience bounds every wait: RabbitMQ and its tools take seconds on a busy
// machine.
const patience = time.Minute

// sniffer is a second client of the same broker, as a Python service would be
// one.
type sniffer struct {
	t  testing.TB
	ch *amqp091.Channel
}

func newSniffer(t testing.TB) *sniffer {
	t.Helper()
	conn, err := amqp091.Dial(rabbit(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	s := &sniffer{t: t}
	s.ch, err = conn.Channel()
	s.must(err)
	return s
}

func (s *sniffer) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// declare declares as the driver does.
func (s *sniffer) declare(t topology) {
	s.t.Helper()
	c := Config{URL: rabbit(s.t).URL()}.withDefaults()
	a, err := c.address()
	s.must(err)
	l, _ := newLinks(a, c)
	ctx := within(s.t, patience)
	session, err := l.dial(ctx)
	s.must(err)
	defer session.close()
	ch, err := session.Channel(ctx)
	s.must(err)
	s.must(t.declare(ctx, ch))
}

// bind returns what is published to the exchange with a matching key.
func (s *sniffer) bind(e exchange, key string) <-chan amqp091.Delivery {
	s.t.Helper()
	s.declare(e)
	q, err := s.ch.QueueDeclare("", false, true, true, false, nil)
	s.must(err)
	s.must(s.ch.QueueBind(q.Name, key, e.name, false, nil))
	return s.consume(q.Name)
}

func (s *sniffer) consume(queue string) <-chan amqp091.Delivery {
	s.t.Helper()
	deliveries, err := s.ch.Consume(queue, "", true, false, false, false, nil)
	s.must(err)
	return deliveries
}

func (s *sniffer) publish(exchange, key string, m amqp091.Publishing) {
	s.t.Helper()
	s.must(s.ch.Publish(exchange, key, false, false, m))
}

// next returns what comes from ch, or fails the test when nothing does.
func next[T any](t testing.TB, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v, ok := <-ch:
		if !ok {
			t.Fatalf("waited for %s, the channel was closed", what)
		}
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("not reached")
	}
}

// until looks again and again until look returns nil. It is for things that
// send no signal.
func until(t testing.TB, what string, look func() error) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		err := look()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// name makes s unique to this test run.
func name(s string) string { return s + "-" + uuid.New()[:8] }

func join(t testing.TB, d *Driver, s broker.Service) broker.Member {
	t.Helper()
	if s.ID == "" {
		s.ID = uuid.New()
	}
	s.Workers = max(s.Workers, 2)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	m, err := d.Join(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func text(body string) *broker.Message {
	return &broker.Message{ID: uuid.New(), ContentType: jsonType, Body: []byte(body)}
}

// echo replies with what it got.
func echo(_ context.Context, _ string, req *broker.Message) *broker.Message {
	return &broker.Message{ContentType: jsonType, Body: req.Body}
}
