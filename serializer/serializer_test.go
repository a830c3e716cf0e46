package serializer_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/serializer"
)

const document = `{"args":["Ada",-7,18446744073709551615,1.5,1.0,-2.0,100000000000000000000.0,true,null,["x",{}]],"kwargs":{"ü":"é\n\"<"}}`

func TestRoundTrips(t *testing.T) {
	for _, s := range []enoki.Serializer{serializer.MsgPack(), serializer.YAML()} {
		body, err := s.Encode([]byte(document))
		if err != nil {
			t.Fatalf("%s: %v", s.Name, err)
		}
		back, err := s.Decode(body)
		if err != nil {
			t.Fatalf("%s: %v", s.Name, err)
		}
		if !sameJSON(t, back, []byte(document)) {
			t.Errorf("%s gave back %s, want %s", s.Name, back, document)
		}
	}
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	decode := func(text []byte) (v any) {
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		return v
	}
	return reflect.DeepEqual(decode(a), decode(b))
}

// What Python's msgpack 1.1 and PyYAML 6.0 write, by
// msgpack.packb(v, use_bin_type=True) and yaml.dump(v).
func TestWhatPythonWrites(t *testing.T) {
	packed, _ := hex.DecodeString("82a461726773930107a3" + "c3bc78" + "a66b776172677382a166cb3ff8000000000000a162c403000102")
	for _, test := range []struct {
		s          enoki.Serializer
		body, want string
	}{
		{serializer.MsgPack(), string(packed), `{"args":[1,7,"üx"],"kwargs":{"f":1.5,"b":"AAEC"}}`},
		{serializer.MsgPack(), "\x83\xa1a\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00\x01\xca\x40\x00\x00\x00\xa1c\x92\x02\xca\x3f\x00\x00\x00", `{"a":1.0,"1":2.0,"c":[2,0.5]}`},
		{serializer.YAML(), "a: 1.0\nb: [2, 3.0, .5]\n", `{"a":1.0,"b":[2,3.0,0.5]}`},
		{serializer.YAML(), "args:\n- 1\n- \"\\xFCx\"\nkwargs:\n  f: 1.5\n  n: null\n  t: true\n", `{"args":[1,"üx"],"kwargs":{"f":1.5,"n":null,"t":true}}`},
	} {
		got, err := test.s.Decode([]byte(test.body))
		if err != nil || !sameJSON(t, got, []byte(test.want)) {
			t.Errorf("%s: got %s, %v; want %s", test.s.Name, got, err, test.want)
		}
	}
}

func TestBrokenBodies(t *testing.T) {
	pack := serializer.MsgPack()
	for _, body := range []string{"", "\xc1", "\x93\x01", "\x01\x01", "\x81\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00\x01", "\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", strings.Repeat("\x91", 2000) + "\x01"} {
		if got, err := pack.Decode([]byte(body)); err == nil {
			t.Errorf("msgpack %x was read as %s", body, got)
		}
	}
	document := serializer.YAML()
	for _, body := range []string{"a: [", "\tx: 1"} {
		if got, err := document.Decode([]byte(body)); err == nil {
			t.Errorf("yaml %q was read as %s", body, got)
		}
	}
	if _, err := pack.Encode([]byte("184467440737095516150")); err == nil {
		t.Error("a number over 64 bits was written")
	}
}

func TestByName(t *testing.T) {
	for name, want := range map[string]string{"msgpack": "application/x-msgpack", "yaml": "application/x-yaml"} {
		if s, err := serializer.ByName(name); err != nil || s.ContentType != want {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
	if s, err := serializer.ByName("json"); s != nil || err != nil {
		t.Errorf("json: %v, %v; want none", s, err)
	}
	for _, name := range []string{"pickle", "xml", ""} {
		if _, err := serializer.ByName(name); err == nil {
			t.Errorf("%q was found", name)
		}
	}
}

// spy notes the content types that pass a broker.
type spy struct {
	*memory.Broker
	request, reply string
}

func (s *spy) Call(ctx context.Context, service, method string, m *broker.Message) (*broker.Message, error) {
	s.request = m.ContentType
	reply, err := s.Broker.Call(ctx, service, method, m)
	if err == nil {
		s.reply = reply.ContentType
	}
	return reply, err
}

func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	b, ready, done := &spy{Broker: memory.New()}, make(chan struct{}), make(chan struct{})
	defer b.Close()
	pack := serializer.MsgPack()
	go func() {
		defer close(done)
		options := &enoki.Options{Accept: []enoki.Serializer{pack}, OnReady: func() { close(ready) },
			Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
		add := func(_ context.Context, a, b int) (int, error) { return a + b, nil }
		fmt.Print(errorText(enoki.Run(ctx, b, options, enoki.NewService("math", enoki.Method("add", add, "a", "b")))))
	}()
	<-ready

	for _, form := range []*enoki.Serializer{nil, &pack} {
		c := enoki.NewClient(b, &enoki.Options{Serializer: form})
		sum, err := c.Call(ctx, "math", "add", []any{2, 3}, nil)
		fmt.Println(string(sum), err, b.request, b.reply)
	}
	cancel()
	<-done
	// Output:
	// 5 <nil> application/json application/json
	// 5 <nil> application/x-msgpack application/x-msgpack
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func FuzzMsgPack(f *testing.F) {
	body, _ := serializer.MsgPack().Encode([]byte(document))
	f.Add(body)
	f.Fuzz(func(t *testing.T, body []byte) {
		plain, err := serializer.MsgPack().Decode(body)
		if err == nil && !json.Valid(plain) {
			t.Errorf("%x became %q, which is not JSON", body, plain)
		}
	})
}
