package entrypoint

import (
	"context"
)

// Gauge is a number at one moment, for the operator: package host shows it in
// /readyz?verbose and, as enoki_NAME, in /metrics.
type Gauge struct {
	Name   string            // such as outbox_records: lower-case letters, digits and '_'
	Help   string            // a sentence that says what is counted, and in which unit
	Labels map[string]string // tell gauges of one name and service apart; keep their number small
	Value  float64
}

// Gauged is an Extension that has something to count. Measure is called while
// the service runs, at most once every few seconds, and concurrently with all
// else; it should return soon, and when ctx ends. What it returns beside an
// error counts.
type Gauged interface {
	Extension
	Measure(ctx context.Context) ([]Gauge, error)
}
