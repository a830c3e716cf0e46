package enoki_test

import (
	"context"
	"iter"
	"testing"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/telemetry"
)

// document is of 128 bytes as JSON.
type document struct {
	ID    string   `json:"id"`
	Name  string   `json:"name"`
	Email string   `json:"email"`
	Age   int      `json:"age"`
	Score float64  `json:"score"`
	Tags  []string `json:"tags"`
	OK    bool     `json:"ok"`
}

var sample = document{"7434029", "Augusta Ada King, Lovelace", "ada@example.org", 36, 1.5, []string{"maths", "poems"}, true}

// documents is the contract of the benchmarks.
type documents struct {
	Echo func(ctx context.Context, d document) (document, error) `args:"d"`
}

// direct is a broker without transport: a call is handed to the service in the
// goroutine of its caller, so what is measured is Enoki's own.
type direct struct {
	broker.Broker
	serve func(ctx context.Context, method string, req *broker.Message) *broker.Message
}

func (d *direct) Join(ctx context.Context, s broker.Service) (broker.Member, error) {
	d.serve = s.Serve
	return d.Broker.Join(ctx, s)
}

func (d *direct) Call(ctx context.Context, _, method string, req *broker.Message) (*broker.Message, error) {
	return d.serve(ctx, method, req), nil
}

// echo returns a call of the document, by way of a broker or within a process,
// and what stops its service.
func echo(link broker.Broker, near bool, o *enoki.Options) (call func(context.Context, document) (document, error), stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ready, stopped := make(chan struct{}), make(chan error)
	o.OnReady = func() { close(ready) }
	var d documents
	services := []*enoki.Service{enoki.NewService("documents", enoki.RPC(documents{
		Echo: func(_ context.Context, d document) (document, error) { return d, nil },
	}))}
	if near {
		services = append(services, enoki.NewService("caller", enoki.Needs("documents", &d)))
	}
	go func() { stopped <- enoki.Run(ctx, link, o, services...) }()
	<-ready
	if !near {
		_ = enoki.NewClient(link, o).Bind("documents", &d)
	}
	return d.Echo, func() { cancel(); <-stopped }
}

// setting is a way to call.
type setting struct {
	name    string
	link    broker.Broker
	near    bool
	options func() *enoki.Options
	allocs  float64 // at most, of both sides
}

func settings() []setting {
	plain := func() *enoki.Options { return &enoki.Options{} }
	return []setting{
		{"near", memory.New(), true, plain, 9},
		{"direct", &direct{Broker: memory.New()}, false, plain, 30},
		{"measured", &direct{Broker: memory.New()}, false, measured, 32},
		{"memory", memory.New(), false, plain, 58},
	}
}

// measured has metrics on, as package host has them.
func measured() *enoki.Options {
	m := telemetry.NewMetrics()
	around := func(begin func(service, method, kind string) func(code string)) []enoki.Middleware {
		return []enoki.Middleware{func(next enoki.Handler) enoki.Handler {
			return func(ctx context.Context, c *enoki.Call) error {
				ended := begin(c.Service, c.Method, string(c.Kind))
				err := next(ctx, c)
				if err == nil {
					ended(telemetry.OK)
				} else {
					ended(string(enoki.CodeOf(err)))
				}
				return err
			}
		}}
	}
	return &enoki.Options{Middleware: around(m.Handling), CallMiddleware: around(m.Calling)}
}

// BenchmarkCall is a call with a document of 128 bytes as argument and result:
// to a service of the same process; through all of Enoki but no transport,
// also with metrics on; and over the memory broker.
func BenchmarkCall(b *testing.B) {
	for _, s := range settings() {
		b.Run(s.name, func(b *testing.B) {
			call, stop := echo(s.link, s.near, s.options())
			defer stop()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := call(b.Context(), sample); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// slack is what pools allocate anew under the race detector, which empties them
// at random.
const slack = 4

// TestAllocationsOfCall keeps what a call allocates from growing unseen.
func TestAllocationsOfCall(t *testing.T) {
	for _, s := range settings() {
		call, stop := echo(s.link, s.near, s.options())
		got := testing.AllocsPerRun(200, func() {
			if _, err := call(context.Background(), sample); err != nil {
				t.Error(err)
			}
		})
		stop()
		if got > s.allocs+slack {
			t.Errorf("%s: a call allocates %.0f times, want at most %.0f", s.name, got, s.allocs+slack)
		}
	}
}

// BenchmarkEmit is an event over the memory broker until it is stored.
func BenchmarkEmit(b *testing.B) {
	link := memory.New()
	defer link.Close()
	emit := enoki.Emitter(enoki.NewClient(link, nil), Posted)
	b.ReportAllocs()
	for b.Loop() {
		if err := emit(b.Context(), Comment{Article: 7, Text: "well said"}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStream is one item of a stream of results: of a service of the same
// process, and over a broker that costs nearly nothing.
func BenchmarkStream(b *testing.B) {
	type counter struct {
		Count func(ctx context.Context, to int) (iter.Seq2[Comment, error], error) `rpc:"count" args:"stop"`
	}
	served := enoki.NewService("counter", enoki.RPC(counter{func(_ context.Context, to int) (iter.Seq2[Comment, error], error) {
		return func(yield func(Comment, error) bool) {
			for n := range to {
				if !yield(Comment{Article: n, Text: "well said"}, nil) {
					return
				}
			}
		}, nil
	}}))
	for _, name := range []string{"near", "memory"} {
		b.Run(name, func(b *testing.B) {
			var near, client counter
			c, stop := serve(served, enoki.NewService("reader", enoki.Needs("counter", &near)))
			defer stop()
			if err := c.Bind("counter", &client); err != nil {
				b.Fatal(err)
			}
			if name == "near" {
				client = near
			}
			b.ReportAllocs()
			seq, err := client.Count(b.Context(), b.N)
			if err != nil {
				b.Fatal(err)
			}
			read := 0
			for _, err := range seq {
				if err != nil {
					b.Fatal(err)
				}
				read++
			}
			if read != b.N {
				b.Fatalf("got %d of %d items", read, b.N)
			}
		})
	}
}
