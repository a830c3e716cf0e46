package wire

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// smallFrame is the smallest frame_max that RabbitMQ 4 agrees on, in bytes.
const smallFrame = 8192

// sample is a message with everything that a message can have but a user id,
// which must be the user's.
func sample() *Message {
	return &Message{
		Headers: Table{"n": int32(7), "large": int64(1) << 40, "f": 1.5, "s": "text", "ok": true, "none": nil,
			"list": []any{int32(1), nil, "x"}, "table": Table{"k": "v"}, "at": time.Unix(1764055835, 0),
			"bytes": []byte{1, 2}, "decimal": Decimal{Scale: 2, Value: 314}},
		ContentType: "application/json", ContentEncoding: "utf-8", DeliveryMode: Persistent, Priority: 3, CorrelationID: "c",
		ReplyTo: "r", Expiration: "600000", MessageID: "m", Timestamp: time.Unix(1764055835, 0), Type: "t", AppID: "a",
		Body: bytes.Repeat([]byte("0123456789"), 30),
	}
}

func to(t testing.TB, queue string, m *Message) *Publishing {
	t.Helper()
	headers, err := AppendTable(nil, m.Headers)
	must(t, err)
	p := &Publishing{RoutingKey: queue, Mandatory: true, Message: m, Headers: headers}
	must(t, p.Check(defaultFrameMax))
	return p
}

// receipt is one message's.
type receipt struct {
	id       string
	returned atomic.Bool
	acks     chan bool
}

func newReceipt(id string) *receipt { return &receipt{id: id, acks: make(chan bool, 2)} }

func (r *receipt) Confirmed(ack bool) { r.acks <- ack }
func (r *receipt) Returned(d *Delivery) bool {
	return d.MessageID == r.id && r.returned.CompareAndSwap(false, true)
}

// collect returns a deliver that keeps what it gets.
func collect() (func(*Delivery), <-chan Delivery) {
	got := make(chan Delivery, 10_000)
	return func(d *Delivery) { got <- *d }, got
}

func declare(t testing.TB, ch *Channel, q Queue) string {
	t.Helper()
	if q.Name == "" {
		q.Name = fmt.Sprintf("%s-%d", t.Name(), time.Now().UnixNano())
	}
	q.AutoDelete = true
	must(t, ch.DeclareQueue(within(t), q))
	return q.Name
}

// Everything that a message can have arrives as it was sent, small or in many
// frames.
func TestMessagesArrive(t *testing.T) {
	c := open(t, Config{FrameMax: smallFrame})
	ch := channel(t, c)
	q := declare(t, ch, Queue{})
	deliver, got := collect()
	must(t, ch.Qos(within(t), 10))
	must(t, ch.Consume(within(t), Consumption{Queue: q, Tag: "mine"}, deliver))
	for _, size := range []int{0, 300, smallFrame - frameExtra, smallFrame, 100_000} {
		m := sample()
		m.Body = bytes.Repeat([]byte("x"), size)
		if !ch.Publish(to(t, q, m), nil) {
			t.Fatal("not published")
		}
		d := next(t, "the message", got)
		if !reflect.DeepEqual(d.Message, *m) || d.RoutingKey != q || d.Exchange != "" || d.Redelivered || d.Size != uint64(size) {
			t.Errorf("body of %d bytes: got %+v, want %+v", size, d, m)
		}
		must(t, d.Ack())
	}
	must(t, ch.Close(within(t)))
	ch = channel(t, c)
	if _, err := ch.FindQueue(within(t), Queue{Name: q}); codeOf(err) != NotFound {
		t.Errorf("the queue, which goes with its consumer: %v, want NotFound", err)
	}
}

func codeOf(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return 0
}

// Each message is confirmed once, in whatever batches the broker confirms; what
// no queue takes is returned before.
func TestConfirms(t *testing.T) {
	c := open(t, Config{})
	ch := channel(t, c)
	q := declare(t, ch, Queue{})
	must(t, ch.Confirm(within(t)))
	var receipts []*receipt
	for i := range 2000 {
		r := newReceipt(fmt.Sprint(i))
		key := q
		if i%5 == 0 {
			key += "nobody"
		}
		for !ch.Publish(to(t, key, &Message{MessageID: r.id, Body: []byte("12345")}), r) {
			if !ch.Await() {
				t.Fatal(ch.Err())
			}
		}
		receipts = append(receipts, r)
	}
	for i, r := range receipts {
		if !next(t, "a confirm", r.acks) {
			t.Errorf("message %d was nacked", i)
		}
		if r.returned.Load() != (i%5 == 0) {
			t.Errorf("message %d: returned: %v", i, r.returned.Load())
		}
	}
	if n, size := ch.Pending(); n != 0 || size != 0 {
		t.Errorf("%d messages of %d bytes are pending, want none", n, size)
	}
	next(t, "the sign that less is pending", ch.Confirmed())
	state, err := ch.FindQueue(within(t), Queue{Name: q})
	if err != nil || state.Messages != 1600 || state.Consumers != 0 {
		t.Errorf("the queue has %+v, error %v, want 1600 messages", state, err)
	}
	must(t, ch.DeleteQueue(within(t), q, false))
	if left := ch.Unconfirmed(); len(left) > 0 {
		t.Errorf("%d are not confirmed", len(left))
	}
}

// A nack means that the message is not stored.
func TestNacks(t *testing.T) {
	ch := channel(t, open(t, Config{}))
	q := declare(t, ch, Queue{Arguments: Table{"x-max-length": 0, "x-overflow": "reject-publish"}})
	must(t, ch.Confirm(within(t)))
	r := newReceipt("1")
	ch.Publish(to(t, q, &Message{}), r)
	if next(t, "the confirm", r.acks) {
		t.Error("acked, want a nack")
	}
	must(t, ch.DeleteQueue(within(t), q, true))
}

// What was acked is gone when Close returns, and the rest has gone back.
func TestSettle(t *testing.T) {
	c := open(t, Config{})
	ch := channel(t, c)
	q := declare(t, ch, Queue{})
	const n = 1000
	for i := range n {
		for !ch.Publish(to(t, q, &Message{MessageID: fmt.Sprint(i)}), nil) {
			ch.Await()
		}
	}
	deliver, got := collect()
	must(t, ch.Consume(within(t), Consumption{Queue: q, Tag: "c"}, deliver))
	back := map[string]bool{}
	for range n + n/5 { // a fifth goes back once
		d := next(t, "a message", got)
		switch last := d.MessageID[len(d.MessageID)-1]; {
		case last == '3':
			back[d.MessageID] = true // by the end of the channel
		case last == '7' && !d.Redelivered:
			must(t, d.Nack(true))
		case last == '8' && !d.Redelivered:
			must(t, d.Reject(true))
		default:
			must(t, d.Ack())
		}
	}
	other := channel(t, c)
	deliver, got = collect()
	must(t, other.Qos(within(t), 1)) // of the same queue, which stays then
	must(t, other.Consume(within(t), Consumption{Queue: q, Tag: "other"}, deliver))
	must(t, ch.Close(within(t)))
	if err := ch.Ack(1); err != ErrClosed {
		t.Errorf("an ack on a closed channel: %v", err)
	}
	for range n / 10 {
		d := next(t, "a message that was not settled", got)
		if !back[d.MessageID] {
			t.Errorf("message %s came back, which was settled", d.MessageID)
		}
		delete(back, d.MessageID)
		must(t, d.Ack())
	}
	if state, err := other.FindQueue(within(t), Queue{Name: q}); err != nil || state.Messages != 0 || state.Consumers != 1 {
		t.Errorf("the queue has %+v, error %v, want no message", state, err)
	}
	must(t, other.Cancel(within(t), "other"))
	next(t, "the end of the consumer", other.Cancelled())
}

// What is got is there once; an empty queue has nothing.
func TestGet(t *testing.T) {
	ch := channel(t, open(t, Config{}))
	q := declare(t, ch, Queue{})
	must(t, ch.Confirm(within(t)))
	r := newReceipt("")
	ch.Publish(to(t, q, sample()), r)
	next(t, "the confirm", r.acks)
	for i := range 2 {
		r := newReceipt("")
		ch.Publish(to(t, q, &Message{}), r)
		next(t, "the confirm", r.acks)
		d, n, err := ch.Get(within(t), q)
		if err != nil || d == nil || n != 1 || i == 0 && !reflect.DeepEqual(d.Message, *sample()) {
			t.Fatalf("got %+v with %d more, error %v", d, n, err)
		}
	}
	must(t, ch.NackAll())
	for range 3 {
		d, _, err := ch.Get(within(t), q)
		if err != nil || d == nil {
			t.Fatalf("got %+v, error %v, after all were given back", d, err)
		}
		must(t, d.Ack())
	}
	if d, _, err := ch.Get(within(t), q); d != nil || err != nil {
		t.Errorf("an empty queue: %+v, %v", d, err)
	}
	must(t, ch.DeleteQueue(within(t), q, true))
}

// Every refusal closes the channel, with its code, and the connection goes on.
func TestRefusals(t *testing.T) {
	c := open(t, Config{})
	ch := channel(t, c)
	q := declare(t, ch, Queue{})
	mine := channel(t, open(t, Config{}))
	exclusive := t.Name() + "-exclusive"
	must(t, mine.DeclareQueue(within(t), Queue{Name: exclusive, Exclusive: true}))
	for what, test := range map[string]struct {
		code int
		do   func(*Channel) error
	}{
		"no exchange": {NotFound, func(ch *Channel) error { return ch.FindExchange(within(t), Exchange{Name: "nobody's"}) }},
		"no queue":    {NotFound, func(ch *Channel) error { _, err := ch.FindQueue(within(t), Queue{Name: "nobody's"}); return err }},
		"no queue to bind": {NotFound, func(ch *Channel) error {
			return ch.BindQueue(within(t), Binding{From: "amq.topic", To: "nobody's", Key: "k"})
		}},
		"no queue to consume from": {NotFound, func(ch *Channel) error {
			return ch.Consume(within(t), Consumption{Queue: "nobody's"}, func(*Delivery) {})
		}},
		"no queue to get from": {NotFound, func(ch *Channel) error { _, _, err := ch.Get(within(t), "nobody's"); return err }},
		"other flags": {PreconditionFailed, func(ch *Channel) error {
			return ch.DeclareQueue(within(t), Queue{Name: q, AutoDelete: true, Durable: true})
		}},
		"another's queue": {ResourceLocked, func(ch *Channel) error { _, err := ch.FindQueue(within(t), Queue{Name: exclusive}); return err }},
		"a reserved name": {AccessRefused, func(ch *Channel) error { return ch.DeclareQueue(within(t), Queue{Name: "amq.mine"}) }},
		"an unknown tag": {PreconditionFailed, func(ch *Channel) error {
			must(t, ch.Ack(99))
			<-ch.Done()
			return ch.Err()
		}},
		"no exchange to publish to": {NotFound, func(ch *Channel) error {
			must(t, ch.Confirm(within(t)))
			r := newReceipt("")
			if !ch.Publish(&Publishing{Exchange: "nobody's", Message: &Message{}}, r) {
				t.Fatal("not published")
			}
			<-ch.Done()
			if left := ch.Unconfirmed(); len(left) != 1 || left[0] != Receipt(r) {
				t.Errorf("unconfirmed are %v, want the message", left)
			}
			if ch.Publish(&Publishing{Message: &Message{}}, r) {
				t.Error("published on a channel that has ended")
			}
			return ch.Err()
		}},
	} {
		ch := channel(t, c)
		err := test.do(ch)
		if codeOf(err) != test.code {
			t.Errorf("%s: %v, want code %d", what, err, test.code)
		}
		next(t, what+": the end of the channel", ch.Done())
		if err := ch.Close(within(t)); codeOf(err) != test.code {
			t.Errorf("%s: closing the channel: %v, want the reason", what, err)
		}
		if err := ch.Qos(within(t), 1); codeOf(err) != test.code {
			t.Errorf("%s: used after its end: %v, want the reason", what, err)
		}
	}
	for what, err := range map[string]error{
		"a long name":     ch.FindExchange(within(t), Exchange{Name: strings.Repeat("x", 256)}),
		"a large table":   ch.DeclareQueue(within(t), Queue{Name: "q", Arguments: Table{"k": strings.Repeat("x", defaultFrameMax)}}),
		"a strange value": ch.DeclareQueue(within(t), Queue{Name: "q", Arguments: Table{"k": struct{}{}}}),
		"a prefetch":      ch.Qos(within(t), 1<<16),
		"two consumers": func() error {
			must(t, ch.Consume(within(t), Consumption{Queue: q, Tag: "1"}, func(*Delivery) {}))
			return ch.Consume(within(t), Consumption{Queue: q, Tag: "2"}, func(*Delivery) {})
		}(),
	} {
		if err == nil {
			t.Errorf("%s was sent", what)
		}
	}
	if err := ch.Qos(within(t), 1); err != nil {
		t.Errorf("the channel does not go on: %v", err)
	}
}

// The topology that the driver makes: exchanges of all kinds, bindings between
// them, arguments.
func TestTopology(t *testing.T) {
	ch := channel(t, open(t, Config{}))
	first, second := t.Name()+".a", t.Name()+".b"
	must(t, ch.DeclareExchange(within(t), Exchange{Name: second, Kind: "fanout", AutoDelete: true}))
	must(t, ch.DeclareExchange(within(t), Exchange{Name: first, Kind: "headers", AutoDelete: true, Arguments: Table{"alternate-exchange": "amq.fanout"}}))
	must(t, ch.BindExchange(within(t), Binding{From: first, To: second, Arguments: Table{"x-match": "all", "n": true}}))
	q := declare(t, ch, Queue{Exclusive: true, Arguments: Table{"x-expires": int32(600_000), "x-message-ttl": int64(1) << 33}})
	must(t, ch.BindQueue(within(t), Binding{From: second, To: q}))
	must(t, ch.FindExchange(within(t), Exchange{Name: first}))
	deliver, got := collect()
	must(t, ch.Consume(within(t), Consumption{Queue: q, NoAck: true, Exclusive: true, Arguments: Table{"x-priority": 5}}, deliver))
	p := to(t, "", &Message{Headers: Table{"n": true}, Body: []byte("1")})
	p.Exchange = first
	ch.Publish(p, nil)
	if d := next(t, "the message", got); d.Exchange != first || string(d.Body) != "1" {
		t.Errorf("got %+v", d)
	}
}

// A message that no queue takes comes back to OnReturn when there are no
// confirms.
func TestReturns(t *testing.T) {
	ch := channel(t, open(t, Config{}))
	bounce, got := collect()
	ch.OnReturn(bounce)
	m := sample()
	ch.Publish(to(t, "nobody's", m), nil)
	if d := next(t, "the message", got); !reflect.DeepEqual(d.Message, *m) || d.RoutingKey != "nobody's" {
		t.Errorf("got %+v, want %+v", d, m)
	}
}

// A body beyond BodyMax is read over, and what comes after it arrives.
func TestLargeBodiesAreDropped(t *testing.T) {
	ch := channel(t, open(t, Config{BodyMax: 100_000, FrameMax: smallFrame}))
	q := declare(t, ch, Queue{})
	deliver, got := collect()
	must(t, ch.Consume(within(t), Consumption{Queue: q, NoAck: true}, deliver))
	for _, size := range []int{100_001, 100_000, 3_000_000, 1} {
		ch.Publish(to(t, q, &Message{MessageID: fmt.Sprint(size), Body: make([]byte, size)}), nil)
		want := size
		if size > 100_000 {
			want = 0
		}
		d := next(t, "the message", got)
		if d.MessageID != fmt.Sprint(size) || d.Size != uint64(size) || len(d.Body) != want {
			t.Errorf("body of %d bytes: got %s with %d of %d bytes", size, d.MessageID, len(d.Body), d.Size)
		}
	}
}

// The broker's alarm, with its reason, and its end.
func TestBlocked(t *testing.T) {
	reasons := make(chan string, 10)
	ch := channel(t, open(t, Config{Blocked: func(reason string) { reasons <- reason }}))
	if _, err := node.Ctl("set_vm_memory_high_watermark", "0.00001"); err != nil {
		t.Fatal(err)
	}
	over := false
	free := func() {
		if !over {
			over = true
			if _, err := node.Ctl("set_vm_memory_high_watermark", "0.6"); err != nil {
				t.Error(err)
			}
		}
	}
	defer free()
	ch.Publish(to(t, "nobody's", &Message{}), nil)
	if reason := next(t, "the alarm", reasons); reason == "" {
		t.Error("the alarm has no reason")
	}
	free()
	if reason := next(t, "the end of the alarm", reasons); reason != "" {
		t.Errorf("the end of the alarm has the reason %q", reason)
	}
}

// The broker cancels a consumer whose queue is deleted.
func TestCancelledByTheBroker(t *testing.T) {
	c := open(t, Config{})
	ch, other := channel(t, c), channel(t, c)
	q := declare(t, ch, Queue{})
	must(t, ch.Consume(within(t), Consumption{Queue: q}, func(*Delivery) {}))
	must(t, other.DeleteQueue(within(t), q, false))
	next(t, "the end of the consumer", ch.Cancelled())
	if ch.Err() != nil {
		t.Errorf("the channel has ended, too: %v", ch.Err())
	}
	must(t, ch.Qos(within(t), 1))
}

// Numbers of channels are used again, and no more are open than was agreed on.
func TestChannelNumbers(t *testing.T) {
	c := open(t, Config{ChannelMax: 3})
	for range 10 {
		a, b, d := channel(t, c), channel(t, c), channel(t, c)
		if _, err := c.Channel(within(t)); err == nil {
			t.Fatal("a fourth channel was opened")
		}
		must(t, b.Close(within(t)))
		b = channel(t, c)
		if err := b.FindExchange(within(t), Exchange{Name: "nobody's"}); codeOf(err) != NotFound {
			t.Fatal(err)
		}
		for _, ch := range []*Channel{a, channel(t, c), d} {
			must(t, ch.Close(within(t)))
			must(t, ch.Close(within(t))) // twice is no mistake
		}
	}
}

// Whoever logs in wrongly hears why.
func TestLogins(t *testing.T) {
	for what, test := range map[string]struct {
		logins []Login
		want   func(error) bool
	}{
		"plain":            {[]Login{Plain("guest", "guest")}, func(err error) bool { return err == nil }},
		"amqplain":         {[]Login{AMQPlain("guest", "guest")}, func(err error) bool { return err == nil }},
		"the second":       {[]Login{External(), Plain("guest", "guest")}, func(err error) bool { return err == nil }},
		"a wrong password": {[]Login{Plain("guest", "wrong")}, func(err error) bool { return codeOf(err) == AccessRefused }},
		"no mechanism":     {[]Login{External()}, func(err error) bool { return errors.Is(err, ErrSASL) }},
	} {
		socket, err := net.Dial("tcp", address(t))
		must(t, err)
		c, err := Open(within(t), socket, guest(Config{Logins: test.logins}))
		if !test.want(err) {
			t.Errorf("%s: %v", what, err)
		}
		if err == nil {
			c.Close(within(t))
		}
	}
	socket, err := net.Dial("tcp", address(t))
	must(t, err)
	_, err = Open(within(t), socket, Config{Logins: []Login{Plain("guest", "guest")}, VHost: "nowhere"})
	if codeOf(err) != NotAllowed {
		t.Errorf("a vhost that is not there: %v", err)
	}
}

// A broker that closes the connection says why, on all its channels too.
func TestConnectionClosedByTheBroker(t *testing.T) {
	noLeaks(t)
	c := open(t, Config{Properties: Table{"connection_name": "mine"}})
	ch := channel(t, c)
	if _, err := node.Ctl("close_all_connections", "for a test"); err != nil {
		t.Fatal(err)
	}
	next(t, "the end of the connection", c.Done())
	for what, err := range map[string]error{"connection": c.Err(), "channel": ch.Err(), "use": ch.Qos(within(t), 1)} {
		if e, ok := errors.AsType[*Error](err); !ok || e.Code != 320 || !strings.Contains(e.Reason, "for a test") {
			t.Errorf("%s: %v, want CONNECTION_FORCED", what, err)
		}
	}
	c.Close(within(t))
}

// Heartbeats keep an idle connection up.
func TestHeartbeats(t *testing.T) {
	t.Parallel()
	c := open(t, Config{Heartbeat: time.Second})
	select {
	case <-c.Done():
		t.Fatal(c.Err())
	case <-time.After(6 * time.Second): // RabbitMQ gives up after two or three
	}
	must(t, channel(t, c).Close(within(t)))
}
