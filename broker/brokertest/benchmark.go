package brokertest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/enoki-go/enoki/broker"
)

// Benchmark measures, with 1, 16 and 128 callers, a call there and back, and an
// event from Emit to its confirmation while a Pool handles it. It also measures
// saving the state of a lock, and dead letters.
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
	b.Run("LockSave", func(b *testing.B) { measureSave(b, link, name) })
	b.Run("DeadLetter", func(b *testing.B) { measureDeadLetters(b, dial(), link, message) })
}

// measureSave measures keeping a state under a lock.
func measureSave(b *testing.B, link broker.Broker, name string) {
	l, err := link.Lock(b.Context(), name)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Release()
	for b.Loop() {
		if err := l.Save(b.Context(), []byte("2026-11-25T03:00:00Z")); err != nil {
			b.Fatal(err)
		}
	}
}

// measureDeadLetters measures reading letters, as ns/read, and retrying them,
// as ns/op, one after the other.
func measureDeadLetters(b *testing.B, service, link broker.Broker, message func() *broker.Message) {
	name := "bench-dead-" + newID()[:8]
	var died sync.Map
	buried := make(chan bool, b.N)
	m, err := service.Join(b.Context(), broker.Service{
		Instance: broker.Instance{Name: name, ID: newID()}, Workers: 100,
		Buried: func(broker.DeadLetter) { buried <- true },
		Subscriptions: []broker.Subscription{{Source: name, Event: "e", Handler: "h",
			Handle: func(_ context.Context, m *broker.Message) broker.Settlement {
				if _, again := died.LoadOrStore(m.ID, true); again {
					return broker.Settlement{}
				}
				return rejects("no")
			}}},
	})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Leave(context.Background())
	var emitters sync.WaitGroup
	for worker := range 50 {
		emitters.Go(func() {
			for n := worker; n < b.N; n += 50 {
				if err := link.Emit(b.Context(), name, "e", message()); err != nil {
					b.Error(err)
				}
			}
		})
	}
	emitters.Wait()
	for range b.N {
		<-buried
	}
	loop := func(do func(*broker.HeldLetter) error) {
		n := 0
		for l, err := range link.DeadLetters(b.Context(), broker.DeadLetterFilter{Service: name}) {
			if err == nil {
				err = do(l)
			}
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != b.N {
			b.Fatalf("%d letters, want %d", n, b.N)
		}
	}
	began := time.Now()
	loop(func(*broker.HeldLetter) error { return nil })
	read := time.Since(began)
	b.ResetTimer()
	loop(func(l *broker.HeldLetter) error { return l.Retry(b.Context()) })
	b.ReportMetric(float64(read.Nanoseconds())/float64(b.N), "ns/read")
}

// measure runs send by 1, 16 and 128 callers, each one after the other.
func measure(b *testing.B, name string, send func() error) {
	for _, callers := range []int{1, 16, 128} {
		b.Run(fmt.Sprintf("%s/callers=%d", name, callers), func(b *testing.B) { sendBy(b, callers, send) })
	}
}

func sendBy(b *testing.B, callers int, send func() error) {
	b.ReportAllocs()
	var left atomic.Int64
	left.Store(int64(b.N))
	var running sync.WaitGroup
	for range callers {
		running.Go(func() {
			for left.Add(-1) >= 0 {
				if err := send(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
}
