package memory_test

import (
	"testing"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/brokertest"
	"github.com/enoki-go/enoki/broker/memory"
)

func fixture() brokertest.Fixture {
	b := memory.New()
	return brokertest.Fixture{
		Dial: func(testing.TB) broker.Broker { return b.Link() },
		Doomed: func(testing.TB) (broker.Broker, func()) {
			link := b.Link()
			return link, func() { _ = link.Close() } // always nil
		},
		KeepsNoIDs: true,
	}
}

func TestPromises(t *testing.T) { brokertest.Run(t, fixture()) }

func Benchmark(b *testing.B) { brokertest.Benchmark(b, fixture()) }

func BenchmarkEvents(b *testing.B) { brokertest.BenchmarkEvents(b, fixture()) }
