package amqp

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/enoki-go/enoki/broker"
)

// receiver handles messages by handing them on.
func receiver(got chan<- *Received, verdict func(m *Received) broker.Settlement) func(context.Context, *Received) broker.Settlement {
	return func(_ context.Context, m *Received) broker.Settlement {
		got <- m
		return verdict(m)
	}
}

func TestConsume(t *testing.T) {
	d, s := dial(t, Config{}), newSniffer(t)
	orders := Exchange{Name: name("orders"), Type: "topic"}
	queue := Queue{Name: name("orders-in"), Exchange: orders, RoutingKey: "new.#", Bindings: []Binding{{Exchange: orders, RoutingKey: "old.#"}}}
	got := make(chan *Received, 10)
	settlements := map[string]broker.Settlement{
		"again": {Verdict: broker.Retry, Delay: 10 * time.Millisecond}, "back": {Verdict: broker.HandBack}, "never": {Verdict: broker.Reject, Reason: "no use"},
	}
	member, err := d.Consume(within(t, patience), Consumption{Service: "shop", Queue: queue, Prefetch: 1,
		Handle: receiver(got, func(m *Received) broker.Settlement {
			if m.Redelivered || m.Attempt > 1 {
				return broker.Settlement{}
			}
			return settlements[string(m.Body)]
		})})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(member.Ready(), d.Ready()); err != nil {
		t.Error(err)
	}
	for _, body := range []string{"done", "again", "back", "never"} {
		s.publish(orders.Name, "old."+body, amqp091.Publishing{Body: []byte(body), ContentType: "text/plain", ReplyTo: "r", Headers: amqp091.Table{"nameko.language": "de"}})
		times := 1
		if body == "again" || body == "back" {
			times = 2
		}
		for n := 1; n <= times; n++ {
			m := next(t, "the message", got)
			if string(m.Body) != body || m.Exchange != orders.Name || m.RoutingKey != "old."+body || m.Context["language"] != "de" || m.ContentType != "text/plain" {
				t.Errorf("%s, time %d: got %+v", body, n, m)
			}
			if body == "again" && m.Attempt != n || body == "back" && m.Redelivered != (n == 2) {
				t.Errorf("%s, time %d: attempt %d, redelivered %v", body, n, m.Attempt, m.Redelivered)
			}
		}
	}
	until(t, "the dead letter is kept", func() error {
		for l, err := range d.DeadLetters(within(t, patience), broker.DeadLetterFilter{Service: "shop", Handler: queue.Name}) {
			if err != nil || l.Reason != "no use" {
				return fmt.Errorf("got %+v and error %v", l, err)
			}
			return l.Retry(t.Context())
		}
		return errors.New("it is not there yet")
	})
	if m := next(t, "the retried message", got); string(m.Body) != "never" || m.Exchange != orders.Name || m.RoutingKey != "old.never" || m.Attempt != 1 {
		t.Errorf("the retried message is %+v", m)
	}
	if err := member.Leave(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	s.publish(orders.Name, "new.late", amqp091.Publishing{Body: []byte("late")})
	if late := next(t, "the message that came later", s.consume(queue.Name)); string(late.Body) != "late" {
		t.Errorf("got %q", late.Body)
	}
}

func TestConsumeFails(t *testing.T) {
	d, s := dial(t, Config{}), newSniffer(t)
	other := name("other")
	_, err := s.ch.QueueDeclare(other, true, true, false, false, nil)
	s.must(err)
	handle := receiver(nil, nil)
	for what, test := range map[string]struct {
		c    Consumption
		want string
	}{
		"no function":  {Consumption{Queue: Queue{Name: "q"}}, "no function"},
		"no name":      {Consumption{Handle: handle}, "no name"},
		"other flags":  {Consumption{Queue: Queue{Name: other}, Handle: handle}, "rabbitmqctl -p / delete_queue " + other},
		"not there":    {Consumption{Queue: Queue{Name: name("nowhere"), Undeclared: true}, Handle: handle}, "told not to declare it"},
		"not exchange": {Consumption{Queue: Queue{Name: name("q"), Exchange: Exchange{Name: name("nowhere"), Undeclared: true}}, Handle: handle}, "told not to declare it"},
	} {
		ctx := within(t, patience)
		_, err := d.Consume(ctx, test.c)
		if !strings.Contains(fmt.Sprint(err), test.want) || ctx.Err() != nil {
			t.Errorf("%s: got %v, want at once %q", what, err, test.want)
		}
	}
	if err := d.Ready(); err != nil {
		t.Errorf("the link has suffered: %v", err)
	}
}

// The bodies were made by Python: zlib.compress and bz2.compress.
func TestCompressedBodies(t *testing.T) {
	d, s := dial(t, Config{}), newSniffer(t)
	queue := Queue{Name: name("compressed")}
	got := make(chan *Received, 10)
	_, err := d.Consume(within(t, patience), Consumption{Service: "shop", Queue: queue,
		Handle: receiver(got, func(*Received) broker.Settlement { return broker.Settlement{} })})
	if err != nil {
		t.Fatal(err)
	}
	bomb := deflate(make([]byte, maxInflated+1))
	for _, test := range []struct{ compression, body, wantType, wantBody string }{
		{"application/x-gzip", fromBase64(t, "eJyrVkosSi9WslKIVqrKyUxSitVRUMouh4pV19YCAKdjCmI="), jsonType, `{"args": ["zlib"], "kwargs": {}}`},
		{"application/x-bz2", fromBase64(t, "QlpoOTFBWSZTWWsDF6oAAA2bgFAEEBAACjCIGJogACGp6gND1HqChppgAnUIWeLw8ihDLBQ6G/QV8XckU4UJBrAxeqA="), jsonType, `{"args": ["bz2"], "kwargs": {}}`},
		{"application/x-bz2", "broken", "application/x-bz2", "broken"},
		{"application/x-lzma", "???", "application/x-lzma", "???"},
		{"application/x-gzip", string(bomb), "application/x-gzip", string(bomb)},
		{"", "1", jsonType, "1"},
	} {
		s.publish("", queue.Name, amqp091.Publishing{ContentType: jsonType, Body: []byte(test.body),
			Headers: amqp091.Table{"compression": test.compression, "foo": "bar"}})
		m := next(t, "the message", got)
		if m.ContentType != test.wantType || string(m.Body) != test.wantBody || !reflect.DeepEqual(m.Context, map[string]any{"foo": "bar"}) {
			t.Errorf("%s: got %s %.80q with context %v, want %s %.80q", test.compression, m.ContentType, m.Body, m.Context, test.wantType, test.wantBody)
		}
	}
}

// fromBase64 returns the bytes that Python printed by base64.b64encode.
func fromBase64(t testing.TB, text string) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
