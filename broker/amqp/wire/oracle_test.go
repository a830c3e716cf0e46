package wire

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"
)

// odd makes values of all types that travel and come back as they were.
type odd struct{ *rand.Rand }

func (o odd) value(depth int) any {
	values := []any{nil, true, false, "", "text", "\xff\x00", int32(math.MinInt32), int32(0), int64(math.MaxInt64), int64(math.MinInt64), 1.5, math.MaxFloat64,
		float32(0.25), time.Unix(0, 0), time.Unix(1<<40, 0), []byte{0, 255}, Decimal{Scale: 255, Value: -1}, Table{}}
	n := o.IntN(len(values) + 4)
	switch {
	case n < len(values):
		return values[n]
	case depth > 3:
		return nil
	case n%2 == 0:
		list := make([]any, 1+o.IntN(3)) // of an empty one their reader makes nil
		for i := range list {
			list[i] = o.value(depth + 1)
		}
		return list
	}
	return o.table(depth + 1)
}

func (o odd) table(depth int) Table {
	t := Table{}
	for range 1 + o.IntN(5) {
		t[fmt.Sprint("k", o.IntN(100))] = o.value(depth)
	}
	return t
}

func (o odd) text() string { return string(bytes.Repeat([]byte("é"), o.IntN(120))) }

func (o odd) message() *Message {
	return &Message{Headers: o.table(0), ContentType: o.text(), ContentEncoding: o.text(), DeliveryMode: uint8(1 + o.IntN(2)), Priority: uint8(o.IntN(10)),
		CorrelationID: o.text(), ReplyTo: o.text(), Expiration: fmt.Sprint(1_000_000 + o.IntN(1000)), MessageID: o.text(),
		Timestamp: time.Unix(o.Int64N(1<<33), 0), Type: o.text(), UserID: "guest", AppID: o.text(), Body: bytes.Repeat([]byte{1}, o.IntN(10_000))}
}

// theirs turns a value of ours into one of the other client's.
func theirs(v any) any {
	switch v := v.(type) {
	case Table:
		t := amqp091.Table{}
		for k, e := range v {
			t[k] = theirs(e)
		}
		return t
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = theirs(e)
		}
		return list
	case Decimal:
		return amqp091.Decimal{Scale: v.Scale, Value: v.Value}
	}
	return v
}

func publishing(m *Message) amqp091.Publishing {
	return amqp091.Publishing{Headers: theirs(m.Headers).(amqp091.Table), ContentType: m.ContentType, ContentEncoding: m.ContentEncoding, DeliveryMode: m.DeliveryMode,
		Priority: m.Priority, CorrelationId: m.CorrelationID, ReplyTo: m.ReplyTo, Expiration: m.Expiration, MessageId: m.MessageID,
		Timestamp: m.Timestamp, Type: m.Type, UserId: m.UserID, AppId: m.AppID, Body: m.Body}
}

// What we send, RabbitMQ's own client reads as it was meant, and the other way
// round, whatever the message.
func TestAsRabbitMQsClientHasIt(t *testing.T) {
	address(t)
	conn, err := amqp091.Dial(node.URL())
	must(t, err)
	defer conn.Close()
	other, err := conn.Channel()
	must(t, err)
	ch := channel(t, open(t, Config{}))
	toUs, toThem := declare(t, ch, Queue{}), declare(t, ch, Queue{})
	deliver, got := collect()
	must(t, ch.Consume(within(t), Consumption{Queue: toUs, NoAck: true}, deliver))
	read, err := other.Consume(toThem, "", true, false, false, false, nil)
	must(t, err)
	o := odd{rand.New(rand.NewPCG(1, 2))}
	for range 300 {
		m := o.message()
		ch.Publish(to(t, toThem, m), nil)
		d := next(t, "the message there", read)
		sent := amqp091.Publishing{Headers: d.Headers, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: d.DeliveryMode,
			Priority: d.Priority, CorrelationId: d.CorrelationId, ReplyTo: d.ReplyTo, Expiration: d.Expiration, MessageId: d.MessageId,
			Timestamp: d.Timestamp, Type: d.Type, UserId: d.UserId, AppId: d.AppId, Body: d.Body}
		if want := publishing(m); !reflect.DeepEqual(sent, want) {
			t.Fatalf("they got %.1000v, want %.1000v", fmt.Sprint(sent), fmt.Sprint(want))
		}
		must(t, other.Publish("", toUs, false, false, publishing(m)))
		if d := next(t, "the message here", got); !reflect.DeepEqual(&d.Message, m) {
			t.Fatalf("we got %.1000v, want %.1000v", fmt.Sprint(d.Message), fmt.Sprint(*m))
		}
	}
}
