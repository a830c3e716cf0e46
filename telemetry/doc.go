// Package telemetry makes what a process tells about itself: log lines, pretty
// on a terminal and JSON elsewhere, and Prometheus metrics of the calls it
// handles and makes. It knows nothing of services; package host feeds it.
//
// Nothing here is global: a Metrics has series of its own, and a logger is
// handed to those who log.
package telemetry
