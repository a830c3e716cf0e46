package brokertest

import (
	"context"
	"testing"

	"github.com/enoki-go/enoki/broker"
)

// Benchmark measures a call there and back, and an event from Emit to its
// confirmation while a Pool handles it, one after the other and in parallel.
func Benchmark(b *testing.B, f Fixture) {
	dial := func() broker.Broker {
		link := f.Dial(b)
		b.Cleanup(func() { _ = link.Close() })
		return link
	}
	name := "bench-" + newID()[:8]
	s := broker.Service{
		Instance:      broker.Instance{Name: name, ID: newID()},
		Workers:       100,
		Serve:         func(_ context.Context, _ string, req *broker.Message) *broker.Message { return req },
		Subscriptions: []broker.Subscription{{Source: name, Event: "e", Handler: "h", Handle: done}},
	}
	m, err := dial().Join(b.Context(), s)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = m.Leave(context.Background()) })
	link := dial()
	body := []byte(`{"args":["7434029"],"kwargs":{}}`)
	message := func() *broker.Message {
		return &broker.Message{ID: newID(), ContentType: "application/json", Body: body,
			Context: map[string]any{"call_id_stack": []any{"bench.call.1"}}}
	}
	measure(b, "Call", func() error {
		_, err := link.Call(context.Background(), name, "m", message())
		return err
	})
	measure(b, "Emit", func() error { return link.Emit(context.Background(), name, "e", message()) })
}

// measure runs send in one goroutine, and in a hundred for each processor.
func measure(b *testing.B, name string, send func() error) {
	b.Run(name+"/sequential", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := send(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run(name+"/parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(100)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := send(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}
