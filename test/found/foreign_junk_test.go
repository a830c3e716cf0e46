package found

import (
	"bytes"
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/rabbitmq/amqp091-go"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/deadletter"
	"github.com/enoki-go/enoki/internal/testserver"
)

// junkBodies are what a stranger may send.
func junkBodies() [][]byte {
	random := make([]byte, 64)
	for i := range random {
		random[i] = byte(rand.N(256))
	}
	return [][]byte{nil, {0}, random, []byte("null"), []byte("{"), {0xC1, 0xff, 0xff}, bytes.Repeat([]byte("x"), 5000)}
}

// busyService is a service with a method, events, ordered ones too, and a cron.
type busyService struct {
	broker  broker.Broker
	client  *enoki.Client
	handled chan int
	ticks   chan struct{}
}

func newBusyService(t *testing.T, dial func() broker.Broker) *busyService {
	s := &busyService{broker: dial(), handled: make(chan int, 1000), ticks: make(chan struct{}, 1)}
	handle := func(_ context.Context, n int) error { s.handled <- n; return nil }
	run(t, s.broker, enoki.Options{}, enoki.NewService("junk",
		enoki.Method("double", func(_ context.Context, n int) (int, error) { return 2 * n, nil }, "n"),
		enoki.On(enoki.NewEvent[int]("junk", "pool"), handle),
		enoki.Subscription[int]{Event: enoki.NewEvent[int]("junk", "ordered"), Handle: handle, OrderBy: func(int) string { return "k" }},
		enoki.Cron("@every 1s", func(context.Context) error {
			select {
			case s.ticks <- struct{}{}:
			default:
			}
			return nil
		}, enoki.TimerName("tick"))))
	s.client = client(t, dial())
	return s
}

// works fails unless all that the service does goes on.
func (s *busyService) works(t *testing.T) {
	t.Helper()
	eventually(t, "a call is answered", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		reply, err := s.client.Call(ctx, "junk", "double", []any{21}, nil)
		if err != nil {
			t.Logf("the call: %v", err)
		}
		return err == nil && string(reply) == "42"
	})
	for n, event := range []string{"pool", "ordered"} {
		want := 1000 + n
		if err := s.client.Emit(t.Context(), "junk", event, want); err != nil {
			t.Fatalf("emit %s: %v", event, err)
		}
		for end := time.After(patience); ; {
			select {
			case got := <-s.handled: // "null" is an event, too
				if got != want {
					continue
				}
			case <-end:
				t.Fatalf("the event %s is not handled", event)
			}
			break
		}
	}
	select {
	case <-s.ticks: // may be of before
	default:
	}
	select {
	case <-s.ticks:
	case <-time.After(patience):
		t.Error("the cron does not tick")
	}
	instances, err := s.broker.Services(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, i := range instances {
		found = found || i.Name == "junk"
		if i.Name == "" {
			t.Errorf("discovery shows %+v", i)
		}
	}
	if !found {
		t.Errorf("discovery does not show the service: %+v", instances)
	}
	for l, err := range deadletter.All(t.Context(), s.client, deadletter.Filter{}) {
		if err != nil {
			t.Fatalf("dead letters can't be read: %v", err)
		}
		if l.ID == "" || l.Message == nil {
			t.Errorf("a dead letter is %+v", l.DeadLetter)
		}
	}
}

// TestForeignJunkHarmsNobody: whatever a stranger publishes, and wherever, the
// service next to it works on, on the same link.
func TestForeignJunkHarmsNobody(t *testing.T) {
	t.Run("nats", func(t *testing.T) {
		url := testserver.NATS(t).URL()
		s := newBusyService(t, func() broker.Broker { return dialNATS(t, url) })
		s.works(t)
		junkOnNATS(t, url, s.broker)
		s.works(t)
	})
	t.Run("amqp", func(t *testing.T) {
		if rabbit == nil {
			testserver.Skip(t, "RabbitMQ is not installed")
		}
		node := testserver.RabbitMQ(t)
		s := newBusyService(t, func() broker.Broker { return dialRabbitMQAt(t, node.URL()) })
		s.works(t)
		junkOnRabbitMQ(t, node)
		s.works(t)
	})
}

func junkOnNATS(t *testing.T, url string, b broker.Broker) {
	nc, err := natsgo.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	var inboxes []string // which who may listen to all sees
	spy, err := nc.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); len(inboxes) == 0; { // those of the cron's lock
		msg, err := spy.NextMsg(time.Until(end))
		if err != nil {
			t.Fatalf("nothing is said: %v", err)
		}
		if prefix, _, ok := strings.Cut(msg.Reply, "."); ok && prefix == "_INBOX" {
			inboxes = append(inboxes, msg.Reply, msg.Reply[:strings.LastIndexByte(msg.Reply, '.')+1]+"junk")
		}
	}
	_ = spy.Unsubscribe()
	instance := ""
	if info, err := nc.Request("$SRV.PING.junk", nil, patience); err == nil {
		_, rest, _ := strings.Cut(string(info.Data), `"id":"`)
		instance, _, _ = strings.Cut(rest, `"`)
	}
	if instance == "" {
		t.Fatal("the service does not answer a ping")
	}
	long := strings.Repeat("m", 3900)
	subjects := append(inboxes,
		"enoki.rpc.junk.double", "enoki.rpc.junk.nothing", "enoki.rpc.junk.%zz", "enoki.rpc.junk."+long, "enoki.direct.junk."+instance+".double",
		"enoki.spare.junk", "enoki.spare.junk."+instance, "enoki.spare.junk."+instance+".double", "enoki.cancel.junk",
		"$SRV.PING", "$SRV.INFO", "$SRV.STATS.junk", "$SRV.INFO.junk."+instance,
		"enoki.events.junk.pool", "enoki.events.junk.ordered", "enoki.events.junk.nothing", "enoki.events.junk."+long,
		"enoki.due.junk.pool", "enoki.due.junk."+strings.Repeat("m", 4030), "enoki.due.x", "enoki.later.junk.pool.id",
		"enoki.dead.junk.pool.id", "enoki.dead.x", "enoki.dead.%rest.x", "enoki.attempts.evt+junk+pool+junk+pool.1", "enoki.attempts.x",
		"enoki.locks.cron%2Ejunk%2Etick", "enoki.locks.x")
	headers := []natsgo.Header{nil, {}}
	for _, odd := range []string{"", "\xff", "null", "{", `{"attempts":-1}`, "enoki.dead.>", "9999-12-31T23:59:59-23:59", `{"k":[[[]]]}`} {
		if odd == "9999-12-31T23:59:59-23:59" {
			headers = append(headers, natsgo.Header{"Enoki-Due": {odd}})
			continue
		}
		headers = append(headers, natsgo.Header{"Enoki-Id": {odd}, "Content-Type": {odd}, "Enoki-Context": {odd}, "Enoki-Dead": {odd}, "Enoki-Rest": {odd},
			"Enoki-Holder": {odd}, "Enoki-After": {odd}, "Enoki-Frame": {odd}, "Enoki-Error": {odd}, "Nats-Pin-Id": {odd}})
	}
	bodies := junkBodies()
	n := 0
	for _, subject := range subjects {
		for i, body := range bodies {
			header := headers[(n+i)%len(headers)]
			if header["Enoki-Due"] != nil && !strings.HasPrefix(subject, "enoki.due.junk.pool") {
				header = nil
			}
			if err := nc.PublishMsg(&natsgo.Msg{Subject: subject, Header: header, Data: body}); err != nil {
				t.Fatalf("publish to %s: %v", subject, err)
			}
		}
		n++
	}
	// And those that answer.
	if _, err := nc.Subscribe("$SRV.>", func(msg *natsgo.Msg) {
		for _, body := range append(junkBodies(), []byte(`{"name":"x","metadata":{"enoki":"null"}}`)) {
			_ = msg.Respond(body)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := nc.FlushTimeout(patience); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Services(t.Context()); err != nil {
		t.Error(err)
	}
}

func junkOnRabbitMQ(t *testing.T, node *testserver.Server) {
	conn, err := amqp091.Dial(node.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	routes := []struct{ exchange, key string }{
		{"nameko-rpc", "junk.double"}, {"nameko-rpc", "junk.nothing"}, {"nameko-rpc", "junk."}, {"", "rpc-junk"},
		{"junk.events", "pool"}, {"junk.events", "ordered"}, {"enoki.control", "all"}, {"enoki.control", "service.junk"},
		{"", "enoki.dead"}, {"", "enoki.lock.cron.junk.tick"}, {"", "enoki.at-most-once-junk"},
	}
	queues, err := node.Ctl("list_queues", "--no-table-headers", "name")
	if err != nil {
		t.Fatal(err)
	}
	for _, queue := range strings.Fields(queues) { // those of replies and events, too
		routes = append(routes, struct{ exchange, key string }{"", queue})
	}
	odd := []any{nil, "", "\xff", int64(-1), int64(1<<63 - 1), true, []any{"x", nil}, amqp091.Table{"$time": "x"}, amqp091.Decimal{Scale: 255, Value: -1}, []byte{0, 255}}
	n := 0
	for _, to := range routes {
		for _, body := range junkBodies() {
			msg := amqp091.Publishing{Body: body}
			if n++; n%2 == 0 {
				msg.Headers = amqp091.Table{}
				for i, h := range []string{"enoki-id", "enoki-attempt", "enoki-attempts", "enoki-first", "enoki-left", "enoki-deadline", "enoki-packed", "enoki-term",
					"enoki-number", "enoki-noted", "enoki-start", "enoki-revived", "enoki-oneway", "enoki-later", "compression", "nameko.call_id_stack", "backoff", "k"} {
					msg.Headers[h] = odd[(n/2+i)%len(odd)]
				}
				msg.CorrelationId, msg.ReplyTo, msg.Type, msg.ContentType = "junk", "junk", []string{"ping", "cancel", "bind", "state", "probe"}[n/2%5], "application/x"
			}
			if err := ch.PublishWithContext(t.Context(), to.exchange, to.key, false, false, msg); err != nil {
				t.Fatalf("publish to %+v: %v", to, err)
			}
		}
	}
	confirmed, err := ch.PublishWithDeferredConfirm("", "nobody", false, false, amqp091.Publishing{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := confirmed.WaitContext(ctx); err != nil {
		t.Fatalf("after %d messages: %v", n, err)
	}
}
