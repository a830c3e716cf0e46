package amqp

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/rabbitmq/amqp091-go"

	"github.com/enoki-go/enoki/broker"
)

var silent = slog.New(slog.DiscardHandler)

// junk is what strangers write, as seeds.
var junk = []string{
	"", "\x00", "null", "{}", "[]", `""`, "{", "\xff\xfe", "junk", `{"Name":null}`, `{"name":"x","methods":[null]}`, `{"exchange":1}`,
	"\x78\x9c", "\x78\x9c\x03\x00\x00\x00\x00\x01", "BZh91AY&SY", "9999-12-31T23:59:59-23:59",
}

// FuzzDelivery: a message with any headers can be read as a request, a reply, an
// event, a dead letter, the state of a lock and a control message, and sent on.
func FuzzDelivery(f *testing.F) {
	sampled, err := appendTable(nil, sample().msg.Headers, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sampled, "text/plain", []byte("body"))
	for _, text := range junk {
		f.Add([]byte{}, text, []byte(text))
		for _, v := range []any{text, []byte(text), int64(-1), int64(1<<63 - 1), int64(-1 << 63), nil, true, []any{text}, amqp091.Decimal{Scale: 255, Value: -1},
			amqp091.Table{"$time": text}, amqp091.Table{"$map": amqp091.Table{"k": text}}} {
			all := amqp091.Table{}
			for _, h := range append([]string{headerFirst, headerRevived, headerTerm, headerNumber, headerCompression, headerMethodID, headerBackoff,
				headerOneWay, headerExchange, headerRoutingKey, headerLater, headerLevel + "0", headerDeliveryCount, "nameko.k", "k"}, lettersOnly...) {
				all[h] = v
			}
			headers, err := appendTable(nil, all, 0)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(headers, "application/json", []byte(text))
		}
		packed, err := appendTable(nil, amqp091.Table{headerPacked: int64(len(text)), headerID: "id", headerQueue: text}, 0)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed, "application/json", []byte(text+"body"))
		compressed, err := appendTable(nil, amqp091.Table{headerCompression: zlibType}, 0)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(compressed, "application/json", []byte(text))
	}
	f.Fuzz(func(t *testing.T, headers []byte, text string, body []byte) {
		fields := decoder{b: headers, names: &names{}}
		table := fields.table(0)
		if fields.broken {
			table = nil
		}
		got := func() *amqp091.Delivery {
			return &amqp091.Delivery{Headers: table, ContentType: text, CorrelationId: text, MessageId: text, Type: text, Exchange: text, RoutingKey: text, Body: body}
		}
		d := &delivery{Delivery: *got()}
		m := message(&d.Delivery)
		if m.Attempt < 1 || m.ID == "" || len(m.Body) > maxInflated+len(body) {
			t.Errorf("attempt %d at %q with %d bytes", m.Attempt, m.ID, len(m.Body))
		}
		if written, err := headersOf(&broker.Message{Context: m.Context}); err == nil {
			fields := decoder{b: written, names: &names{}}
			if fields.table(0); fields.broken {
				t.Errorf("%v was sent on as what can't be read", m.Context)
			}
		}
		_, _, _, _ = isStale(d), firstOf(d), inflatedCost(&d.Delivery), startsOf(&d.Delivery)
		if _, err := appendTable(nil, copyOf(d).Headers, 0); err != nil {
			t.Errorf("a copy of %v can't be sent: %v", d.Headers, err)
		}

		dead := got()
		l := (&deadReader{driver: &Driver{log: silent}}).letter(dead)
		if l.ID == "" || l.Message == nil || l.Kind == broker.KindUnreadable && fmt.Sprint(table[headerKind]) != broker.KindUnreadable {
			t.Errorf("%v became the dead letter %+v", table, l)
		}
		if o, err := revive(dead, &l); err == nil && o.msg.Headers == nil {
			t.Error("a dead letter goes back without headers")
		}

		if s := stateOf(got()); s.term < 0 || s.number < 0 || s.term+1 < 0 || s.number+1 < 0 {
			t.Errorf("a lock has term %d and number %d", s.term, s.number)
		}
	})
}

// FuzzFrames: whatever frames come on a lane, it takes them or leaves them to
// the library, and allocates no more than came.
func FuzzFrames(f *testing.F) {
	head := string([]byte{0, classBasic, 0, methodDeliver})
	f.Add([]byte(head+"\x01t\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01e\x01k"), []byte("\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00"), []byte("body"))
	f.Add([]byte(head), []byte("\x00\x3c\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), []byte("body"))
	f.Add([]byte{0, classBasic, 0, methodReturn}, []byte{}, []byte{})
	f.Add([]byte{0, classBasic, 0, methodAck, 255, 255, 255, 255, 255, 255, 255, 255, 1}, []byte{0}, []byte{1})
	for _, text := range junk {
		f.Add([]byte(text), []byte(text), []byte(text))
		f.Add([]byte(head+text), []byte("\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x20\x00"+text), []byte(text))
	}
	f.Fuzz(func(t *testing.T, method, header, body []byte) {
		s := newStream(conn{}, silent)
		s.opened = 1
		l := s.open()
		came := 0
		check := func(d *delivery) {
			came++
			if cap(d.Body) > maxAllocated+4*len(body)+64 {
				t.Errorf("%d bytes are kept for a body of %d", cap(d.Body), len(body))
			}
		}
		l.deliver, l.bounce, l.confirm = check, check, func(uint64, bool, bool) {}
		for _, part := range []struct {
			kind    byte
			payload []byte
		}{{frameBody, body}, {frameHeader, header}, {frameMethod, method}, {frameHeader, header}, {frameBody, body}, {frameBody, body}} {
			frame, from := beginFrame(nil, part.kind, 1)
			l.take(endFrame(append(frame, part.payload...), from))
		}
		if came > 1 {
			t.Errorf("%d messages came of one", came)
		}
	})
}

// FuzzControl: what answers a ping is an instance, or refused.
func FuzzControl(f *testing.F) {
	for _, text := range junk {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if i, err := instance(body); err == nil && i.Name == "" {
			t.Errorf("%q is an instance without a name", body)
		}
		var ask controlBind
		_ = json.Unmarshal(body, &ask)
	})
}
