package brokertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/enoki-go/enoki/broker"
)

// BenchmarkEvents measures events from the first Emit to the last handler, with
// and without an order. It also measures how late delayed events come.
func BenchmarkEvents(b *testing.B, f Fixture) {
	link := f.Dial(b)
	b.Cleanup(func() { _ = link.Close() })
	b.Run("Handled", func(b *testing.B) { handled(b, f, link, nil) })
	b.Run("HandledInOrder", func(b *testing.B) { handled(b, f, link, keyOf) })
	b.Run("EmitLater", func(b *testing.B) {
		source := "bench-" + newID()[:8]
		b.SetParallelism(100)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				m := text("x")
				m.Due = time.Now().Add(time.Hour)
				if err := link.Emit(context.Background(), source, "e", m); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
	b.Run("Lateness", func(b *testing.B) { lateness(b, f, link) })
}

// receive joins a service whose events go to handle.
func receive(b *testing.B, f Fixture, orderBy func(*broker.Message) string, handle func(*broker.Message)) (source string) {
	link := f.Dial(b)
	b.Cleanup(func() { _ = link.Close() })
	source = "bench-" + newID()[:8]
	s := broker.Service{
		Instance: broker.Instance{Name: source, ID: newID()}, Workers: 100,
		Subscriptions: []broker.Subscription{{Source: source, Event: "e", Handler: "h", OrderBy: orderBy,
			Handle: func(_ context.Context, m *broker.Message) broker.Settlement {
				handle(m)
				return broker.Settlement{}
			}}},
	}
	m, err := link.Join(b.Context(), s)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = m.Leave(context.Background()) })
	return source
}

// handled emits events of a hundred keys and waits until they are handled.
func handled(b *testing.B, f Fixture, link broker.Broker, orderBy func(*broker.Message) string) {
	var all sync.WaitGroup
	source := receive(b, f, orderBy, func(*broker.Message) { all.Done() })
	var n atomic.Int64
	b.SetParallelism(100)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			all.Add(1)
			if err := link.Emit(context.Background(), source, "e", text(fmt.Sprintf("%d-", n.Add(1)%100))); err != nil {
				b.Error(err)
				all.Done()
				return
			}
		}
	})
	all.Wait()
}

// lateness emits 200 events that are due in 1 to 3 s.
func lateness(b *testing.B, f Fixture, link broker.Broker) {
	const events = 200
	late := make(chan time.Duration, events)
	source := receive(b, f, nil, func(m *broker.Message) {
		due, err := time.Parse(time.RFC3339Nano, string(m.Body))
		if err != nil {
			b.Error(err)
		}
		late <- time.Since(due)
	})
	var sum, most time.Duration
	for b.Loop() {
		for range events {
			due := time.Now().Add(time.Second + rand.N(2*time.Second))
			m := text(due.Format(time.RFC3339Nano))
			m.Due = due
			if err := link.Emit(context.Background(), source, "e", m); err != nil {
				b.Fatal(err)
			}
		}
		for range events {
			d := <-late
			sum += d
			most = max(most, d)
		}
	}
	b.ReportMetric(float64(sum.Milliseconds())/float64(events*b.N), "ms-late")
	b.ReportMetric(float64(most.Milliseconds()), "ms-late-most")
}
