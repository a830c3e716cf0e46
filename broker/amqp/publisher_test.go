package amqp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
	"github.com/enoki-go/enoki/internal/uuid"
)

// RabbitMQ closes the channel for one publish to an exchange that is not
// there; the others on it must not notice.
func TestRefusedPublishHarmsNoOther(t *testing.T) {
	d, s := dial(t, Config{}), newSniffer(t)
	good := exchange{name: name("good"), kind: "fanout"}
	arrived := s.bind(good, "")
	publish := func(exchange, id string) error {
		return d.publisher.publish(within(t, patience), &outgoing{exchange: exchange, repeatable: true,
			msg: wire.Message{MessageID: id, DeliveryMode: wire.Persistent}})
	}
	const rounds, each = 10, 20
	var wg sync.WaitGroup
	for round := range rounds {
		for i := range each {
			wg.Go(func() {
				if err := publish(good.name, fmt.Sprint(round, "-", i)); err != nil {
					t.Errorf("publish beside a refused one: %v", err)
				}
			})
		}
		wg.Go(func() {
			err := publish(good.name+"-missing", "x")
			refused, ok := errors.AsType[*wire.Error](err)
			if !errors.Is(err, broker.ErrNotDelivered) || !ok || refused.Code != wire.NotFound {
				t.Errorf("publish to an exchange that is not there: got %v, want ErrNotDelivered and 404", err)
			}
		})
	}
	wg.Wait()
	ids := map[string]bool{}
	for len(ids) < rounds*each {
		m := next(t, "every message", arrived)
		ids[m.MessageId] = true
	}
	if err := d.Ready(); err != nil {
		t.Error(err)
	}
}

func TestEmitDeclaresAnExchangeThatWasDeleted(t *testing.T) {
	d, s := dial(t, Config{}), newSniffer(t)
	source := name("src")
	for range 2 {
		if err := d.Emit(within(t, patience), source, "e", text("1")); err != nil {
			t.Fatal(err)
		}
		s.must(s.ch.ExchangeDelete(source+".events", false, false))
	}
}

func TestWhatTheWireCantHoldIsRefusedHere(t *testing.T) {
	d := dial(t, Config{})
	long := strings.Repeat("x", 300)
	for what, emit := range map[string]func(ctx context.Context) error{
		"event type": func(ctx context.Context) error { return d.Emit(ctx, "s", long, text("")) },
		"source":     func(ctx context.Context) error { return d.Emit(ctx, long, "e", text("")) },
		"service": func(ctx context.Context) error {
			_, err := d.Call(ctx, long, "m", text(""))
			return err
		},
		"list": func(ctx context.Context) error {
			return d.Emit(ctx, "s", "e", &broker.Message{Context: map[string]any{"k": make([]any, wire.MaxElements+1)}})
		},
		"message id": func(ctx context.Context) error { return d.Emit(ctx, "s", "e", &broker.Message{ID: long}) },
		"context key": func(ctx context.Context) error {
			return d.Emit(ctx, "s", "e", &broker.Message{Context: map[string]any{long: 1}})
		},
		"key in a map": func(ctx context.Context) error {
			return d.Emit(ctx, "s", "e", &broker.Message{Context: map[string]any{"k": []any{map[string]any{long: 1}}}})
		},
		"context data": func(ctx context.Context) error {
			return d.Emit(ctx, "s", "e", &broker.Message{Context: map[string]any{"k": strings.Repeat("x", 200_000)}})
		},
		"type": func(ctx context.Context) error {
			return d.Emit(ctx, "s", "e", &broker.Message{Context: map[string]any{"k": struct{}{}}})
		},
		"body": func(ctx context.Context) error {
			return d.Emit(ctx, "s", "e", &broker.Message{Body: make([]byte, maxMessage+1)})
		},
	} {
		if err := emit(within(t, patience)); !errors.Is(err, broker.ErrNotDelivered) {
			t.Errorf("%s: got error %v, want ErrNotDelivered", what, err)
		}
	}
	if err := d.Emit(within(t, patience), "s", "e", &broker.Message{Body: make([]byte, maxMessage),
		Context: map[string]any{"k": strings.Repeat("x", 90_000)}}); err != nil {
		t.Errorf("the largest event: %v", err)
	}
	if err := d.Ready(); err != nil {
		t.Errorf("the link has suffered: %v", err)
	}
}

// A memory alarm stops everything that is published, by sockets that are no
// longer read; deadlines must hold nevertheless, and consumers go on.
func TestAlarm(t *testing.T) {
	d, s := dial(t, Config{}), newSniffer(t)
	src, svc := name("src"), name("svc")
	handled := make(chan *broker.Message, 100)
	gate := make(chan struct{})
	join(t, d, broker.Service{Instance: broker.Instance{Name: svc}, Workers: 1, Subscriptions: []broker.Subscription{
		{Source: src, Event: "e", Handler: "h", Handle: func(_ context.Context, m *broker.Message) broker.Settlement {
			<-gate
			handled <- m
			return broker.Settlement{}
		}}}})
	for range 10 {
		if err := d.Emit(within(t, patience), src, "e", text("before")); err != nil {
			t.Fatal(err)
		}
	}
	_ = s // another client's connection, which never publishes here
	alarm(t)

	big := &broker.Message{Body: bytes.Repeat([]byte("x"), 1<<20)}
	var wg sync.WaitGroup
	for range 30 { // far more than the buffers of the socket hold
		wg.Go(func() {
			start := time.Now()
			err := d.Emit(within(t, 3*time.Second), src, "nobody", big)
			if !errors.Is(err, broker.ErrBlocked) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Emit during the alarm: got %v, want ErrBlocked and DeadlineExceeded", err)
			}
			if took := time.Since(start); took > patience/2 {
				t.Errorf("Emit took %v, its deadline was 3s", took)
			}
		})
	}
	wg.Wait()
	_, err := d.Call(within(t, 300*time.Millisecond), svc, "m", text(""))
	if !errors.Is(err, broker.ErrBlocked) {
		t.Errorf("Call during the alarm: got %v, want ErrBlocked", err)
	}
	if errors.Is(err, broker.ErrUnknownOutcome) {
		t.Errorf("Call during the alarm: got %v, though the request was not sent", err)
	}
	if b, err := d.Backlog(within(t, patience)); err != nil || !strings.Contains(b.Blocked, "memory") {
		t.Errorf("Backlog during the alarm: blocked %q, %v, want the reason", b.Blocked, err)
	}
	close(gate)
	for range 10 {
		next(t, "events that are consumed during the alarm", handled)
	}

	calm(t)
	if err := d.Emit(within(t, patience), src, "e", text("after")); err != nil {
		t.Errorf("Emit after the alarm: %v", err)
	}
	if b, err := d.Backlog(within(t, patience)); err != nil || b.Blocked != "" {
		t.Errorf("Backlog after the alarm: blocked %q, %v", b.Blocked, err)
	}
	if m := next(t, "the event after the alarm", handled); string(m.Body) != "after" {
		t.Errorf("got event %q", m.Body)
	}
}

func TestCloseDuringAlarm(t *testing.T) {
	d := dial(t, Config{})
	if err := d.Emit(within(t, patience), "src", "e", text("")); err != nil {
		t.Fatal(err)
	}
	alarm(t)
	defer calm(t)
	big := &broker.Message{Body: bytes.Repeat([]byte("x"), 8<<20)}
	errs := make(chan error, 4)
	for range cap(errs) {
		go func() { errs <- d.Emit(t.Context(), "src", "e", big) }()
	}
	until(t, "the broker blocks", func() error {
		if d.publisher.alarm() == "" {
			return errors.New("no alarm yet")
		}
		return nil
	})
	closed := make(chan error, 1)
	go func() { closed <- d.Close() }()
	if err := next(t, "Close", closed); err != nil {
		t.Error(err)
	}
	for range cap(errs) {
		if err := next(t, "Emit to end", errs); !errors.Is(err, broker.ErrClosed) && !errors.Is(err, broker.ErrUnknownOutcome) {
			t.Errorf("Emit when the driver was closed: got %v", err)
		}
	}
}

// alarm raises RabbitMQ's memory alarm.
func alarm(t *testing.T) {
	t.Helper()
	if _, err := node.Ctl("set_vm_memory_high_watermark", "0.0000001"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { calm(t) }) // also when the test fails before
}

func calm(t *testing.T) {
	t.Helper()
	if _, err := node.Ctl("set_vm_memory_high_watermark", "absolute", "4GB"); err != nil {
		t.Fatal(err)
	}
}

// A user that may not write everywhere, and a broker with a smaller limit,
// refuse by closing the channel too.
func TestRefusedByRightsAndBySize(t *testing.T) {
	ctl := func(args ...string) {
		t.Helper()
		if _, err := rabbit(t).Ctl(args...); err != nil {
			t.Fatal(err)
		}
	}
	user := name("limited")
	ctl("add_user", user, "secret")
	t.Cleanup(func() { ctl("delete_user", user) })
	ctl("set_permissions", user, ".*", "^(ok|enoki|nameko|rpc).*", "^(rpc|enoki|nameko).*")
	limit := func(bytes string) { // RabbitMQ 3 looks at the first, 4 at the second
		ctl("eval", "application:set_env(rabbit, max_message_size, "+bytes+"), persistent_term:put(max_message_size, "+bytes+").")
	}
	limit("100000")
	t.Cleanup(func() { limit("134217728") })

	d := dial(t, Config{URL: strings.Replace(node.URL(), "guest:guest", user+":secret", 1)})
	good, bad := name("ok"), name("no")
	emit := func(source string, size int) error {
		return d.Emit(within(t, patience), source, "e", &broker.Message{ID: uuid.New(), Body: make([]byte, size)})
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if err := emit(good, 10); err != nil {
				t.Errorf("an event that is allowed: %v", err)
			}
		})
		wg.Go(func() {
			err := emit(bad, 10)
			if !errors.Is(err, broker.ErrNotDelivered) || errors.Is(err, broker.ErrUnknownOutcome) {
				t.Errorf("an event that is not allowed: got %v, want ErrNotDelivered", err)
			}
			wantText(t, err, "ACCESS_REFUSED", bad, user)
		})
		wg.Go(func() {
			err := emit(good, 200_000)
			if !errors.Is(err, broker.ErrNotDelivered) || errors.Is(err, broker.ErrUnknownOutcome) {
				t.Errorf("an event that is too large for this broker: got %v, want ErrNotDelivered", err)
			}
			wantText(t, err, "200000", "100000")
		})
	}
	wg.Wait()

	_, err := d.Join(within(t, patience), broker.Service{Instance: broker.Instance{Name: name("svc"), ID: "1"}, Workers: 1,
		Subscriptions: []broker.Subscription{{Source: bad, Event: "e", Handler: "h", Handle: func(context.Context, *broker.Message) broker.Settlement {
			return broker.Settlement{}
		}}}})
	wantText(t, err, "ACCESS_REFUSED", user, "rabbitmqctl set_permissions")
}

// full declares a queue that refuses what comes, and binds it.
func full(t *testing.T, s *sniffer, e exchange, key string) (queue string) {
	t.Helper()
	s.declare(e)
	queue = name("full")
	_, err := s.ch.QueueDeclare(queue, true, false, false, false, amqp091.Table{"x-max-length": 0, "x-overflow": "reject-publish"})
	s.must(err)
	t.Cleanup(func() { _, _ = newSniffer(t).ch.QueueDelete(queue, false, false, false) })
	s.must(s.ch.QueueBind(queue, key, e.name, false, nil))
	return queue
}

// A nack says that one queue refused a message; others may have it.
func TestNackedEvent(t *testing.T) {
	d, s := dial(t, Config{}), newSniffer(t)
	e := d.eventsOf(name("src"))
	refuses := full(t, s, e, "e")
	events := s.bind(e, "e")
	m := text("once")
	err := d.Emit(within(t, patience), strings.TrimSuffix(e.name, ".events"), "e", m)
	if !errors.Is(err, broker.ErrUnknownOutcome) || errors.Is(err, broker.ErrNotDelivered) {
		t.Errorf("got %v, want ErrUnknownOutcome: a queue has it", err)
	}
	for range nackAttempts {
		if got := next(t, "the event", events); got.MessageId != m.ID {
			t.Errorf("got the event %s, want %s", got.MessageId, m.ID)
		}
	}
	err = d.Publish(within(t, patience), &Publishing{RoutingKey: refuses, Message: text("x")})
	if !errors.Is(err, broker.ErrNotDelivered) || errors.Is(err, broker.ErrUnknownOutcome) {
		t.Errorf("got %v of what goes to one queue only, want ErrNotDelivered", err)
	}
}

// RabbitMQ 4 nacks a message when a queue goes that was to have it, as those of
// instances do.
func TestNackedPingIsSentAgain(t *testing.T) {
	d, s := dial(t, Config{}), newSniffer(t)
	svc := name("svc")
	join(t, d, broker.Service{Instance: broker.Instance{Name: svc}, Serve: echo})
	d.publisher.nackPause = 2 * time.Second
	refuses, pings := full(t, s, control, pingKey), s.bind(control, pingKey)
	go func() {
		<-pings
		_, _ = s.ch.QueueDelete(refuses, false, false, false) // Services fails if it is still there
	}()
	instances, err := d.Services(within(t, patience))
	instances = slices.DeleteFunc(instances, func(i broker.Instance) bool { return i.Name != svc })
	if err != nil || len(instances) != 1 {
		t.Errorf("got %v and error %v, want %s once", instances, err, svc)
	}
}

// A channel on which messages are refused is replaced, and what waits for its
// confirm there gets it.
func TestChannelThatRefusesIsReplaced(t *testing.T) {
	d, s := dial(t, Config{}), newSniffer(t)
	refuses, frozen := full(t, s, d.eventsOf(name("src")), "e"), name("frozen")
	_, err := s.ch.QueueDeclare(frozen, true, false, false, false, amqp091.Table{amqp091.QueueTypeArg: "classic"})
	s.must(err)
	t.Cleanup(func() { _, _ = newSniffer(t).ch.QueueDelete(frozen, false, false, false) })
	tell := func(do string) {
		t.Helper()
		if _, err := node.Ctl("eval", `{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"`+frozen+`">>)), sys:`+do+`(amqqueue:get_pid(Q)).`); err != nil {
			t.Fatal(err)
		}
	}
	tell("suspend")
	resume := sync.OnceFunc(func() { tell("resume") })
	defer resume()

	first := d.publisher.channel.Load()
	pending := make(chan error, 1)
	go func() { pending <- d.Publish(t.Context(), &Publishing{RoutingKey: frozen, Message: text("frozen")}) }()
	until(t, "the message is on its way", func() error {
		if first.isIdle() {
			return errors.New("nothing is pending")
		}
		return nil
	})
	for range 2 { // the second channel is replaced, too
		err := d.Publish(within(t, patience), &Publishing{RoutingKey: refuses, Message: text("x")})
		if !errors.Is(err, errNack) {
			t.Fatalf("got %v from a full queue, want a nack", err)
		}
		was := first
		until(t, "another channel takes its place", func() error {
			if is := d.publisher.channel.Load(); is == nil || is == was {
				return errors.New("it is the same")
			}
			return nil
		})
		first = d.publisher.channel.Load()
	}
	select {
	case err := <-pending:
		t.Errorf("a message that the broker has not confirmed has ended with %v", err)
	default:
	}
	resume()
	if err := next(t, "the confirm of the first message", pending); err != nil {
		t.Error(err)
	}
}
