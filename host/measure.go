package host

import (
	"context"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/resilience"
	"github.com/enoki-go/enoki/telemetry"
)

// measureHandlers counts the handlers of every service.
func measureHandlers(m *telemetry.Metrics) enoki.Middleware { return measure(m.Handling) }

// measureCalls counts the calls and events that services send.
func measureCalls(m *telemetry.Metrics) enoki.Middleware { return measure(m.Calling) }

// howOpen is the state of a circuit breaker as a metric.
func howOpen(s resilience.State) float64 {
	switch s {
	case resilience.Open:
		return 1
	case resilience.HalfOpen:
		return 0.5
	}
	return 0
}

func measure(start func(service, method, kind string) func(code string)) enoki.Middleware {
	return func(next enoki.Handler) enoki.Handler {
		return func(ctx context.Context, c *enoki.Call) (err error) {
			ended := start(c.Service, c.Method, string(c.Kind))
			code := string(enoki.Internal) // stands when next panics
			defer func() { ended(code) }()
			if err = next(ctx, c); err == nil {
				code = telemetry.OK
			} else {
				code = string(enoki.CodeOf(err))
			}
			return err
		}
	}
}
