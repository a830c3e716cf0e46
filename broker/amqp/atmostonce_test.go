package amqp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rabbitmq/amqp091-go"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/uuid"
)

func once(body string) *broker.Message {
	m := text(body)
	m.AtMostOnce = true
	return m
}

// Nameko's queue keeps its flags beside that of the calls at most once, which
// goes with its last consumer.
func TestQueueOfCallsAtMostOnce(t *testing.T) {
	d, svc := dial(t, Config{}), name("svc")
	m := join(t, d, broker.Service{Instance: broker.Instance{Name: svc}, AtMostOnce: true, Serve: echo})
	if reply, err := d.Call(within(t, patience), svc, "m", once("x")); err != nil || string(reply.Body) != "x" {
		t.Fatalf("got %v and error %v", reply, err)
	}
	queues := func() []string {
		var mine []string
		for _, line := range ctl(t, "list_queues") {
			if strings.Contains(line, svc) {
				mine = append(mine, strings.Join(strings.Fields(line), " "))
			}
		}
		return mine
	}
	if got := queues(); !slices.ContainsFunc(got, func(q string) bool { return strings.HasPrefix(q, "enoki.at-most-once-"+svc) }) {
		t.Errorf("got the queues %q, want that of calls at most once among them", got)
	}
	if err := m.Leave(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	until(t, "Nameko's queue is the only one after the service has left", func() error {
		if got := queues(); len(got) != 1 || !strings.HasPrefix(got[0], "rpc-"+svc) {
			return fmt.Errorf("got the queues %q", got)
		}
		return nil
	})
}

// A service in Python has no queue for calls at most once, and finds nothing
// unusual in its own.
func TestCallAtMostOnceOfPython(t *testing.T) {
	d, s := dial(t, Config{}), newSniffer(t)
	svc := name("svc")
	_, err := s.ch.QueueDeclare("rpc-"+svc, true, false, false, false, nil)
	s.must(err)
	requests := s.bind(rpc, svc+".*")
	failed := make(chan error, 1)
	go func() {
		_, err := d.Call(within(t, patience), svc, "m", once("x"))
		failed <- err
	}()
	r := next(t, "the request", requests)
	if r.RoutingKey != svc+".m" || r.DeliveryMode != amqp091.Persistent || r.ReplyTo != d.replies.key || r.Type != "" || r.Headers[headerLeft] == nil {
		t.Errorf("got request by %q, mode %d, reply to %q, type %q, headers %v", r.RoutingKey, r.DeliveryMode, r.ReplyTo, r.Type, r.Headers)
	}
	s.publish(rpc.name, r.ReplyTo, amqp091.Publishing{CorrelationId: r.CorrelationId})
	if err := next(t, "the call", failed); err != nil {
		t.Error(err)
	}
}

// An instance with too much to do has its callers take the usual way, where
// the broker keeps what waits.
func TestCallsAtMostOnceOverflow(t *testing.T) {
	d, svc := dial(t, Config{}), name("svc")
	gate, started := make(chan struct{}), make(chan struct{}, 4*onceBacklog)
	join(t, dial(t, Config{}), broker.Service{Instance: broker.Instance{Name: svc}, Workers: 1, AtMostOnce: true,
		Serve: func(ctx context.Context, m string, req *broker.Message) *broker.Message {
			started <- struct{}{}
			<-gate
			return echo(ctx, m, req)
		}})
	const calls = onceBacklog + 100
	errs := make(chan error, calls)
	for i := range calls {
		go func() {
			reply, err := d.Call(within(t, patience), svc, "m", once(fmt.Sprint(i)))
			if err == nil && string(reply.Body) != fmt.Sprint(i) {
				err = fmt.Errorf("got reply %q, want %d", reply.Body, i)
			}
			errs <- err
		}()
	}
	until(t, "some calls wait in the usual queue", func() error {
		if len(started) < 2 {
			return errors.New("only calls at most once are being handled")
		}
		return nil
	})
	close(gate)
	for range calls {
		if err := next(t, "a call", errs); err != nil {
			t.Error(err)
		}
	}
}

// The broker drops what it has not read when a connection ends, so the channel
// is closed before.
func TestCloseLosesNothingThatWasSent(t *testing.T) {
	s := newSniffer(t)
	queue := name("sent")
	_, err := s.ch.QueueDeclare(queue, true, false, false, false, nil)
	s.must(err)
	const rounds, each = 5, 2000
	for range rounds {
		d := dial(t, Config{})
		for range each {
			if err := d.Publish(within(t, patience), &Publishing{RoutingKey: queue, Unconfirmed: true, Transient: true, Message: &broker.Message{ID: uuid.New()}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "all that was sent is there", func() error {
		q, err := s.ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		if err == nil && q.Messages != rounds*each {
			err = fmt.Errorf("%d of %d messages", q.Messages, rounds*each)
		}
		return err
	})
}
