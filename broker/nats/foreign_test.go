package nats

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enoki-go/enoki/broker"
)

var silent = slog.New(slog.DiscardHandler)

// junk is what strangers write, as seeds.
var junk = []string{
	"", "\x00", "null", "{}", "[]", `""`, "{", "\xff\xfe", "1e999", "junk", `{"k":null}`, `{"k":{"$time":"9999-12-31T23:59:59-23:59"}}`,
	`{"k":{"$float":"NaN"}}`, `{"k":{"$map":{"$time":1}}}`, `{"k":{"$time":"x"}}`, `{"\u0000":"\ud800"}`, `{"":1}`, `{"k":9223372036854775808}`,
	`{"` + strings.Repeat("k", 300) + `":1}`, `{"k":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`, `{} junk`,
	`{"k":` + strings.Repeat(`{"a":`, 90) + "1" + strings.Repeat("}", 90) + `}`,
	`{"id":"a","attempts":-1}`, `{"attempts":1e3}`, `{"starts":9223372036854775807,"delivery":18446744073709551615}`,
	`{"due":"0000-01-01T00:00:00Z","delay":-9223372036854775808,"first":"9999-12-31T23:59:59Z"}`,
	`{"name":"x","metadata":{"enoki":"null"}}`, `{"name":"x","metadata":{"enoki":"{"},"endpoints":[null,{"name":"m"}]}`,
	`{"service":"a.b","handler":"*","id":">","attempts":-5,"message":{"Body":"x"},"consumer":"c"}`,
	"9999999999999999999-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "0001-01-01T00:00:00+23:59",
}

// sendable fails unless what was read can be sent on, by a frame and by
// headers, and then is what it was.
func sendable(t *testing.T, m *broker.Message) {
	t.Helper()
	first := framed(t, m)
	if again := framed(t, first); again.ID != m.ID || again.ContentType != m.ContentType || string(again.Body) != string(m.Body) ||
		!same(again.Context, first.Context) {
		t.Errorf("%+v was sent on as %+v", m, again)
	}
	msg, err := encode("s", m)
	if err != nil {
		t.Fatalf("%+v was read and can't be sent with headers: %v", m, err)
	}
	if again := decode(msg, silent); again.ContentType != m.ContentType || !same(again.Context, first.Context) {
		t.Errorf("%+v was sent on as %+v", m, again)
	}
}

// framed returns m as it arrives when it is sent as a frame: times lose their
// zone and what is less than a second.
func framed(t *testing.T, m *broker.Message) *broker.Message {
	t.Helper()
	frame, err := appendFrame(nil, m)
	if err != nil {
		t.Fatalf("%+v was read and can't be sent as a frame: %v", m, err)
	}
	again := readFrame(&natsgo.Msg{Data: frame}, silent)
	if again == nil {
		t.Fatalf("%+v was sent as a frame that is none", m)
	}
	return again
}

// same tells whether context data is equal; NaN is so to itself.
func same(a, b map[string]any) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b) || fmt.Sprint(a) == fmt.Sprint(b)
}

// FuzzFrame: whatever begins like a frame is one that can be sent on, or none.
func FuzzFrame(f *testing.F) {
	for _, text := range junk {
		f.Add([]byte(text))
		f.Add(append([]byte{frameMark}, text...))
		f.Add(append([]byte{frameMark, 0, 0}, appendPart(nil, text)...))
	}
	f.Add([]byte{frameMark, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{frameMark, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1})
	f.Add([]byte{frameMark, 5, 'a'})
	f.Fuzz(func(t *testing.T, data []byte) {
		msg := &natsgo.Msg{Data: data}
		if m := readFrame(msg, silent); m != nil {
			sendable(t, m)
		}
		if decodeCall(msg, silent) == nil {
			t.Error("a call was read as nothing")
		}
		_, _ = statusOf(msg), takesFrame(msg)
	})
}

// FuzzHeaders: a message with any headers, or none, can be read and sent on, as
// an event, a call, a reply, an event that is due and a dead letter.
func FuzzHeaders(f *testing.F) {
	f.Add("", "", "", "", []byte(nil))
	for _, text := range junk {
		f.Add(text, text, text, text, []byte(text))
		f.Add("id", "application/json", text, "{}", []byte("{}"))
		f.Add("id", "", "", text, []byte("{}"))
	}
	f.Fuzz(func(t *testing.T, id, kind, context, other string, body []byte) {
		d := &Driver{log: silent}
		header := natsgo.Header{
			idHeader: {id}, typeHeader: {kind}, contextHeader: {context}, statusHeader: {other}, frameHeader: {}, errorHeader: nil,
			dueHeader: {other}, deadHeader: {other}, restHeader: {other}, onewayHeader: {other}, pinHeader: {other},
		}
		for _, msg := range []*natsgo.Msg{{Data: body}, {Data: body, Header: natsgo.Header{}}, {Data: body, Header: header}} {
			msg.Subject = "enoki.dead.a.b.c"
			sendable(t, decodeCall(msg, silent))
			if _, err := json.Marshal(revivedAs(msg)); err != nil {
				t.Errorf("%q was read as a dead letter that can't be written: %v", other, err)
			}
			_ = time.Until(dueOf(msg))
			if rest := restOf(msg.Header); rest != "" && (!strings.HasPrefix(rest, restPrefix) || strings.ContainsAny(rest, "*> \t\r\n")) {
				t.Errorf("the end of a dead letter is said to be in %q", rest)
			}
			raw := &jetstream.RawStreamMsg{Subject: msg.Subject, Header: msg.Header, Data: msg.Data, Sequence: 7}
			held := d.hold(raw)
			if held.Message == nil || held.ID == "" || string(held.Message.Body) != string(body) {
				t.Errorf("%q became the dead letter %+v", other, held.DeadLetter)
			}
			if _, err := (letter{DeadLetter: held.DeadLetter}).revive(raw, held.Message); err != nil {
				t.Errorf("the dead letter %+v can't go back: %v", held.DeadLetter, err)
			}
			if c := readClaim(raw); len(c.state) == 0 && c.state != nil {
				t.Error("an empty state is one")
			}
		}
	})
}

// FuzzAnswer: an answer to discovery names an instance, or is none.
func FuzzAnswer(f *testing.F) {
	for _, text := range junk {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		msg := &natsgo.Msg{Data: data}
		in, ok := instance(msg)
		if ok == (in.Name == "") {
			t.Errorf("%q is read as %+v (%v)", data, in, ok)
		}
		if _, err := json.Marshal(in); err != nil {
			t.Errorf("%+v can't be shown: %v", in, err)
		}
		_ = identity(msg)
	})
}

// FuzzAttempts: what is said of earlier attempts can be counted on and written
// again, or is refused.
func FuzzAttempts(f *testing.F) {
	for _, text := range junk {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := readAttempts(data)
		if err != nil {
			return
		}
		if next := a.Attempts + a.Starts + 1; next < 1 {
			t.Errorf("%q counts as attempt %d", data, next)
		}
		if wait := a.wait(); wait > 0 && wait > a.Delay {
			t.Errorf("%q has the event wait for %v, longer than its delay", data, wait)
		}
		if _, err := json.Marshal(a); err != nil {
			t.Errorf("%+v can't be written: %v", a, err)
		}
	})
}

// FuzzSubject: a name that comes from outside is one token of a subject, which
// is that name again; a subject of others has a source and a method.
func FuzzSubject(f *testing.F) {
	for _, text := range junk {
		f.Add(text)
	}
	for _, text := range []string{"%", "%zz", "a.b", "*", ">", "a b", "é", "enoki.events.", "."} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		made := token(text)
		if made == "" || strings.ContainsAny(made, ".*> \t\r\n") || name(made) != text {
			t.Errorf("%q became the token %q, which is %q", text, made, name(made))
		}
		_, _ = sourceOf(text), methodOf(text)
		if isInstance(text) && len(made) > maxForeign {
			t.Errorf("%d bytes may be the name of an instance", len(made))
		}
	})
}
