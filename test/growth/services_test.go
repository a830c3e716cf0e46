package growth

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
)

const (
	fewServices  = 20
	manyServices = 120

	// maxService is what an idle service may hold in memory, in bytes. Where its
	// broker is embedded, the stream of its events is in this process, too.
	maxService = 200e3
	maxStream  = 100e3
)

// TestIdleService holds the memory of a further service in a process to its
// limit: one with a method and a handler of events.
func TestIdleService(t *testing.T) {
	everyBroker(t, func(t *testing.T, dial func() broker.Broker) {
		began := time.Now()
		few := servicesHold(t, dial(), "few", fewServices)
		many := servicesHold(t, dial(), "many", manyServices)
		each := (float64(many.bytes) - float64(few.bytes)) / (manyServices - fewServices)
		t.Logf("a further idle service holds %.1f kB and %.1f goroutines; %d started and stopped in %v", each/1e3,
			float64(many.goroutines-few.goroutines)/(manyServices-fewServices), fewServices+manyServices, time.Since(began).Round(time.Millisecond))
		most := maxService
		if strings.HasSuffix(t.Name(), "/embedded") {
			most += maxStream
		}
		if each > most {
			t.Errorf("a further idle service holds %.0f bytes, more than %.0f", each, most)
		}
	})
}

// servicesHold runs n services and returns what they hold, with the link that
// they share.
func servicesHold(t *testing.T, b broker.Broker, name string, n int) held {
	t.Helper()
	before := hold()
	var services []*enoki.Service
	for i := range n {
		services = append(services, idle(fmt.Sprintf("idle_%s_%d", name, i)))
	}
	stop := run(t, b, services...)
	after := hold()
	stop()
	return held{bytes: after.bytes - min(before.bytes, after.bytes), goroutines: after.goroutines - before.goroutines}
}

func idle(name string) *enoki.Service {
	return enoki.NewService(name,
		enoki.Method("echo", func(_ context.Context, text string) (string, error) { return text, nil }, "text"),
		enoki.On(enoki.NewEvent[string](name, "happened"), func(context.Context, string) error { return nil }))
}
