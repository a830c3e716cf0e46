package amqp

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
	"github.com/enoki-go/enoki/internal/testserver"
)

// oddities makes values that a sender may try, from random bytes.
type oddities struct{ *rand.Rand }

func (o oddities) key() string {
	keys := []string{"", "k", "CC", "BCC", "x-death", "x-delay", "x-match", "x-delivery-count", "compression", "\x00", "\xff", "$float", "$map", "nameko.", "enoki-later",
		strings.Repeat("k", 248), strings.Repeat("\xff", 120), strings.Repeat("k", 300)}
	return keys[o.IntN(len(keys))]
}

func (o oddities) value(depth int) any {
	values := []any{nil, true, "text", "\xff\xfe", "\x00", strings.Repeat("x", o.IntN(60_000)), int8(-1), uint8(255), int64(math.MinInt64),
		uint64(math.MaxUint64), 1.5, math.NaN(), math.Inf(1), float32(math.Inf(-1)), math.SmallestNonzeroFloat64, math.MaxFloat64,
		time.Time{}, time.Unix(1<<40, 0), time.Unix(-1, 5), time.Now(), []byte("bytes"), struct{}{}, func() {}, []string{"typed"}, errors.New("error")}
	n := o.IntN(len(values) + 6)
	switch {
	case n < len(values):
		return values[n]
	case depth > 40:
		return nil
	case n%2 == 0:
		list := make([]any, o.IntN(4))
		for i := range list {
			list[i] = o.value(depth + 1)
		}
		return list
	}
	return o.table(depth + 1)
}

func (o oddities) table(depth int) map[string]any {
	m := map[string]any{}
	for range o.IntN(5) {
		m[o.key()] = o.value(depth)
	}
	return m
}

// FuzzContextData: what is written as headers can be read, and nothing panics.
func FuzzContextData(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, a, b uint64) {
		data := oddities{rand.New(rand.NewPCG(a, b))}.table(0)
		written, err := headersOf(&broker.Message{Context: data})
		if err != nil {
			if !errors.Is(err, broker.ErrInvalid) {
				t.Errorf("%#v: %v, want ErrInvalid", data, err)
			}
			return
		}
		table, err := wire.DecodeTable(written)
		if err != nil {
			t.Fatalf("%#v: what was written can't be read", data)
		}
		again, err := headersOf(&broker.Message{Context: contextOf(table)})
		if err != nil || len(again) != len(written) {
			t.Errorf("%#v: %d bytes, sent on %d bytes, error %v", data, len(written), len(again), err)
		}
	})
}

// TestOddMessages: whatever a sender tries is refused or taken. The channel
// that all share stays the same, and what has been taken arrives.
func TestOddMessages(t *testing.T) {
	d := dial(t, Config{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	q := Queue{Name: "odd", AutoDelete: true}
	arrived := make(chan string, 2000)
	m, err := d.Consume(ctx, Consumption{Queue: q, Handle: func(_ context.Context, r *Received) broker.Settlement {
		arrived <- r.ID
		return broker.Settlement{}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Leave(ctx)
	channel := d.publisher.channel.Load()
	odd := oddities{rand.New(rand.NewPCG(1, 2))}
	taken := map[string]bool{}
	for range 600 {
		p := &Publishing{RoutingKey: q.Name, Mandatory: true, Headers: odd.table(0), Message: &broker.Message{ID: orNew(""), Context: odd.table(0)}}
		switch err := d.Publish(ctx, p); {
		case err == nil:
			taken[p.Message.ID] = true
		case !errors.Is(err, broker.ErrInvalid):
			t.Fatalf("headers %#v, context data %#v: %v, want nil or ErrInvalid", p.Headers, p.Message.Context, err)
		}
		if d.publisher.channel.Load() != channel {
			t.Fatalf("headers %#v, context data %#v: the channel was lost", p.Headers, p.Message.Context)
		}
	}
	if len(taken) < 20 {
		t.Errorf("only %d were taken", len(taken))
	}
	for n := len(taken); n > 0; {
		if id := <-arrived; taken[id] {
			delete(taken, id)
			n--
		}
	}
}

// TestSmallFrames: a broker that allows small frames gets small ones, and what
// fits none is refused.
func TestSmallFrames(t *testing.T) {
	if node == nil {
		testserver.Skip(t, "RabbitMQ is not installed")
	}
	s := testserver.RabbitMQWith(t, testserver.RabbitMQSettings{Config: []string{"frame_max = 8192"}})
	d := dial(t, Config{URL: s.URL()})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	echo := func(_ context.Context, _ string, req *broker.Message) *broker.Message { return req }
	m, err := d.Join(ctx, broker.Service{Instance: broker.Instance{Name: "small", ID: "1"}, Workers: 1, Serve: echo})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Leave(ctx)
	body := []byte(strings.Repeat("x", 100_000))
	reply, err := d.Call(ctx, "small", "m", &broker.Message{ContentType: jsonType, Body: body, Context: map[string]any{"k": strings.Repeat("x", 4000)}})
	if err != nil || len(reply.Body) != len(body) {
		t.Fatalf("a call with a large body: %v", err)
	}
	_, err = d.Call(ctx, "small", "m", &broker.Message{ContentType: jsonType, Context: map[string]any{"k": strings.Repeat("x", 9000)}})
	if !errors.Is(err, broker.ErrInvalid) {
		t.Errorf("a call with headers over the frame: %v, want ErrInvalid", err)
	}
	if err := d.Ready(); err != nil {
		t.Errorf("after that: %v", err)
	}
}

// TestBrokerTakesLess: the broker's own limit is learned from its first
// refusal, and others on the same channel do not suffer from that one.
func TestBrokerTakesLess(t *testing.T) {
	if node == nil {
		testserver.Skip(t, "RabbitMQ is not installed")
	}
	s := testserver.RabbitMQWith(t, testserver.RabbitMQSettings{Config: []string{"max_message_size = 65536"}})
	d := dial(t, Config{URL: s.URL()})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stop, others := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				others <- nil
				return
			default:
			}
			if err := d.Emit(ctx, "small", "e", &broker.Message{Body: []byte("small")}); err != nil {
				others <- err
				return
			}
		}
	}()
	large := &broker.Message{Body: make([]byte, 65537)}
	if err := d.Emit(ctx, "small", "e", large); !errors.Is(err, broker.ErrInvalid) {
		t.Errorf("the first one too large: %v, want ErrInvalid", err)
	}
	if err := d.publisher.await(ctx); err != nil {
		t.Fatal(err)
	}
	channel := d.publisher.channel.Load()
	if err := d.CheckEvent("small", "e", large); !errors.Is(err, broker.ErrInvalid) {
		t.Errorf("the next one, checked: %v, want ErrInvalid", err)
	}
	if err := d.Emit(ctx, "small", "e", large); !errors.Is(err, broker.ErrInvalid) || d.publisher.channel.Load() != channel {
		t.Errorf("the next one: %v, want ErrInvalid and the same channel", err)
	}
	close(stop)
	if err := <-others; err != nil {
		t.Errorf("a small one meanwhile: %v", err)
	}
}
