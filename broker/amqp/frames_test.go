package amqp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/rabbitmq/amqp091-go"

	"github.com/enoki-go/enoki/broker"
)

// python writes ints as py-amqp does: with the type L.
type python struct{ net.Conn }

func (p python) Write(b []byte) (int, error) {
	return p.Conn.Write(bytes.ReplaceAll(b, []byte("nameko.bigl"), []byte("nameko.bigL")))
}

// One event with an int of 64 bits from Python must not keep a service from
// working for ever.
func TestLongIntsFromPython(t *testing.T) {
	d := dial(t, Config{})
	source := name("src")
	got := make(chan *broker.Message, 1)
	join(t, d, broker.Service{Instance: broker.Instance{Name: name("svc")}, Subscriptions: []broker.Subscription{
		{Source: source, Event: "e", Handler: "h", Handle: func(_ context.Context, m *broker.Message) broker.Settlement {
			got <- m
			return broker.Settlement{}
		}}}})
	conn, err := amqp091.DialConfig(node.URL(), amqp091.Config{Dial: func(network, addr string) (net.Conn, error) {
		c, err := net.Dial(network, addr)
		return python{c}, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err == nil {
		err = ch.Publish(source+".events", "e", false, false, amqp091.Publishing{
			Headers: amqp091.Table{"nameko.big": int64(-1) << 40, "nameko.after": "x"}, Body: []byte("1")})
	}
	if err != nil {
		t.Fatal(err)
	}
	m := next(t, "the event", got)
	if want := map[string]any{"big": int64(-1) << 40, "after": "x"}; !reflect.DeepEqual(m.Context, want) {
		t.Errorf("context data: got %v, want %v", m.Context, want)
	}
}

// frame returns a header frame whose headers are the given fields, with a
// content type before and a correlation id after them.
func frame(fields string) []byte {
	var p bytes.Buffer
	p.Write([]byte{0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0xa4, 0}) // class, weight, body size, flags
	p.WriteString("\x01j")
	_ = binary.Write(&p, binary.BigEndian, uint32(len(fields)))
	p.WriteString(fields + "\x02id")
	var f bytes.Buffer
	f.Write([]byte{2, 0, 1})
	_ = binary.Write(&f, binary.BigEndian, uint32(p.Len()))
	f.Write(append(p.Bytes(), 0xce))
	return f.Bytes()
}

// bare is the frame without headers.
func bare() []byte {
	f := frame("")
	f[frameHead+12] &^= flagHeaders >> 8
	f = append(f[:frameHead+16], f[frameHead+20:]...)
	f[6] -= 4
	return f
}

func TestReadableHeader(t *testing.T) {
	deep := func(n int) string { // n arrays in each other
		s := ""
		for range n {
			length := binary.BigEndian.AppendUint32(nil, uint32(len(s)))
			s = "A" + string(length) + s
		}
		return "\x01k" + s
	}
	for what, c := range map[string]struct {
		fields, want string
		dropped      bool
	}{
		"every type": {
			fields: "\x01kt\x01\x01kb1\x01kB1\x01ks12\x01ku12\x01kI1234\x01ki1234\x01kf1234\x01kD12345\x01kl12345678\x01kd12345678\x01kT12345678\x01kV" +
				"\x01kS\x00\x00\x00\x02ab\x01kx\x00\x00\x00\x01a\x01kF\x00\x00\x00\x03\x01kV\x01kA\x00\x00\x00\x02VV",
		},
		"L and U":                {fields: "\x01kL12345678\x01kU12", want: "\x01kl12345678\x01ks12"},
		"L in an array":          {fields: "\x01kA\x00\x00\x00\x09L12345678\x01kV", want: "\x01kA\x00\x00\x00\x09l12345678\x01kV"},
		"L as text":              {fields: "\x02kLS\x00\x00\x00\x02LL"},
		"none":                   {},
		"depth 32":               {fields: deep(32)},
		"depth 33":               {fields: deep(33), dropped: true},
		"8192 in a list":         {fields: "\x01kA\x00\x00\x20\x00" + strings.Repeat("V", 8192)},
		"8193 in a list":         {fields: "\x01kA\x00\x00\x20\x01" + strings.Repeat("V", 8193), dropped: true},
		"unknown type":           {fields: "\x01kz1", dropped: true},
		"no type":                {fields: "\x01k", dropped: true},
		"name over the end":      {fields: "\x09k", dropped: true},
		"number over the end":    {fields: "\x01kI123", dropped: true},
		"text over the end":      {fields: "\x01kS\x00\x00\x00\x09a", dropped: true},
		"text of negative size":  {fields: "\x01kS\xff\xff\xff\xffa", dropped: true},
		"table over the end":     {fields: "\x01kF\x00\x00\x00\x09\x01kV", dropped: true},
		"value over the table's": {fields: "\x01kF\x00\x00\x00\x03\x01kI1234", dropped: true},
	} {
		want := frame(c.fields)
		if c.want != "" {
			want = frame(c.want)
		}
		if c.dropped {
			want = bare()
		}
		got, whole := readableHeader(frame(c.fields))
		if !bytes.Equal(got, want) || whole == c.dropped {
			t.Errorf("%s: got %q (whole: %v), want %q", what, got, whole, want)
		}
	}
}

// conn is what can be read from a broker.
type conn struct {
	net.Conn
	r io.Reader
}

func (c conn) Read(p []byte) (int, error) { return c.r.Read(p) }

// However the network cuts the bytes, all arrive, in order.
func TestReadableStream(t *testing.T) {
	method, body := "\x01\x00\x01\x00\x00\x00\x04abcd\xce", "\x03\x00\x01\x00\x00\x00\x05hello\xce"
	beat := "\x08\x00\x00\x00\x00\x00\x00\xce"
	in := strings.Repeat(method+string(frame("\x01kL12345678"))+body+beat, 3)
	want := strings.Repeat(method+string(frame("\x01kl12345678"))+body+beat, 3)
	for what, r := range map[string]io.Reader{
		"whole":         strings.NewReader(in),
		"byte by byte":  iotest.OneByteReader(strings.NewReader(in)),
		"half by half":  iotest.HalfReader(strings.NewReader(in)),
		"data with EOF": iotest.DataErrReader(strings.NewReader(in)),
	} {
		got, err := io.ReadAll(iotest.OneByteReader(newStream(conn{r: r}, slog.New(slog.DiscardHandler))))
		if string(got) != want || err != nil {
			t.Errorf("%s: got %q and error %v, want %q", what, got, err, want)
		}
	}
	cut := in[:len(in)-40]
	if _, err := io.ReadAll(newStream(conn{r: iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(cut)))}, slog.New(slog.DiscardHandler))); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("a network that fails: got %v, want its error", err)
	}
}

func FuzzReadableHeader(f *testing.F) {
	f.Add(frame("\x01kL12345678"))
	f.Add(frame("\x01kA\x00\x00\x00\x09L12345678\x01kz"))
	f.Add(bare())
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < frameHead+1 {
			return
		}
		binary.BigEndian.PutUint32(b[3:], uint32(len(b)-frameHead-1)) // as Read has made sure
		length := len(b)
		got, whole := readableHeader(b)
		if whole && len(got) != length {
			t.Errorf("%q has another length, %d", got, length)
		}
		if len(got) != frameLength(got) {
			t.Errorf("the frame %q does not have the length that it says", got)
		}
		if again, whole := readableHeader(bytes.Clone(got)); !whole || !bytes.Equal(again, got) {
			t.Errorf("%q is not readable yet: %q", got, again)
		}
	})
}
