package amqp

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/rabbitmq/amqp091-go"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/uuid"
)

// Each of these ends a Nameko service, or is lost without a word.
func TestMalformedRequestsAreSurvived(t *testing.T) {
	d, s := dial(t, Config{}), newSniffer(t)
	service, key := name("svc"), uuid.New()
	replies := s.bind(rpc, key)
	served := make(chan *broker.Message, 10)
	m := join(t, d, broker.Service{Instance: broker.Instance{Name: service}, Serve: func(_ context.Context, method string, req *broker.Message) *broker.Message {
		served <- req
		reply := &broker.Message{ContentType: jsonType, Body: []byte(`"` + method + `"`)}
		if method == "unreadable" {
			reply.Reject = "no JSON"
		}
		return reply
	}})
	send := func(method string, m amqp091.Publishing) *broker.Message {
		m.Body = []byte("{")
		s.publish(rpc.name, service+"."+method, m)
		return next(t, "the request "+method, served)
	}

	send("no_reply_to", amqp091.Publishing{ContentType: jsonType, CorrelationId: "1"})
	send("reply_to_nowhere", amqp091.Publishing{ContentType: jsonType, CorrelationId: "2", ReplyTo: uuid.New()})

	if m := send("no_correlation_id", amqp091.Publishing{ContentType: jsonType, ReplyTo: key}); !uuid4.MatchString(m.ID) {
		t.Errorf("a request without an id got %q", m.ID)
	}
	if r := next(t, "the reply", replies); r.CorrelationId != "" || string(r.Body) != `"no_correlation_id"` {
		t.Errorf("got reply %q with correlation id %q, want none", r.Body, r.CorrelationId)
	}

	if m := send("no_content_type", amqp091.Publishing{CorrelationId: "3", ReplyTo: key}); m.ContentType != "" {
		t.Errorf("content type %q came from nowhere", m.ContentType)
	}
	if r := next(t, "the reply", replies); r.ContentType != jsonType || r.CorrelationId != "3" {
		t.Errorf("got reply of type %q to %q, want %s to 3", r.ContentType, r.CorrelationId, jsonType)
	}

	send("unreadable", amqp091.Publishing{ContentType: "text/plain", CorrelationId: "4", ReplyTo: key})
	if r := next(t, "the reply", replies); r.ContentType != jsonType || r.CorrelationId != "4" {
		t.Errorf("got reply of type %q to %q, want that of its body, %s, to 4", r.ContentType, r.CorrelationId, jsonType)
	}

	send("unreadable", amqp091.Publishing{ContentType: "text/plain", CorrelationId: "5"})
	until(t, "what can't be answered is a dead letter", func() error {
		for l, err := range d.DeadLetters(t.Context(), broker.DeadLetterFilter{Service: service}) {
			if err != nil {
				return err
			}
			if l.Handler == "unreadable" && l.Reason == "no JSON" && l.Source == "" &&
				l.Attempts == 1 && l.Message.ID == "5" && l.Message.ContentType == "text/plain" && string(l.Message.Body) == "{" {
				return l.Retry(t.Context())
			}
			t.Errorf("a dead letter is %+v with %+v", l.DeadLetter, l.Message)
		}
		return errors.New("it is not there yet")
	})
	if m := next(t, "the request that is retried", served); m.ID != "5" || string(m.Body) != "{" {
		t.Errorf("the retried request is %+v", m)
	}
	until(t, "it is a dead letter again", func() error {
		for l, err := range d.DeadLetters(t.Context(), broker.DeadLetterFilter{Service: service, Handler: "unreadable"}) {
			if err == nil && l.Revived == 1 {
				return nil
			}
		}
		return errors.New("it is not there yet")
	})
	if err := m.Leave(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	if err := empty(s, "rpc-"+service); err != nil {
		t.Errorf("not every request was acked: %v", err)
	}
}

// empty says how many messages wait in a queue.
func empty(s *sniffer, queue string) error {
	q, err := s.ch.QueueDeclarePassive(queue, true, false, false, false, nil)
	if err == nil && q.Messages > 0 {
		err = fmt.Errorf("%d messages in %s", q.Messages, queue)
	}
	return err
}
