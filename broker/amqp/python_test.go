package amqp

import (
	"bytes"
	"context"
	"net"
	"reflect"
	"testing"

	"github.com/rabbitmq/amqp091-go"

	"github.com/enoki-go/enoki/broker"
)

// python writes ints as py-amqp does: with the type L.
type python struct{ net.Conn }

func (p python) Write(b []byte) (int, error) {
	return p.Conn.Write(bytes.ReplaceAll(b, []byte("nameko.bigl"), []byte("nameko.bigL")))
}

// One event with an int of 64 bits from Python must not keep a service from
// working for ever.
func TestLongIntsFromPython(t *testing.T) {
	d := dial(t, Config{})
	source := name("src")
	got := make(chan *broker.Message, 1)
	join(t, d, broker.Service{Instance: broker.Instance{Name: name("svc")}, Subscriptions: []broker.Subscription{
		{Source: source, Event: "e", Handler: "h", Handle: func(_ context.Context, m *broker.Message) broker.Settlement {
			got <- m
			return broker.Settlement{}
		}}}})
	conn, err := amqp091.DialConfig(node.URL(), amqp091.Config{Dial: func(network, addr string) (net.Conn, error) {
		c, err := net.Dial(network, addr)
		return python{c}, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err == nil {
		err = ch.Publish(source+".events", "e", false, false, amqp091.Publishing{
			Headers: amqp091.Table{"nameko.big": int64(-1) << 40, "nameko.after": "x"}, Body: []byte("1")})
	}
	if err != nil {
		t.Fatal(err)
	}
	m := next(t, "the event", got)
	if want := map[string]any{"big": int64(-1) << 40, "after": "x"}; !reflect.DeepEqual(m.Context, want) {
		t.Errorf("context data: got %v, want %v", m.Context, want)
	}
}
