package amqp

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/uuid"
)

var uuid4 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// rpc is Nameko's exchange as its services declare it.
var rpc = exchange{name: "nameko-rpc", kind: "topic"}

func TestRequestOnTheWire(t *testing.T) {
	d, s := dial(t, Config{Owner: "front"}), newSniffer(t)
	service := name("echo")
	requests := s.bind(rpc, service+".*")
	req := text(`{"args": ["hello"], "kwargs": {}}`)
	req.Context = map[string]any{
		"call_id_stack": []any{"standalone_rpc_proxy.call.1", "front.via.2"},
		"language":      "en-gb",
		"user_id":       7,
		"big":           int64(1) << 40,
		"nothing":       nil,
		"custom":        map[string]any{"a": []any{int64(1), 2.5, true, "x"}},
	}
	ctx := within(t, patience)
	replies := make(chan *broker.Message, 1)
	go func() {
		reply, err := d.Call(ctx, service, "echo", req)
		if err != nil {
			t.Error(err)
		}
		replies <- reply
	}()
	got := next(t, "the request", requests)
	wantHeaders := amqp091.Table{
		"nameko.call_id_stack": []any{"standalone_rpc_proxy.call.1", "front.via.2"},
		"nameko.language":      "en-gb",
		"nameko.user_id":       int32(7), // AMQP type I
		"nameko.big":           int64(1) << 40,
		"nameko.custom":        amqp091.Table{"a": []any{int32(1), 2.5, true, "x"}},
	}
	left, _ := valueOf(got.Headers[headerLeft]).(int64)
	deadline, _ := valueOf(got.Headers[headerDeadline]).(int64)
	if most := patience.Milliseconds(); left < most/2 || left > most || time.UnixMilli(deadline).Before(time.Now()) || got.Expiration != "" {
		t.Errorf("it is wanted for %d ms, until %d, and expires %q, want nearly %d ms and no expiration", left, deadline, got.Expiration, most)
	}
	delete(got.Headers, headerLeft)
	delete(got.Headers, headerDeadline)
	if !reflect.DeepEqual(got.Headers, wantHeaders) {
		t.Errorf("headers: got %#v, want %#v", got.Headers, wantHeaders)
	}
	wantProperties(t, &got, amqp091.Delivery{RoutingKey: service + ".echo", CorrelationId: req.ID, ReplyTo: d.replies.key})
	if !uuid4.MatchString(got.ReplyTo) {
		t.Errorf("reply_to %q is no uuid4", got.ReplyTo)
	}
	s.publish(rpc.name, got.ReplyTo, amqp091.Publishing{ContentType: jsonType, CorrelationId: "of nobody", Body: []byte("?")})
	s.publish(rpc.name, got.ReplyTo, amqp091.Publishing{ContentType: jsonType, CorrelationId: req.ID, Body: []byte(`{"result": "hello", "error": null}`)})
	if reply := next(t, "the reply", replies); string(reply.Body) != `{"result": "hello", "error": null}` || reply.ContentType != jsonType {
		t.Errorf("got reply %+v", reply)
	}
}

// wantProperties compares the properties that Nameko's messages have, and
// those that they never have.
func wantProperties(t *testing.T, got *amqp091.Delivery, want amqp091.Delivery) {
	t.Helper()
	type properties struct {
		key, contentType, encoding, correlation, reply, id, kind, user, app string
		mode, priority                                                      uint8
		stamped                                                             bool
	}
	g := properties{got.RoutingKey, got.ContentType, got.ContentEncoding, got.CorrelationId, got.ReplyTo, got.MessageId, got.Type,
		got.UserId, got.AppId, got.DeliveryMode, got.Priority, !got.Timestamp.IsZero()}
	w := properties{key: want.RoutingKey, contentType: jsonType, encoding: "utf-8", correlation: want.CorrelationId,
		reply: want.ReplyTo, id: want.MessageId, mode: amqp091.Persistent}
	if g != w {
		t.Errorf("properties: got %+v, want %+v", g, w)
	}
}

func TestReplyOnTheWire(t *testing.T) {
	d, s := dial(t, Config{}), newSniffer(t)
	service := name("echo")
	seen := make(chan *broker.Message, 1)
	join(t, d, broker.Service{Instance: broker.Instance{Name: service}, Serve: func(ctx context.Context, method string, req *broker.Message) *broker.Message {
		seen <- req
		reply := echo(ctx, method, req)
		reply.Context = map[string]any{"leaks": true}
		return reply
	}})
	key := uuid.New()
	replies := s.bind(rpc, key)
	s.publish(rpc.name, service+".echo", amqp091.Publishing{
		Headers:     amqp091.Table{"nameko.user_id": int32(7), "foo": "foreign", "compression": "application/x-gzip", "nameko.none": nil},
		ContentType: jsonType, ContentEncoding: "utf-8", DeliveryMode: 2, CorrelationId: "c-1", ReplyTo: key, Body: deflate([]byte("{}")),
	})
	req := next(t, "the request", seen)
	if want := map[string]any{"user_id": int64(7), "foo": "foreign"}; !reflect.DeepEqual(req.Context, want) || string(req.Body) != "{}" {
		t.Errorf("got body %q with context data %#v, want %#v", req.Body, req.Context, want)
	}
	if req.ID != "c-1" || req.Redelivered || req.Attempt != 1 {
		t.Errorf("got request %+v, want id c-1, attempt 1, not redelivered", req)
	}
	got := next(t, "the reply", replies)
	wantProperties(t, &got, amqp091.Delivery{RoutingKey: key, CorrelationId: "c-1"})
	if len(got.Headers) != 0 || got.Expiration != "" {
		t.Errorf("the reply has headers %v and expiration %q, want none", got.Headers, got.Expiration)
	}
}

func TestEventOnTheWire(t *testing.T) {
	d, s := dial(t, Config{}), newSniffer(t)
	source := name("shop")
	events := s.bind(exchange{name: source + ".events", kind: "topic"}, "#")
	m := text(`{"p": 1}`)
	m.Context = map[string]any{"language": "de"}
	if err := d.Emit(within(t, patience), source, "thing_happened", m); err != nil {
		t.Fatal(err)
	}
	got := next(t, "the event", events)
	wantProperties(t, &got, amqp091.Delivery{RoutingKey: "thing_happened", MessageId: m.ID})
	if want := (amqp091.Table{"nameko.language": "de"}); !reflect.DeepEqual(got.Headers, want) || got.Expiration != "" {
		t.Errorf("headers %v and expiration %q, want %v and none", got.Headers, got.Expiration, want)
	}
}

// The flags are those of Nameko's queues as RabbitMQ lists them; any other
// would be refused to the one who comes second. RabbitMQ 4 lists the type of a
// queue among its arguments also when who declared it named none.
func TestQueuesAreNamekos(t *testing.T) {
	d := dial(t, Config{Owner: "front"})
	svc, src := name("svc"), name("src")
	done := func(context.Context, *broker.Message) broker.Settlement { return broker.Settlement{} }
	join(t, d, broker.Service{Instance: broker.Instance{Name: svc, ID: "i1"}, Serve: echo, Subscriptions: []broker.Subscription{
		{Source: src, Event: "e", Handler: "on_pool", Handle: done},
		{Source: src, Event: "e", Handler: "on_one", Mode: broker.Singleton, Handle: done},
		{Source: src, Event: "e", Handler: "on_all", Mode: broker.Broadcast, Handle: done},
		{Source: src, Event: "e", Handler: "on_pool_while_up", Ephemeral: true, Handle: done},
		{Source: src, Event: "one", Handler: "on_one_while_up", Mode: broker.Singleton, Ephemeral: true, Handle: done},
		{Source: src, Event: "e", Handler: "on_host", Mode: broker.Broadcast, BroadcastID: "host-1", Handle: done},
	}})
	if _, err := d.Call(within(t, patience), svc, "m", text("")); err != nil {
		t.Fatal(err)
	}
	list := func(what, columns string) []string {
		out, err := node.Ctl(append([]string{what, "--no-table-headers"}, strings.Fields(columns)...)...)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for line := range strings.Lines(out) {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
		return lines
	}
	sniff, plain := newSniffer(t), name("plain")
	_, err := sniff.ch.QueueDeclare(plain, true, false, false, false, nil)
	sniff.must(err)
	t.Cleanup(func() { _, _ = newSniffer(t).ch.QueueDelete(plain, false, false, false) })
	queues := list("list_queues", "name durable exclusive auto_delete arguments")
	if slices.Contains(queues, plain+` true false false [{"x-queue-type","classic"}]`) {
		for i, line := range queues {
			queues[i] = strings.NewReplacer(`,{"x-queue-type","classic"}`, "", `{"x-queue-type","classic"},`, "", `{"x-queue-type","classic"}`, "").Replace(line)
		}
	}
	reply := "rpc.reply-front-" + d.replies.key
	pool := "evt-" + src + "-e--" + svc + ".on_pool"
	for _, want := range []string{
		"rpc-" + svc + " true false false []",
		reply + ` true false false [{"x-expires",300000}]`,
		pool + " true false false []",
		"evt-" + src + "-e true false false []",
		// RabbitMQ keeps no exclusive queue over its own restart.
		"evt-" + src + "-e--" + svc + ".on_all-i1 false true true []",
		"evt-" + src + "-e--" + svc + ".on_pool_while_up true false true []",
		"evt-" + src + "-one true false true []",
		"evt-" + src + "-e--" + svc + ".on_host-host-1 true false false []",
	} {
		if !slices.Contains(queues, want) {
			t.Errorf("no queue %q in\n%s", want, strings.Join(queues, "\n"))
		}
	}
	exchanges := list("list_exchanges", "name type durable auto_delete internal arguments")
	for _, want := range []string{"nameko-rpc topic true false false []", src + ".events topic true false false []"} {
		if !slices.Contains(exchanges, want) {
			t.Errorf("no exchange %q in\n%s", want, strings.Join(exchanges, "\n"))
		}
	}
	bindings := list("list_bindings", "source_name destination_name routing_key")
	for _, want := range []string{
		"nameko-rpc rpc-" + svc + " " + svc + ".*",
		"nameko-rpc " + reply + " " + d.replies.key,
		src + ".events " + pool + " e",
	} {
		if !slices.Contains(bindings, want) {
			t.Errorf("no binding %q in\n%s", want, strings.Join(bindings, "\n"))
		}
	}
}

// Nameko's AUTO_DELETE_EVENT_EXCHANGES and DECLARE_EVENT_EXCHANGES.
func TestEventExchanges(t *testing.T) {
	src, done := name("src"), func(context.Context, *broker.Message) broker.Settlement { return broker.Settlement{} }
	subscribe := func(d *Driver, handle func(context.Context, *broker.Message) broker.Settlement) (broker.Member, error) {
		sub := broker.Subscription{Source: src, Event: "e", Handler: "h", Mode: broker.Broadcast, Handle: handle}
		return d.Join(within(t, patience), broker.Service{Instance: broker.Instance{Name: name("svc"), ID: uuid.New()}, Workers: 1,
			Subscriptions: []broker.Subscription{sub}})
	}
	undeclared := dial(t, Config{EventsUndeclared: true})
	_, err := subscribe(undeclared, done)
	wantText(t, err, `exchange "`+src+`.events"`, "told not to declare it")
	err = undeclared.Emit(within(t, patience), src, "e", text(""))
	wantText(t, err, "not delivered", src+".events")

	d := dial(t, Config{AutoDeleteEvents: true})
	m, err := subscribe(d, done)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 10)
	if _, err := subscribe(undeclared, func(_ context.Context, m *broker.Message) broker.Settlement {
		got <- string(m.Body)
		return broker.Settlement{}
	}); err != nil {
		t.Fatal(err)
	}
	if err := m.Leave(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	for i, emitter := range []*Driver{d, undeclared} {
		body := strconv.Itoa(i)
		if err := emitter.Emit(within(t, patience), src, "e", text(body)); err != nil {
			t.Fatal(err)
		}
		if body != next(t, "the event", got) {
			t.Errorf("got another event than %s", body)
		}
	}
	exchanges, err := node.Ctl("list_exchanges", "--no-table-headers", "name", "durable", "auto_delete")
	if err != nil || !strings.Contains(exchanges, src+".events\ttrue\ttrue") {
		t.Errorf("error %v; %s.events is not durable with auto_delete:\n%s", err, src, exchanges)
	}
	if err := undeclared.Close(); err != nil { // with it goes the last binding
		t.Fatal(err)
	}
	until(t, "the exchange is gone", func() error {
		exchanges, err := node.Ctl("list_exchanges", "--no-table-headers", "name")
		if err == nil && strings.Contains(exchanges, src) {
			err = fmt.Errorf("%s.events is still there", src)
		}
		return err
	})
	if err := d.Emit(within(t, patience), src, "e", text("")); err != nil { // declares it anew
		t.Error(err)
	}
}

// An event that came from Python has no message id, and its copy for the next
// attempt must look like the first to whoever shares the queue.
func TestRetriedEventKeepsWhatItsSenderSaid(t *testing.T) {
	d, s := dial(t, Config{}), newSniffer(t)
	src, svc := name("src"), name("svc")
	got := make(chan *broker.Message, 4)
	sub := broker.Subscription{Source: src, Event: "e", Handler: "h", Handle: func(_ context.Context, m *broker.Message) broker.Settlement {
		got <- m
		if m.Attempt < 3 {
			return broker.Settlement{Verdict: broker.Retry, Delay: 10 * time.Millisecond}
		}
		return broker.Settlement{Verdict: broker.Retry, Delay: time.Hour}
	}}
	join(t, d, broker.Service{Instance: broker.Instance{Name: svc}, Subscriptions: []broker.Subscription{sub}})
	s.publish(src+".events", "e", amqp091.Publishing{
		Headers:     amqp091.Table{"nameko.user_id": int32(7), "foo": "bar"},
		ContentType: jsonType, ContentEncoding: "utf-8", DeliveryMode: 2, Body: []byte("1"),
	})
	var id string
	for attempt := 1; attempt <= 3; attempt++ {
		m := next(t, "the next attempt", got)
		want := map[string]any{"user_id": int64(7), "foo": "bar"}
		if !reflect.DeepEqual(m.Context, want) || m.Attempt != attempt || string(m.Body) != "1" || m.ContentType != jsonType {
			t.Errorf("attempt %d: got %+v with context %v, want context %v", attempt, m, m.Context, want)
		}
		if attempt > 2 && m.ID != id {
			t.Errorf("attempt %d has the id %q, the one before had %q", attempt, m.ID, id)
		}
		id = m.ID
	}
	var waits amqp091.Delivery
	way := ladder{top: topOf(retrySteps(time.Hour)), events: retryExchange()}
	s.declare(way)
	until(t, "the event waits for an hour", func() error {
		var ok bool
		var err error
		waits, ok, err = s.ch.Get(level(way.top).name, true)
		if err == nil && !ok {
			err = fmt.Errorf("not there")
		}
		return err
	})
	if _, set := waits.Headers[headerFirst].(string); !set {
		t.Errorf("headers of the event that waits: got %v, want the time of the first attempt", waits.Headers)
	}
	delete(waits.Headers, headerFirst)
	maps.DeleteFunc(waits.Headers, func(k string, _ any) bool { return isWaitHeader(k) || k == headerDeliveryCount }) // of the queue it waits in
	want := amqp091.Table{"nameko.user_id": int32(7), "foo": "bar",
		headerAttempt: int32(4), headerExchange: src + ".events", headerRoutingKey: "e"}
	if !reflect.DeepEqual(waits.Headers, want) {
		t.Errorf("headers of the event that waits: got %v, want %v", waits.Headers, want)
	}
	if waits.RoutingKey != "evt-"+src+"-e--"+svc+".h" {
		t.Errorf("it goes back to %q", waits.RoutingKey)
	}
}

func TestRetrySteps(t *testing.T) {
	for delay, want := range map[time.Duration]uint64{
		1:                      1,
		100 * time.Millisecond: 1,
		101 * time.Millisecond: 2,
		500 * time.Millisecond: 6,
		time.Second:            12,
		40 * time.Second:       512,
		time.Hour:              3 << 14,
		1000 * time.Hour:       retrySteps(longestRetry),
	} {
		if got := retrySteps(delay); got != want {
			t.Errorf("a delay of %v: got %d steps, want %d", delay, got, want)
		}
	}
}
