package nameko_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/nameko"
)

type order struct {
	ID   int    `json:"id"`
	Item string `json:"item"`
}

// A service publishes, another one consumes: payload, context data and call
// stack arrive, options of the call go before those of the declaration.
func TestPublishAndConsume(t *testing.T) {
	d := dial(t)
	orders := nameko.Exchange{Name: name("orders"), Type: "topic"}
	queue := nameko.Queue{Name: name("stock"), Exchange: orders, RoutingKey: "new.#", Arguments: map[string]any{"x-max-priority": 3}}
	type received struct {
		order order
		data  map[string]any
		stack []string
	}
	got := make(chan received, 1)
	var publish nameko.Publisher[order]
	buy := func(ctx context.Context, id int) error {
		return publish(enoki.WithContextData(ctx, "language", "de"), order{id, "book"}, nameko.RoutingKey("new.book"),
			nameko.Header("kind", "call"), nameko.Priority(2))
	}
	sent := make(chan string, 10)
	middleware := func(next enoki.Handler) enoki.Handler {
		return func(ctx context.Context, c *enoki.Call) error {
			sent <- fmt.Sprintf("%s %s.%s outgoing %v %v", c.Kind, c.Service, c.Method, c.Outgoing, c.Args())
			return next(ctx, c)
		}
	}
	run(t, d, enoki.Options{CallMiddleware: []enoki.Middleware{middleware}},
		enoki.NewService("stock", nameko.Consume(queue, func(ctx context.Context, o order) error {
			got <- received{o, enoki.ContextData(ctx), enoki.CallStack(ctx)}
			return nil
		})),
		enoki.NewService("shop", enoki.Method("buy", buy, "id"), nameko.Publishes(orders, &publish,
			nameko.RoutingKey("old"), nameko.Header("kind", "declaration"), nameko.Header("shop", int64(7)), nameko.Mandatory(true))))
	if _, err := enoki.NewClient(d, nil).Call(t.Context(), "shop", "buy", []any{1}, nil); err != nil {
		t.Fatal(err)
	}
	r := next(t, "the order", got)
	if r.order != (order{1, "book"}) {
		t.Errorf("got %+v", r.order)
	}
	if want := map[string]any{"language": "de", "kind": "call", "shop": int64(7)}; !reflect.DeepEqual(r.data, want) {
		t.Errorf("context data: got %v, want %v", r.data, want)
	}
	if len(r.stack) != 3 || !strings.HasPrefix(r.stack[1], "shop.buy.") || !strings.HasPrefix(r.stack[2], "stock."+queue.Name+".") {
		t.Errorf("call stack %q", r.stack)
	}
	if s, want := next(t, "what call middleware sees", sent), "message shop."+orders.Name+" outgoing true [{1 book}]"; s != want {
		t.Errorf("call middleware saw %q, want %q", s, want)
	}

	// The first one that no queue takes is an error, as the declaration says,
	// and the second none, as the call says.
	err := publish(t.Context(), order{}, nameko.RoutingKey("nobody"))
	if !errors.Is(err, enoki.NotDelivered) || !strings.Contains(fmt.Sprint(err), `publisher to exchange "`+orders.Name+`", routing key "nobody"`) {
		t.Errorf("got %v, want NotDelivered that names exchange and key", err)
	}
	if err := publish(t.Context(), order{}, nameko.RoutingKey("nobody"), nameko.Mandatory(false)); err != nil {
		t.Error(err)
	}
	if err := publish(t.Context(), order{2, "pen"}, nameko.RoutingKey("new"), nameko.Confirms(false), nameko.Compression("gzip")); err != nil {
		t.Error(err)
	}
	if r := next(t, "the unconfirmed order", got); r.order.Item != "pen" || len(r.stack) != 2 {
		t.Errorf("got %+v", r)
	}
}

// Everything that a queue can hold finds a type that reads it.
func TestPayloads(t *testing.T) {
	d := dial(t)
	queue := func(s string) nameko.Queue { return nameko.Queue{Name: name(s)} }
	bytesIn, textIn, allIn, typedIn := queue("bytes"), queue("text"), queue("all"), queue("typed")
	got := make(chan string, 10)
	var text nameko.Publisher[string]
	var raw nameko.Publisher[[]byte]
	var typed nameko.Publisher[order]
	var log lines
	run(t, d, enoki.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, enoki.NewService("reader",
		nameko.Consume(bytesIn, func(_ context.Context, b []byte) error { got <- fmt.Sprintf("bytes %q", b); return nil }),
		nameko.Consume(textIn, func(_ context.Context, s string) error { got <- "text " + s; return nil }),
		nameko.Consume(allIn, func(_ context.Context, m nameko.Message) error {
			got <- fmt.Sprintf("all %s %s %q %s", m.ContentType, m.RoutingKey[:3], m.Body, m.ReplyTo)
			return nil
		}, nameko.Prefetch(1), nameko.Named("everything")),
		nameko.Consume(typedIn, func(_ context.Context, o *order) error { got <- "typed " + o.Item; return nil }),
		nameko.Publishes(nameko.Exchange{}, &text), nameko.Publishes(nameko.Exchange{}, &raw), nameko.Publishes(nameko.Exchange{}, &typed)))

	for _, test := range []struct {
		want string
		send func() error
	}{
		{`bytes "\"a\""`, func() error { return text(t.Context(), "a", nameko.RoutingKey(bytesIn.Name)) }},
		{`bytes "a\xff"`, func() error { return raw(t.Context(), []byte("a\xff"), nameko.RoutingKey(bytesIn.Name)) }},
		{`bytes "{\"id\":1,\"item\":\"pen\"}"`, func() error { return typed(t.Context(), order{1, "pen"}, nameko.RoutingKey(bytesIn.Name)) }},
		{`text a`, func() error { return text(t.Context(), "a", nameko.RoutingKey(textIn.Name)) }},
		{`text ä`, func() error {
			return text(t.Context(), "ä", nameko.RoutingKey(textIn.Name), nameko.ContentType("text/plain; charset=utf-8"))
		}},
		{`text a`, func() error { return raw(t.Context(), []byte("a"), nameko.RoutingKey(textIn.Name)) }},
		{`all application/data all "a" `, func() error { return raw(t.Context(), []byte("a"), nameko.RoutingKey(allIn.Name)) }},
		{`all application/text all "a" r`, func() error {
			return text(t.Context(), "a", nameko.RoutingKey(allIn.Name), nameko.ContentType("application/text"),
				nameko.ReplyTo("r"), nameko.Compression("gzip"))
		}},
		{`typed pen`, func() error { return typed(t.Context(), order{1, "pen"}, nameko.RoutingKey(typedIn.Name)) }},
	} {
		if err := test.send(); err != nil {
			t.Errorf("%s: %v", test.want, err)
			continue
		}
		if s := next(t, test.want, got); s != test.want {
			t.Errorf("got %s, want %s", s, test.want)
		}
	}
	err := typed(t.Context(), order{}, nameko.ContentType("text/plain"))
	if !errors.Is(err, enoki.InvalidArgument) || !strings.Contains(fmt.Sprint(err), "must be a string or []byte, not a nameko_test.order") {
		t.Errorf("text/plain of a struct: got %v", err)
	}

	// What can't be read is kept, and the service lives on.
	if err := text(t.Context(), "no order", nameko.RoutingKey(typedIn.Name)); err != nil {
		t.Fatal(err)
	}
	if err := typed(t.Context(), order{1, "last"}, nameko.RoutingKey(typedIn.Name)); err != nil {
		t.Fatal(err)
	}
	if s := next(t, "the next one", got); s != "typed last" {
		t.Errorf("got %s", s)
	}
	letter := deadLetter(t, d, typedIn.Name)
	if letter.Service != "reader" || !strings.Contains(letter.Reason, "got string") || string(letter.Message.Body) != `"no order"` {
		t.Errorf("dead letter %+v with body %s", letter, letter.Message.Body)
	}
	if want := "message cannot be read and is kept as a dead letter"; !strings.Contains(log.String(), want) {
		t.Errorf("no %q in the log:\n%s", want, &log)
	}
}

// deadLetter waits for the one of a handler.
func deadLetter(t *testing.T, d broker.Broker, handler string) broker.DeadLetter {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		for l, err := range d.DeadLetters(t.Context(), broker.DeadLetterFilter{Handler: handler}) {
			if err != nil {
				t.Fatal(err)
			}
			return l.DeadLetter
		}
	}
	t.Fatalf("no dead letter of %s", handler)
	panic("not reached")
}

// A failed message is dropped, or delivered again without limit.
func TestFailedMessages(t *testing.T) {
	d := dial(t)
	dropped, requeued := nameko.Queue{Name: name("dropped")}, nameko.Queue{Name: name("requeued")}
	got := make(chan string, 100)
	var publish nameko.Publisher[int]
	var log lines
	times := 0
	run(t, d, enoki.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, enoki.NewService("shop",
		nameko.Publishes(nameko.Exchange{}, &publish),
		nameko.Consume(dropped, func(_ context.Context, n int) error {
			got <- fmt.Sprint("dropped ", n)
			if n == 1 {
				panic("on purpose")
			}
			return errors.New("down")
		}, nameko.Prefetch(1)),
		nameko.Consume(requeued, func(_ context.Context, n int) error {
			times++
			if times == 3 {
				panic("on purpose")
			}
			if times < 30 {
				return errors.New("down")
			}
			got <- fmt.Sprint("requeued ", n)
			return nil
		}, nameko.Prefetch(1), nameko.RequeueOnError())))
	for n := range 3 {
		if err := publish(t.Context(), n, nameko.RoutingKey(dropped.Name)); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 3 { // in order and once each, or the second would come again
		if s, want := next(t, "the message", got), fmt.Sprint("dropped ", n); s != want {
			t.Errorf("got %s, want %s", s, want)
		}
	}
	if err := publish(t.Context(), 7, nameko.RoutingKey(requeued.Name)); err != nil {
		t.Fatal(err)
	}
	if s := next(t, "the message", got); s != "requeued 7" {
		t.Errorf("got %s", s)
	}
	for _, want := range []string{"requeued=false error=down", "requeued=true error=down", "handler panicked"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %q in the log:\n%s", want, &log)
		}
	}
}

// A message that did not begin when the service stops is the next one's, and
// what runs ends first.
func TestStopWhileConsuming(t *testing.T) {
	d := dial(t)
	queue := nameko.Queue{Name: name("jobs")}
	var publish nameko.Publisher[int]
	started, release, done := make(chan int, 10), make(chan struct{}), make(chan int, 10)
	services := []*enoki.Service{
		enoki.NewService("boss", nameko.Publishes(nameko.Exchange{}, &publish, nameko.RoutingKey(queue.Name))),
		enoki.NewService("worker", nameko.Consume(queue, func(_ context.Context, n int) error {
			started <- n
			<-release
			done <- n
			return nil
		}, nameko.Prefetch(3))),
	}
	stop := run(t, d, enoki.Options{Workers: 1}, services...)
	for n := range 3 {
		if err := publish(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	first := next(t, "a job", started)
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	close(release)
	if err := next(t, "the stop", ended); err != nil {
		t.Error(err)
	}
	if n := next(t, "the end of the job", done); n != first {
		t.Errorf("job %d is done, want %d", n, first)
	}
	before := len(done)                     // more may have begun before the stop did
	run(t, d, enoki.Options{}, services...) // the same declaration once more
	for range 2 - before {
		next(t, "the jobs that were left", done)
	}
}

func TestImpossibleDeclarations(t *testing.T) {
	var publish nameko.Publisher[int]
	handle := func(context.Context, int) error { return nil }
	for _, test := range []struct {
		part enoki.Part
		want string
	}{
		{nameko.Publishes[int](nameko.Exchange{Name: "orders"}, nil), `publisher to exchange "orders": give a pointer`},
		{nameko.Publishes(nameko.Exchange{Name: "orders"}, &publish, nameko.Compression("lzma")), `compression is "lzma", want gzip or zlib`},
		{nameko.Publishes(nameko.Exchange{Name: "orders"}, &publish, nameko.Expiration(-time.Second)), "expiration is -1s"},
		{nameko.Publishes(nameko.Exchange{Name: "orders"}, &publish, nameko.Header("x", 1+2i)), "complex128 can't travel"},
		{nameko.Publishes(nameko.Exchange{Name: "orders"}, &publish, nameko.Declare(nameko.Queue{})), "a queue has no name"},
		{nameko.Consume(nameko.Queue{}, handle), "a queue has no name"},
		{nameko.Consume[int](nameko.Queue{Name: "jobs"}, nil), `consumer of queue "jobs" has no handler function`},
		{nameko.Consume(nameko.Queue{Name: "jobs"}, handle, nameko.Prefetch(-1)), "prefetch is -1; give 1 to 65535"},
	} {
		err := enoki.NewService("shop", test.part).Check()
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want an error that says %q", err, test.want)
		}
	}
}

func TestOnlyOnRabbitMQ(t *testing.T) {
	b := memory.New()
	defer b.Close()
	var publish nameko.Publisher[int]
	for _, part := range []enoki.Part{
		nameko.Publishes(nameko.Exchange{Name: "orders"}, &publish),
		nameko.Consume(nameko.Queue{Name: "orders"}, func(context.Context, int) error { return nil }),
	} {
		err := enoki.Run(t.Context(), b, &enoki.Options{Logger: slog.New(slog.DiscardHandler)}, enoki.NewService("shop", part))
		for _, want := range []string{`"orders" needs RabbitMQ`, "service shop runs on another broker (*memory.Broker)", "amqp://"} {
			if !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("got %v, want an error that says %q", err, want)
			}
		}
	}
	if publish != nil {
		t.Error("the publisher was filled all the same")
	}
}

// TestIsolated: a service runs without RabbitMQ when it is told to, and publishes
// to nobody.
func TestIsolated(t *testing.T) {
	b := memory.New()
	defer b.Close()
	var publish nameko.Publisher[int]
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	o := &enoki.Options{Logger: slog.New(slog.DiscardHandler), Isolated: true, OnReady: func() { close(ready) }}
	go func() {
		ended <- enoki.Run(ctx, b, o, enoki.NewService("shop",
			nameko.Publishes(nameko.Exchange{Name: "orders"}, &publish),
			nameko.Consume(nameko.Queue{Name: "orders"}, func(context.Context, int) error { return nil })))
	}()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("it does not run: %v", err)
	}
	if err := publish(ctx, 1); err != nil {
		t.Errorf("publish: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// What exists with other flags keeps the service from starting, at once.
func TestOtherFlags(t *testing.T) {
	d := dial(t)
	there := nameko.Exchange{Name: name("there"), Type: "fanout"}
	if err := d.Declare(t.Context(), there); err != nil {
		t.Fatal(err)
	}
	there.Type = "topic"
	var publish nameko.Publisher[int]
	for _, part := range []enoki.Part{
		nameko.Publishes(there, &publish),
		nameko.Consume(nameko.Queue{Name: name("q"), Exchange: there}, func(context.Context, int) error { return nil }),
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		d := dial(t)
		err := enoki.Run(ctx, d, &enoki.Options{Logger: slog.New(slog.DiscardHandler)}, enoki.NewService("shop", part))
		if !strings.Contains(fmt.Sprint(err), there.Name) || !strings.Contains(fmt.Sprint(err), "'fanout', but 'topic' is needed") || ctx.Err() != nil {
			t.Errorf("got %v, want at once what exists", err)
		}
		cancel()
	}
}
