package entrypoint

import (
	"context"
)

// Gauge is a number at one moment, for the operator. Package host shows it in
// /readyz?verbose and, as enoki_NAME, in /metrics.
type Gauge struct {
	Name   string            // such as outbox_records: lower-case letters, digits and '_'
	Help   string            // a sentence that says what is counted and in which unit
	Labels map[string]string // they tell apart gauges with the same name and service; keep their number small
	Value  float64
}

// Gauged is an Extension with something to count. Measure is called while the
// service runs, at most once every few seconds, and concurrently with
// everything else. It should return soon, at the latest when ctx ends. The
// gauges that it returns beside an error are used.
type Gauged interface {
	Extension
	Measure(ctx context.Context) ([]Gauge, error)
}
