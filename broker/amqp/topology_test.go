package amqp

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/enoki-go/enoki/broker"
)

func TestJoinSaysWhatIsInTheWay(t *testing.T) {
	d, s := dial(t, Config{}), newSniffer(t)
	service, source := name("svc"), name("src")
	_, err := s.ch.QueueDeclare("rpc-"+service, false, false, false, false, nil)
	s.must(err)
	t.Cleanup(func() { _, _ = s.ch.QueueDelete("rpc-"+service, false, false, false) })
	s.must(s.ch.ExchangeDeclare(source+".events", "topic", true, true, false, false, nil))

	_, err = d.Join(within(t, patience), broker.Service{Instance: broker.Instance{Name: service, ID: "1"}, Workers: 1, Serve: echo})
	wantText(t, err, service, `queue "rpc-`+service+`"`, "durable 'false'", "'true' is needed", "rabbitmqctl -p / delete_queue rpc-"+service)

	sub := broker.Subscription{Source: source, Event: "e", Handler: "h", Handle: func(context.Context, *broker.Message) broker.Settlement { return broker.Settlement{} }}
	_, err = d.Join(within(t, patience), broker.Service{Instance: broker.Instance{Name: service, ID: "2"}, Workers: 1, Subscriptions: []broker.Subscription{sub}})
	wantText(t, err, `exchange "`+source+`.events"`, "auto_delete 'true'", "'false' is needed", "AUTO_DELETE_EVENT_EXCHANGES")

	wantText(t, d.Emit(within(t, patience), source, "e", text("")), "not delivered", `exchange "`+source+`.events"`, "auto_delete 'true'")
	if err := d.Ready(); err != nil {
		t.Errorf("the link has suffered from a Join that failed: %v", err)
	}
	instances, err := d.Services(within(t, patience))
	for _, i := range instances {
		if i.Name == service {
			t.Errorf("the instance %s is shown, though its Join failed (error %v)", i.ID, err)
		}
	}
}

func wantText(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(fmt.Sprint(err), p) {
			t.Errorf("got error %q, want one that says %q", fmt.Sprint(err), p)
		}
	}
}

func TestQueueDeletedUnderItsConsumer(t *testing.T) {
	d, s := dial(t, Config{}), newSniffer(t)
	service := name("svc")
	m := join(t, d, broker.Service{Instance: broker.Instance{Name: service}, Serve: echo})
	_, err := s.ch.QueueDelete("rpc-"+service, false, false, false)
	s.must(err)
	until(t, "the service answers again", func() error {
		_, err := d.Call(within(t, patience), service, "m", text(""))
		return err
	})
	until(t, "Ready is nil", m.Ready) // it may answer a moment before

	// While somebody else has it with other flags, Ready says so.
	until(t, "Ready says what is in the way", func() error {
		if m.Ready() == nil { // the member may have been faster than we
			ch := newSniffer(t).ch
			_, deleted := ch.QueueDelete("rpc-"+service, false, false, false)
			_, declared := ch.QueueDeclare("rpc-"+service, false, false, false, false, nil)
			return fmt.Errorf("got nil (%v, %v)", deleted, declared)
		}
		for _, err := range []error{m.Ready(), d.Ready()} {
			if !strings.Contains(fmt.Sprint(err), "delete_queue rpc-"+service) {
				return fmt.Errorf("got %v", err)
			}
		}
		return nil
	})
	_, err = s.ch.QueueDelete("rpc-"+service, false, false, false)
	s.must(err)
	until(t, "Ready is nil again", m.Ready)
	if _, err := d.Call(within(t, patience), service, "m", text("")); err != nil {
		t.Error(err)
	}
}
