package enoki_test

import (
	"context"
	"testing"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker/memory"
)

// BenchmarkCall is a call with one argument and one result: to a service of
// the same process, and over a broker that costs nearly nothing, which shows
// what Enoki itself does.
func BenchmarkCall(b *testing.B) {
	for name, services := range map[string]func(*Greeter) []*enoki.Service{
		"near":   func(g *Greeter) []*enoki.Service { return []*enoki.Service{greeting(), needing(g)} },
		"memory": func(g *Greeter) []*enoki.Service { return []*enoki.Service{greeting()} },
	} {
		b.Run(name, func(b *testing.B) {
			var g Greeter
			c, stop := serve(services(&g)...)
			defer stop()
			if name == "memory" {
				if err := enoki.Bind(c, "greeter", &g); err != nil {
					b.Fatal(err)
				}
			}
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := g.Hello(ctx, "Ada"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func greeting() *enoki.Service { return enoki.NewService("greeter", enoki.RPC(Greeter{Hello: hello})) }

func needing(g *Greeter) *enoki.Service { return enoki.NewService("caller", enoki.Needs("greeter", g)) }

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
