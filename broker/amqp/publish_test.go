package amqp

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/enoki-go/enoki/broker"
)

func TestPublishOnTheWire(t *testing.T) {
	d, s := dial(t, Config{}), newSniffer(t)
	orders := Exchange{Name: name("orders"), Type: "topic"}
	queue := Queue{Name: name("queue"), Exchange: orders, RoutingKey: "new.#", Arguments: map[string]any{"x-max-priority": 5}}
	at := time.Unix(1_600_000_000, 0)
	m := text(`{"id": 1}`)
	m.Context = map[string]any{"language": "de", "both": "context"}
	p := &Publishing{
		Exchange: orders.Name, RoutingKey: "new.order", Declare: []Declaration{orders, queue}, Message: m, Mandatory: true,
		Headers:   map[string]any{"x-kind": "order", "n": 7, "nameko.both": "header", "list": []any{1, "a"}},
		Transient: true, Priority: 3, Expiration: 10 * time.Second, Compression: "gzip",
		CorrelationID: "c-1", ReplyTo: "answers", Type: "order", AppID: "shop", Timestamp: at,
	}
	if err := d.Publish(within(t, patience), p); err != nil {
		t.Fatal(err)
	}
	got := next(t, "the message", s.consume(queue.Name))
	wantHeaders := amqp091.Table{"x-kind": "order", "n": int32(7), "list": []any{int32(1), "a"},
		"nameko.language": "de", "nameko.both": "context", "compression": "application/x-gzip"}
	if !reflect.DeepEqual(got.Headers, wantHeaders) {
		t.Errorf("headers: got %#v, want %#v", got.Headers, wantHeaders)
	}
	want := amqp091.Delivery{RoutingKey: "new.order", Exchange: orders.Name, MessageId: m.ID, ContentType: jsonType, ContentEncoding: "utf-8",
		DeliveryMode: 1, Priority: 3, Expiration: "10000", CorrelationId: "c-1", ReplyTo: "answers", Type: "order", AppId: "shop", Timestamp: at}
	got.Acknowledger, got.ConsumerTag, got.DeliveryTag, got.Headers = nil, "", 0, nil
	body := got.Body
	got.Body = nil
	if !got.Timestamp.Equal(at) {
		t.Errorf("timestamp %v, want %v", got.Timestamp, at)
	}
	got.Timestamp = at
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	z, err := zlib.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatalf("the body is no zlib stream: %v", err)
	}
	if plain, err := io.ReadAll(z); string(plain) != `{"id": 1}` {
		t.Errorf("decompressed body %q, error %v", plain, err)
	}
}

// The defaults are those of Nameko's Publisher.
func TestPublishDefaults(t *testing.T) {
	d, s := dial(t, Config{}), newSniffer(t)
	queue := Queue{Name: name("queue")}
	m := &broker.Message{ContentType: jsonType, Body: []byte("1")}
	for _, unconfirmed := range []bool{false, true} {
		p := &Publishing{RoutingKey: queue.Name, Declare: []Declaration{queue}, Message: m, Unconfirmed: unconfirmed}
		if err := d.Publish(within(t, patience), p); err != nil {
			t.Fatal(err)
		}
	}
	deliveries := s.consume(queue.Name)
	for range 2 {
		got := next(t, "the message", deliveries)
		if got.DeliveryMode != 2 || got.Expiration != "" || got.Priority != 0 || got.CorrelationId != "" || !uuid4.MatchString(got.MessageId) || len(got.Headers) > 0 {
			t.Errorf("got %+v", got)
		}
	}
}

func TestPublishFails(t *testing.T) {
	d, s := dial(t, Config{}), newSniffer(t)
	there := Exchange{Name: name("there")}
	s.must(s.ch.ExchangeDeclare(there.Name, "direct", true, false, false, false, nil))
	long := strings.Repeat("x", 300)
	for what, test := range map[string]struct {
		p    Publishing
		want string
	}{
		"no queue":        {Publishing{Exchange: there.Name, Declare: []Declaration{there}, Mandatory: true}, "no queue takes it"},
		"no exchange":     {Publishing{Exchange: name("nowhere")}, "no exchange"},
		"other flags":     {Publishing{Exchange: there.Name, Declare: []Declaration{Exchange{Name: there.Name, Type: "fanout"}}}, "type 'direct', but 'fanout' is needed"},
		"compression":     {Publishing{Compression: "lzma"}, `compression is "lzma", want gzip or zlib`},
		"expiration":      {Publishing{Expiration: -1}, "expiration is -1ns"},
		"header":          {Publishing{Headers: map[string]any{"h": make(chan int)}}, "chan int can't travel"},
		"nameless queue":  {Publishing{Declare: []Declaration{Queue{}}}, "no name"},
		"queue arguments": {Publishing{Declare: []Declaration{Queue{Name: "q", Arguments: map[string]any{"x": struct{}{}}}}}, `queue "q": arguments`},
		"long type":       {Publishing{Type: long}, "the type has 300 bytes"},
		"long app id":     {Publishing{AppID: long}, "the app id has 300 bytes"},
		"long encoding":   {Publishing{ContentEncoding: long}, "the content encoding has 300 bytes"},
	} {
		test.p.Message = text("1")
		err := d.Publish(within(t, patience), &test.p)
		if !errors.Is(err, broker.ErrNotDelivered) || !strings.Contains(fmt.Sprint(err), test.want) {
			t.Errorf("%s: got %v, want ErrNotDelivered that says %q", what, err, test.want)
		}
	}
	s.must(s.ch.ExchangeDelete(there.Name, false, false))
	ok := &Publishing{Exchange: there.Name, Declare: []Declaration{there}, Message: text("1")}
	if err := d.Publish(within(t, patience), ok); err != nil {
		t.Errorf("publish to an exchange that was deleted since: %v", err)
	}
}
