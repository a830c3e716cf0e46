// Package service runs services of Enoki as the cases need them.
package service

import (
	"context"
	"log/slog"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/nats"
	"github.com/enoki-go/enoki/broker/nats/embedded"
	"github.com/enoki-go/enoki/host"
)

// Workers lets every caller of the largest turn be served at once. Cases by
// hand take as many messages ahead.
const Workers = 128

// Silent takes no notice of what is logged.
var Silent = slog.New(slog.DiscardHandler)

// Options are those of every service and client.
func Options() *enoki.Options { return &enoki.Options{Logger: Silent, Workers: Workers} }

// Dial connects to the broker with that URL.
func Dial(ctx context.Context, url string) (broker.Broker, error) { return host.Dial(ctx, url, Silent) }

// Run runs services for as long as the process lives and returns when they
// take work.
func Run(ctx context.Context, link broker.Broker, services ...*enoki.Service) error {
	return RunLogging(ctx, Silent, link, services...)
}

// RunLogging is Run with a logger.
func RunLogging(ctx context.Context, log *slog.Logger, link broker.Broker, services ...*enoki.Service) error {
	o := Options()
	o.Logger = log
	ready, failed := make(chan struct{}), make(chan error, 1)
	o.OnReady = func() { close(ready) }
	go func() { failed <- enoki.Run(ctx, link, o, services...) }()
	select {
	case <-ready:
		return nil
	case err := <-failed:
		return err
	}
}

// Embedded starts a broker in this process that keeps its files in dir, and a
// link to it.
func Embedded(ctx context.Context, dir string, fast bool) (*embedded.Server, broker.Broker, error) {
	server, err := embedded.Start(embedded.Options{Dir: dir, Port: -1, Fast: fast, Logger: Silent})
	if err != nil {
		return nil, nil, err
	}
	link, err := nats.Dial(ctx, nats.Config{InProcess: server, Logger: Silent})
	return server, link, err
}
