package amqp

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
)

// declareOldLadder makes the ladder of an older Enoki, up to the given level.
func declareOldLadder(s *sniffer, events exchange, top int) {
	headersExchange := func(n int) string {
		if n < 0 {
			return oldLaterExchange
		}
		return fmt.Sprint(oldLaterExchange, ".", n)
	}
	s.declare(events)
	for n := -1; n <= top; n++ {
		s.must(s.ch.ExchangeDeclare(headersExchange(n), "headers", true, false, false, false, nil))
	}
	_, err := s.ch.QueueDeclare("enoki.due.nowhere", true, false, false, false, amqp091.Table{"x-message-ttl": int32(0)})
	s.must(err)
	s.must(s.ch.QueueBind("enoki.due.nowhere", "", oldLaterExchange, false, amqp091.Table{"x-match": "all"}))
	s.must(s.ch.ExchangeBind(events.name, "", oldLaterExchange, false, amqp091.Table{"x-match": "all", headerLater: events.name}))
	for n := range top + 1 {
		q := headersExchange(n)
		_, err := s.ch.QueueDeclare(q, true, false, false, false, amqp091.Table{"x-queue-type": "quorum", "x-overflow": "reject-publish",
			"x-message-ttl": (step << n).Milliseconds(), "x-dead-letter-exchange": headersExchange(n - 1), "x-dead-letter-strategy": "at-least-once"})
		s.must(err)
		s.must(s.ch.QueueBind(q, "", q, false, digit(n, true)))
		s.must(s.ch.ExchangeBind(headersExchange(n-1), "", q, false, digit(n, false)))
	}
}

// TestOldLadderDrains: what waits in the queues of an older Enoki arrives, also
// when they are jammed by what can't be routed.
func TestOldLadderDrains(t *testing.T) {
	d, s := dial(t, Config{}), newSniffer(t)
	source := name("src")
	events := d.eventsOf(source)
	declareOldLadder(s, events, 3)
	for i := range 80 {
		s.publish("", fmt.Sprint(oldLaterExchange, ".", 1+i%2), amqp091.Publishing{Body: fmt.Append(nil, "junk", i)})
	}
	got := make(chan string, 10)
	m := join(t, d, broker.Service{Instance: broker.Instance{Name: name("svc")}, Subscriptions: []broker.Subscription{{Source: source, Event: "e", Handler: "h",
		Handle: func(_ context.Context, m *broker.Message) broker.Settlement {
			got <- string(m.Body)
			return broker.Settlement{}
		}}}})
	defer m.Leave(t.Context())
	way := wire.Table{}
	ladder{top: 3, events: events}.headers(way, 15)
	s.publish(fmt.Sprint(oldLaterExchange, ".3"), "e", amqp091.Publishing{Headers: amqp091.Table(way), DeliveryMode: amqp091.Persistent, Body: []byte("old")})
	if err := d.Emit(within(t, patience), source, "e", &broker.Message{Body: []byte("new"), Due: time.Now().Add(time.Second)}); err != nil {
		t.Fatal(err)
	}
	arrived := map[string]bool{next(t, "an event", got): true, next(t, "another one", got): true}
	if !arrived["old"] || !arrived["new"] {
		t.Errorf("got %v, want old and new", arrived)
	}
	until(t, "the junk is in dead letters", func() error {
		n := 0
		for l, err := range d.DeadLetters(t.Context(), broker.DeadLetterFilter{}) {
			if err != nil {
				return err
			}
			if l.Kind == kindUnroutable {
				n++
			}
		}
		if n < 80 {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
}
