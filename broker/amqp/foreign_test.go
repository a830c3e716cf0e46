package amqp

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
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
	sampled, err := wire.AppendTable(nil, wire.Table{"n": int64(7), "large": int64(1) << 40, "f": 1.5, "list": []any{int32(1), nil, "x"}, "table": wire.Table{"k": "v"},
		"at": time.Unix(1764055835, 0), "bytes": []byte{1, 2}, "decimal": wire.Decimal{Scale: 2, Value: 314}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sampled, "text/plain", []byte("body"))
	for _, text := range junk {
		f.Add([]byte{}, text, []byte(text))
		for _, v := range []any{text, []byte(text), int64(-1), int64(1<<63 - 1), int64(-1 << 63), nil, true, []any{text}, wire.Decimal{Scale: 255, Value: -1},
			wire.Table{"$time": text}, wire.Table{"$map": wire.Table{"k": text}}} {
			all := wire.Table{}
			for _, h := range append([]string{headerFirst, headerRevived, headerTerm, headerNumber, headerCompression, headerMethodID, headerBackoff,
				headerOneWay, headerExchange, headerRoutingKey, headerLater, headerLevel + "0", headerDeliveryCount, "nameko.k", "k"}, lettersOnly...) {
				all[h] = v
			}
			headers, err := wire.AppendTable(nil, all)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(headers, "application/json", []byte(text))
		}
		packed, err := wire.AppendTable(nil, wire.Table{headerPacked: int64(len(text)), headerID: "id", headerQueue: text})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed, "application/json", []byte(text+"body"))
		compressed, err := wire.AppendTable(nil, wire.Table{headerCompression: zlibType})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(compressed, "application/json", []byte(text))
	}
	f.Fuzz(func(t *testing.T, headers []byte, text string, body []byte) {
		table, _ := wire.DecodeTable(headers) // nil if it can't be read
		got := func() *wire.Delivery {
			return &wire.Delivery{Message: wire.Message{Headers: table, ContentType: text, CorrelationID: text, MessageID: text, Type: text, Body: body},
				Exchange: text, RoutingKey: text}
		}
		d := &delivery{Delivery: *got()}
		m := message(&d.Delivery)
		if m.Attempt < 1 || m.ID == "" || len(m.Body) > maxInflated+len(body) {
			t.Errorf("attempt %d at %q with %d bytes", m.Attempt, m.ID, len(m.Body))
		}
		if written, err := headersOf(&broker.Message{Context: m.Context}); err == nil {
			if _, err := wire.DecodeTable(written); err != nil {
				t.Errorf("%v was sent on as what can't be read", m.Context)
			}
		}
		_, _, _, _ = isStale(d), firstOf(d), inflatedCost(&d.Delivery), startsOf(&d.Delivery)
		if _, err := wire.AppendTable(nil, copyOf(d).Headers); err != nil {
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
