package rpc

import (
	"context"
	"log/slog"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/bench/harness"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/nats"
	"github.com/enoki-go/enoki/broker/nats/embedded"
	"github.com/enoki-go/enoki/host"
)

// Store is the contract of the service.
type Store struct {
	Put func(ctx context.Context, d Document) (Document, error) `rpc:"put" args:"document"`
}

// workers lets every caller of the largest turn be served at once.
const workers = 128

func options() *enoki.Options {
	return &enoki.Options{Logger: slog.New(slog.DiscardHandler), Workers: workers}
}

func echo(_ context.Context, d Document) (Document, error) { return d, nil }

func serveEnoki(ctx context.Context, w *harness.Work) (string, error) {
	link, err := dialBroker(ctx, w.Broker)
	if err != nil {
		return "", err
	}
	return w.Broker, run(ctx, link, enoki.NewService(w.Name(), enoki.RPC(Store{Put: echo})))
}

func serveEnokiEmbedded(ctx context.Context, w *harness.Work) (string, error) {
	server, err := startEmbedded(w)
	if err != nil {
		return "", err
	}
	link, err := nats.Dial(ctx, nats.Config{InProcess: server, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return "", err
	}
	return server.URL(), run(ctx, link, enoki.NewService(w.Name(), enoki.RPC(Store{Put: echo})))
}

func startEmbedded(w *harness.Work) (*embedded.Server, error) {
	return embedded.Start(embedded.Options{Dir: w.Dir, Port: -1, Logger: slog.New(slog.DiscardHandler)})
}

// run runs services for as long as the process lives and returns when they
// take work.
func run(ctx context.Context, link broker.Broker, services ...*enoki.Service) error {
	o := options()
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

func dialEnoki(ctx context.Context, w *harness.Work) (harness.Operation, error) {
	link, err := dialBroker(ctx, w.Address)
	if err != nil {
		return nil, err
	}
	var store Store
	if err := enoki.Bind(enoki.NewClient(link, options()), w.Name(), &store); err != nil {
		return nil, err
	}
	return sending(w, store.Put)
}

func dialBroker(ctx context.Context, url string) (broker.Broker, error) {
	return host.Dial(ctx, url, slog.New(slog.DiscardHandler))
}
