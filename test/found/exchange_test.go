package found

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/testserver"
)

// deleted is a service on a RabbitMQ of its own and a client, for tests that
// delete what both use.
type deleted struct {
	ch      *amqp091.Channel
	service broker.Broker
	client  *enoki.Client
	handled chan int
	ctx     context.Context
}

func newDeleted(t *testing.T) deleted {
	if rabbit == nil {
		testserver.Skip(t, "RabbitMQ is not installed")
	}
	node := testserver.RabbitMQ(t)
	conn, err := amqp091.Dial(node.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	d := deleted{ch: ch, handled: make(chan int, 10_000), service: dialRabbitMQAt(t, node.URL())}
	run(t, d.service, enoki.Options{}, enoki.NewService("exch",
		enoki.Method("m", func(context.Context) (int, error) { return 1, nil }),
		enoki.On(enoki.NewEvent[int]("exch", "e"), func(_ context.Context, n int) error { d.handled <- n; return nil })))
	d.client = client(t, dialRabbitMQAt(t, node.URL()))
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	t.Cleanup(cancel)
	d.ctx = ctx
	d.emit(t, 0)
	d.call(t)
	return d
}

func (d *deleted) emit(t *testing.T, n int) {
	t.Helper()
	if err := d.client.Emit(d.ctx, "exch", "e", n); err != nil {
		t.Fatalf("event %d: %v", n, err)
	}
	select {
	case got := <-d.handled:
		if got != n {
			t.Fatalf("handled %d, want %d", got, n)
		}
	case <-d.ctx.Done():
		t.Fatalf("event %d was emitted without an error, and is not handled", n)
	}
}

func (d *deleted) call(t *testing.T) {
	t.Helper()
	if _, err := d.client.Call(d.ctx, "exch", "m", nil, nil); err != nil {
		t.Fatalf("a call: %v", err)
	}
}

func (d *deleted) delete(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestExchangesDeleted: exchanges that are deleted under a running service are
// made again, and what uses them next goes its way.
func TestExchangesDeleted(t *testing.T) {
	d := newDeleted(t)
	for n, names := range [][]string{{"exch.events"}, {"nameko-rpc"}, {"exch.events", "nameko-rpc", "enoki.control"}} {
		for _, name := range names {
			d.delete(t, d.ch.ExchangeDelete(name, false, false))
		}
		d.emit(t, n+1)
		d.call(t)
		if err := d.service.Ready(); err != nil {
			t.Errorf("after that: %v", err)
		}
	}
}

// TestBindingsDeleted: the same for bindings alone.
func TestBindingsDeleted(t *testing.T) {
	d := newDeleted(t)
	d.delete(t, d.ch.QueueUnbind("evt-exch-e--exch.exch.e", "e", "exch.events", nil))
	d.emit(t, 1)
	d.delete(t, d.ch.QueueUnbind("rpc-exch", "exch.*", "nameko-rpc", nil))
	d.call(t)
}

// TestExchangeDeletedUnderAnIdleService: nobody emits through this program, so
// the service itself notices, within seconds.
func TestExchangeDeletedUnderAnIdleService(t *testing.T) {
	d := newDeleted(t)
	d.delete(t, d.ch.ExchangeDelete("exch.events", false, false))
	for n := 1; ; n++ {
		_ = d.ch.ExchangeDeclare("exch.events", "topic", true, false, false, false, nil) // as another emitter would
		err := d.ch.Publish("exch.events", "e", false, false, amqp091.Publishing{ContentType: "application/json", Body: []byte("7")})
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-d.handled:
			return
		case <-time.After(100 * time.Millisecond):
		case <-d.ctx.Done():
			t.Fatal("the queue is not bound again")
		}
	}
}

// TestEventThatNoQueueTakes: nobody has ever subscribed, or everybody has left:
// no error. A subscription that was bound, and is not any more: an error.
func TestEventThatNoQueueTakes(t *testing.T) {
	d := newDeleted(t)
	if err := d.client.Emit(d.ctx, "exch", "nobody", 1); err != nil {
		t.Errorf("an event that nobody subscribes to: %v", err)
	}
	// One of Python, which does not bind its queue again.
	if _, err := d.ch.QueueDeclare("python", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if err := d.ch.ExchangeDeclare("py.events", "topic", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if err := d.ch.QueueBind("python", "e", "py.events", false, nil); err != nil {
		t.Fatal(err)
	}
	if err := d.client.Emit(d.ctx, "py", "e", 1); err != nil {
		t.Fatal(err)
	}
	d.delete(t, d.ch.ExchangeDelete("py.events", false, false))
	for range 2 {
		err := d.client.Emit(d.ctx, "py", "e", 2)
		if enoki.CodeOf(err) != enoki.NotDelivered || !strings.Contains(err.Error(), "py.events") {
			t.Errorf("an event whose subscription has lost its binding: %v, want not_delivered and the exchange", err)
		}
	}
	if err := d.ch.QueueBind("python", "e", "py.events", false, nil); err != nil {
		t.Fatal(err)
	}
	if err := d.client.Emit(d.ctx, "py", "e", 3); err != nil {
		t.Errorf("bound again: %v", err)
	}
	if _, err := d.ch.QueueDelete("python", false, false, false); err != nil {
		t.Fatal(err)
	}
	if err := d.client.Emit(d.ctx, "py", "e", 4); err != nil {
		t.Errorf("the subscription was given up: %v", err)
	}
}
