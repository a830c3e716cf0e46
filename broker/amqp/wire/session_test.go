package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

var record = flag.Bool("record", false, "write what RabbitMQ sends in TestRecord to testdata")

// session is where the frames stand that RabbitMQ has sent in one session.
var session = filepath.Join("testdata", "session.bin")

// tee keeps what is read.
type tee struct {
	net.Conn
	mu   sync.Mutex
	read bytes.Buffer
}

func (c *tee) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read.Write(p[:n])
	return n, err
}

// TestRecord does all that is done with a broker, and with -record writes what
// RabbitMQ has sent: the seeds of the fuzz targets.
func TestRecord(t *testing.T) {
	socket, err := net.Dial("tcp", address(t))
	must(t, err)
	kept := &tee{Conn: socket}
	c, err := Open(within(t), kept, guest(Config{FrameMax: smallFrame}))
	must(t, err)
	ch := channel(t, c)
	q := declare(t, ch, Queue{Name: "recorded"})
	must(t, ch.DeclareExchange(within(t), Exchange{Name: "recorded", Kind: "topic", AutoDelete: true}))
	must(t, ch.BindQueue(within(t), Binding{From: "recorded", To: q, Key: "#"}))
	must(t, ch.Confirm(within(t)))
	for i, size := range []int{0, 5, 300, 10_000} {
		m := sample()
		m.MessageID, m.Body = fmt.Sprint(i), bytes.Repeat([]byte("x"), size)
		for _, key := range []string{q, "nobody's"} {
			r := newReceipt(m.MessageID)
			ch.Publish(to(t, key, m), r)
			next(t, "the confirm", r.acks)
		}
	}
	d, _, err := ch.Get(within(t), q)
	must(t, err)
	must(t, d.Nack(true))
	must(t, ch.Qos(within(t), 10))
	deliver, got := collect()
	must(t, ch.Consume(within(t), Consumption{Queue: q, Tag: "recorded"}, deliver))
	for range 4 {
		d := next(t, "a message", got)
		must(t, d.Ack())
	}
	refused := channel(t, c)
	if err := refused.FindExchange(within(t), Exchange{Name: "nobody's"}); codeOf(err) != NotFound {
		t.Error(err)
	}
	must(t, channel(t, c).DeleteQueue(within(t), q, false))
	next(t, "the end of the consumer", ch.Cancelled())
	must(t, ch.Close(within(t)))
	c.Close(within(t))
	if *record {
		must(t, os.MkdirAll(filepath.Dir(session), 0o755))
		must(t, os.WriteFile(session, kept.read.Bytes(), 0o644))
	}
}

// recorded returns the frames of the session, each whole.
func recorded(t testing.TB) [][]byte {
	t.Helper()
	b, err := os.ReadFile(session)
	must(t, err)
	var frames [][]byte
	for len(b) > 0 {
		n := frameExtra + int(binary.BigEndian.Uint32(b[3:]))
		frames = append(frames, b[:n])
		b = b[n:]
	}
	if len(frames) < 40 {
		t.Fatalf("only %d frames are recorded", len(frames))
	}
	return frames
}

// from is what can be read of a broker.
type from struct {
	net.Conn
	r io.Reader
}

func (f from) Read(p []byte) (int, error)       { return f.r.Read(p) }
func (f from) Write(p []byte) (int, error)      { return len(p), nil }
func (f from) Close() error                     { return nil }
func (f from) SetWriteDeadline(time.Time) error { return nil }

// heard is what a client hears of the frames of the first channel that carry
// messages and confirms.
type heard struct {
	messages []Delivery
	acks     []bool
	err      error
}

// replay has a channel read frames, as if it had asked for them.
func replay(r io.Reader) (h heard) {
	c, ch := offline(from{r: r})
	keep := func(d *Delivery) {
		d.channel = nil
		h.messages = append(h.messages, *d)
	}
	ch.deliver.Store(&keep)
	ch.OnReturn(keep)
	ch.confirms.begin()
	for range 100 {
		ch.confirms.add(counter{&h.acks}, 1)
	}
	_, h.err = c.readFrames()
	return h
}

type counter struct{ acks *[]bool }

func (c counter) Returned(*Delivery) bool { return false }
func (c counter) Confirmed(ack bool)      { *c.acks = append(*c.acks, ack) }

// However the network cuts the bytes of a session, the same arrives.
func TestCutsOfTheNetwork(t *testing.T) {
	in := messages(recorded(t))
	whole := replay(bytes.NewReader(in))
	if len(whole.messages) != 8 || len(whole.acks) != 8 || !errors.Is(whole.err, io.ErrUnexpectedEOF) {
		t.Fatalf("got %d messages, %d confirms, %v; want 8 of each", len(whole.messages), len(whole.acks), whole.err)
	}
	for _, d := range whole.messages {
		want := sample()
		want.MessageID, want.Body = d.MessageID, bytes.Repeat([]byte("x"), len(d.Body))
		if !reflect.DeepEqual(&d.Message, want) || d.Size != uint64(len(d.Body)) {
			t.Errorf("got %+v, want %+v", d.Message, want)
		}
	}
	for what, r := range map[string]io.Reader{
		"byte by byte":  iotest.OneByteReader(bytes.NewReader(in)),
		"half by half":  iotest.HalfReader(bytes.NewReader(in)),
		"data with EOF": iotest.DataErrReader(bytes.NewReader(in)),
	} {
		if got := replay(r); !reflect.DeepEqual(got.messages, whole.messages) || !reflect.DeepEqual(got.acks, whole.acks) {
			t.Errorf("%s: got %+v, want %+v", what, got, whole)
		}
	}
	if got := replay(iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(in)))); !errors.Is(got.err, iotest.ErrTimeout) {
		t.Errorf("a network that fails: %v, want its error", got.err)
	}
}

// messages returns the frames of the first channel that replay hears.
func messages(frames [][]byte) (in []byte) {
	heard := false // what the content at hand belongs to
	for _, f := range frames {
		if f[0] == frameMethod {
			m, _, _ := methodOf(f[frameHead:])
			heard = m == basicDeliver || m == basicReturn || m == basicAck
		}
		if heard && binary.BigEndian.Uint16(f[1:]) == 1 {
			in = append(in, f...)
		}
	}
	return in
}

// FuzzFrames: whatever a broker sends, reading ends with a reason, nothing
// panics, and no more is kept than came.
func FuzzFrames(f *testing.F) {
	all := recorded(f)
	f.Add(bytes.Join(all, nil))
	for i, one := range all {
		f.Add(one)
		f.Add(bytes.Join(all[i:min(i+4, len(all))], nil))
	}
	f.Add([]byte("\x01\x00\x01\x00\x00\x00\x14\x00\x3c\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01e\x01k\xce" +
		"\x02\x00\x01\x00\x00\x00\x0e\x00\x3c\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\xce")) // an endless body
	f.Fuzz(func(t *testing.T, b []byte) {
		h := replay(bytes.NewReader(b))
		if h.err == nil {
			t.Error("reading has ended without a reason")
		}
		for _, d := range h.messages {
			if cap(d.Body) > maxAllocated+4*len(b)+64 || d.Size != uint64(len(d.Body)) {
				t.Errorf("%d of %d bytes are kept, of %d that came", cap(d.Body), d.Size, len(b))
			}
		}
	})
}

// FuzzHandshake: whatever a broker says in the handshake, it ends.
func FuzzHandshake(f *testing.F) {
	all := recorded(f)
	for n := range 4 {
		f.Add(bytes.Join(all[:n], nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, _ := offline(from{r: bytes.NewReader(b)})
		c.config.Logins = []Login{Plain("guest", "guest")}
		if err := c.handshake(); err == nil && (c.config.FrameMax < minFrame || c.config.ChannelMax == 0 || c.config.Heartbeat < 0) {
			t.Errorf("agreed on %+v", c.config)
		}
	})
}

// FuzzProperties: a content header is read and written again as it was, as far
// as its values go, and what can't be read is left out.
func FuzzProperties(f *testing.F) {
	for _, one := range recorded(f) {
		if one[0] == frameHeader {
			f.Add(one[frameHead : len(one)-1])
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m, again Message
		d := decoder{b: b, names: &names{}}
		if _, whole := d.properties(&m); !whole {
			return
		}
		headers, err := AppendTable(nil, m.Headers)
		if err != nil {
			return // a float that RabbitMQ would not have let through
		}
		d = decoder{b: m.appendProperties(make([]byte, 12), headers), names: &names{}}
		_, whole := d.properties(&again)
		if len(m.Headers) == 0 {
			m.Headers, again.Headers = nil, nil
		}
		if !whole || len(d.b) > 0 || fmt.Sprint(again) != fmt.Sprint(m) {
			t.Errorf("%q was read as %+v and, written, as %+v (whole: %v)", b, m, again, whole)
		}
	})
}

// FuzzTable: a table is read as it was written, and whatever a stranger sends,
// the decoder ends.
func FuzzTable(f *testing.F) {
	sampled, _ := AppendTable(nil, sample().Headers)
	f.Add(sampled)
	f.Add([]byte("\x01kA\x00\x00\x00\x09L12345678\x01kz"))
	for _, one := range recorded(f) {
		if one[0] == frameHeader {
			f.Add(one[frameHead+14 : len(one)-1])
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		table, err := DecodeTable(b)
		if err != nil {
			return
		}
		written, err := AppendTable(nil, table)
		if err != nil {
			return // a float that RabbitMQ would not have let through
		}
		again, err := DecodeTable(written)
		if err != nil || fmt.Sprint(again) != fmt.Sprint(table) {
			t.Errorf("%q was read as %v and, written, as %v, error %v", b, table, again, err)
		}
	})
}
