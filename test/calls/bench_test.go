package calls

import (
	"fmt"
	"testing"
)

// BenchmarkStream is one item of a stream of numbers.
func BenchmarkStream(b *testing.B) {
	for name, dial := range brokers {
		b.Run(name, func(b *testing.B) {
			c := &cluster{b, dial(b)}
			c.run(newCounting("a").service())
			var client counter
			c.bind("counter", &client)
			seq, err := client.Count(b.Context(), 0, b.N)
			if err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			for _, err := range seq {
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "items/s")
		})
	}
}

// BenchmarkEveryInstance is a call to all instances of a service.
func BenchmarkEveryInstance(b *testing.B) {
	const instances = 10
	for name, dial := range brokers {
		b.Run(fmt.Sprint(name, "/", instances), func(b *testing.B) {
			c := &cluster{b, dial(b)}
			for i := range instances {
				c.run(newCounting(fmt.Sprint(i)).service())
			}
			var client counter
			c.bind("counter", &client)
			for b.Loop() {
				if replies, err := client.Names(b.Context()); err != nil || len(replies) != instances {
					b.Fatalf("got %d replies and error %v", len(replies), err)
				}
			}
		})
	}
}
