// Package telemetry has log lines and metrics. Log lines are pretty on a
// terminal and JSON elsewhere. Prometheus metrics count the calls that a
// process handles and makes. The package knows nothing of services; package
// host feeds it.
//
// Nothing here is global. Each Metrics has its own series, and each component
// gets its logger as a value.
package telemetry
