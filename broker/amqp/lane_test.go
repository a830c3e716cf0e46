package amqp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/rabbitmq/amqp091-go"
)

// sample is a message with everything that a message can have.
func sample() *outgoing {
	return &outgoing{exchange: "ex", key: "a.b", mandatory: true, msg: amqp091.Publishing{
		Headers: amqp091.Table{"n": int64(7), "large": int64(1) << 40, "f": 1.5, "s": "text", "ok": true,
			"list": []any{int32(1), nil, "x"}, "table": amqp091.Table{"k": "v"}, "at": time.Unix(1764055835, 0),
			"bytes": []byte{1, 2}, "decimal": amqp091.Decimal{Scale: 2, Value: 314}},
		ContentType: "application/json", ContentEncoding: "utf-8", DeliveryMode: 2, Priority: 3, CorrelationId: "c",
		ReplyTo: "r", Expiration: "1000", MessageId: "m", Timestamp: time.Unix(1764055835, 0), Type: "t", UserId: "u", AppId: "a",
		Body: bytes.Repeat([]byte("0123456789"), 30),
	}}
}

// asDelivered turns frames of basic.publish on channel 1 into those of
// basic.deliver with the tag 9.
func asDelivered(t *testing.T, o *outgoing, most int) []byte {
	t.Helper()
	if err := o.check(defaultLimits); err != nil {
		t.Fatal(err)
	}
	sent := appendPublish(nil, 1, o, most)
	b, from := beginFrame(nil, frameMethod, 1)
	b = append(b, 0, classBasic, 0, methodDeliver)
	b = appendShort(b, "tag")
	b = binary.BigEndian.AppendUint64(b, 9)
	b = appendShort(append(b, 1), o.exchange)
	b = endFrame(appendShort(b, o.key), from)
	return append(b, sent[frameLength(sent):]...)
}

// However the network cuts the bytes, the lane gets the message as it was sent
// and the library all else.
func TestLaneTakesItsMessages(t *testing.T) {
	beat, other := "\x08\x00\x00\x00\x00\x00\x00\xce", "\x01\x00\x02\x00\x00\x00\x04abcd\xce"
	in := beat + string(asDelivered(t, sample(), 100)) + other + string(asDelivered(t, sample(), 4096)) + beat
	for what, r := range map[string]io.Reader{
		"whole":        strings.NewReader(in),
		"byte by byte": iotest.OneByteReader(strings.NewReader(in)),
		"half by half": iotest.HalfReader(strings.NewReader(in)),
	} {
		s := newStream(conn{r: r}, slog.New(slog.DiscardHandler))
		s.opened = 1
		var got []*delivery
		s.open().deliver = func(d *delivery) { got = append(got, d) }
		rest, err := io.ReadAll(s)
		if err != nil || string(rest) != beat+other+beat {
			t.Errorf("%s: the library got %q and error %v, want %q", what, rest, err, beat+other+beat)
		}
		if len(got) != 2 {
			t.Fatalf("%s: the lane got %d messages, want 2", what, len(got))
		}
		for _, d := range got {
			wantSample(t, d)
		}
	}
}

func wantSample(t *testing.T, d *delivery) {
	t.Helper()
	want := sample()
	want.msg.Headers["n"] = int32(7) // 32 bits suffice
	sent := amqp091.Publishing{
		Headers: d.Headers, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: d.DeliveryMode,
		Priority: d.Priority, CorrelationId: d.CorrelationId, ReplyTo: d.ReplyTo, Expiration: d.Expiration, MessageId: d.MessageId,
		Timestamp: d.Timestamp, Type: d.Type, UserId: d.UserId, AppId: d.AppId, Body: d.Body,
	}
	if !reflect.DeepEqual(sent, want.msg) {
		t.Errorf("got %+v, want %+v", sent, want.msg)
	}
	if d.Exchange != want.exchange || d.RoutingKey != want.key || d.DeliveryTag != 9 || !d.Redelivered || d.ConsumerTag != "tag" {
		t.Errorf("got %q by %q with tag %d of %q, redelivered %v", d.Exchange, d.RoutingKey, d.DeliveryTag, d.ConsumerTag, d.Redelivered)
	}
}

// writes is a connection on which a write takes until the test has taken its
// bytes.
type writes struct {
	net.Conn
	written chan []byte
}

func (w writes) Write(b []byte) (int, error) {
	w.written <- bytes.Clone(b)
	return len(b), nil
}

func (w writes) Close() error                     { return nil }
func (w writes) SetWriteDeadline(time.Time) error { return nil }

// What is acked while a write is under way goes with the next one: together as
// far as nothing is missing between, else one by one.
func TestAcksAreJoined(t *testing.T) {
	w := writes{written: make(chan []byte)}
	s := newStream(w, slog.New(slog.DiscardHandler))
	s.opened = 1
	l := s.open()
	defer s.fail(net.ErrClosed)
	ack := func(tags ...uint64) {
		for _, tag := range tags {
			if err := l.Ack(tag, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	one := func(tag uint64) string { return string(appendSettle(nil, 1, methodAck, tag, 0)) }
	upTo := func(tag uint64) string { return string(appendSettle(nil, 1, methodAck, tag, 1)) }
	batch := func(tags ...uint64) string {
		s.mu.Lock()
		defer s.mu.Unlock()
		l.acks = append(l.acks, tags...)
		l.settleAll()
		b := string(s.out)
		s.out = nil
		return b
	}
	ack(1)
	if got := string(<-w.written); got != one(1) {
		t.Errorf("the first ack: got %q, want %q", got, one(1))
	}
	for _, step := range []struct {
		tags []uint64
		want string
	}{
		{[]uint64{4, 2, 3}, upTo(4)},
		{[]uint64{7, 6}, one(6) + one(7)}, // 5 is missing
		{[]uint64{5}, one(5)},             // 6 and 7 have been acked
		{[]uint64{9, 8, 11}, upTo(9) + one(11)},
	} {
		if got := batch(step.tags...); got != step.want {
			t.Errorf("acks of %d: got %q, want %q", step.tags, got, step.want)
		}
	}
	if err := l.Nack(10, false, true); err != nil {
		t.Fatal(err)
	}
	if got, want := string(<-w.written), string(appendSettle(nil, 1, methodNack, 10, 2)); got != want {
		t.Errorf("nack: got %q, want %q", got, want)
	}
	if got := batch(12, 13); got != upTo(13) {
		t.Errorf("acks after a nack: got %q, want %q", got, upTo(13))
	}
}

// A write of several messages has the next ones wait for others to join; one
// message alone never waits.
func TestCrowdedBySeveral(t *testing.T) {
	s := newStream(writes{}, slog.New(slog.DiscardHandler))
	s.begun.Do(func() {}) // here we are the goroutine that writes
	s.opened = 1
	l := s.open()
	tag := uint64(0)
	write := func(acks int) {
		for range acks {
			tag++
			if err := l.Ack(tag, false); err != nil {
				t.Fatal(err)
			}
		}
		s.gather()
	}
	for _, step := range []struct{ acks, times, crowded int }{
		{1, 3, 0},
		{2, 1, crowdLasts},
		{0, 1, crowdLasts}, // nothing was written
		{1, 1, crowdLasts - 1},
		{3, 1, crowdLasts},
		{1, crowdLasts + 1, 0},
	} {
		for range step.times {
			write(step.acks)
		}
		if s.crowded != step.crowded {
			t.Errorf("after %d writes of %d acks: crowded for %d more, want %d", step.times, step.acks, s.crowded, step.crowded)
		}
	}
}

// A channel that the library closes takes nothing more, and what was acked
// before goes out before.
func TestLaneEndsWithItsChannel(t *testing.T) {
	w := writes{written: make(chan []byte, 10)}
	s := newStream(w, slog.New(slog.DiscardHandler))
	defer s.fail(net.ErrClosed)
	s.opened = 1
	l := s.open()
	closing := []byte("\x01\x00\x01\x00\x00\x00\x04\x00\x14\x00\x28\xce")
	s.mu.Lock()
	l.acks = []uint64{1, 2}
	s.mu.Unlock()
	for _, half := range [][]byte{closing[:5], closing[5:]} {
		if _, err := s.Write(half); err != nil {
			t.Fatal(err)
		}
	}
	want := string(appendSettle(nil, 1, methodAck, 2, 1)) + string(closing)
	var got string
	for len(got) < len(want) {
		got += string(<-w.written)
	}
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if l.publish(sample()) || !errors.Is(l.Ack(3, false), amqp091.ErrClosed) || !errors.Is(l.Nack(3, false, true), amqp091.ErrClosed) {
		t.Error("a lane whose channel is closed has taken something")
	}
}

// Whatever a stranger sends as headers, the decoder ends, and takes what the
// encoder makes.
func FuzzHeaders(f *testing.F) {
	sampled, _ := appendTable(nil, sample().msg.Headers, 0)
	f.Add(sampled)
	f.Add([]byte("\x01kA\x00\x00\x00\x09L12345678\x01kz"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := decoder{b: b, names: &names{}}
		table := d.table(0)
		if d.broken {
			return
		}
		again, err := appendTable(nil, table, 0)
		if err != nil {
			t.Fatalf("%q was decoded as %v and can't be encoded: %v", b, table, err)
		}
		d = decoder{b: again, names: &names{}}
		if d.table(0); d.broken {
			t.Errorf("%v was encoded as %q, which can't be decoded", table, again)
		}
	})
}

func BenchmarkPublishFrames(b *testing.B) {
	o := sample()
	if err := o.check(defaultLimits); err != nil {
		b.Fatal(err)
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = appendPublish(buf[:0], 1, o, maxFrame)
	}
}
