package rpc

import (
	"context"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/bench/harness"
	"github.com/enoki-go/enoki/bench/service"
	"github.com/enoki-go/enoki/broker/memory"
)

// Store is the contract of the service.
type Store struct {
	Put func(ctx context.Context, d Document) (Document, error) `rpc:"put" args:"document"`
}

func store(w *harness.Work) *enoki.Service {
	echo := func(_ context.Context, d Document) (Document, error) { return d, nil }
	return enoki.NewService(w.Name(), enoki.RPC(Store{Put: echo}))
}

func serveEnoki(ctx context.Context, w *harness.Work) (string, error) {
	link, err := service.Dial(ctx, w.Broker)
	if err != nil {
		return "", err
	}
	return w.Broker, service.Run(ctx, link, store(w))
}

func serveEnokiEmbedded(ctx context.Context, w *harness.Work) (string, error) {
	server, link, err := service.Embedded(ctx, w.Dir, false)
	if err != nil {
		return "", err
	}
	return server.URL(), service.Run(ctx, link, store(w))
}

func dialEnoki(ctx context.Context, w *harness.Work) (harness.Operation, error) {
	link, err := service.Dial(ctx, w.Address)
	if err != nil {
		return nil, err
	}
	var s Store
	if err := enoki.NewClient(link, service.Options()).Bind(w.Name(), &s); err != nil {
		return nil, err
	}
	return sending(w, s.Put)
}

// AtMostOnce is Store with calls that may be lost.
type AtMostOnce struct {
	Put func(ctx context.Context, d Document) (Document, error) `rpc:"put" args:"document" delivery:"at-most-once"`
}

func serveEnokiAtMostOnce(ctx context.Context, w *harness.Work) (string, error) {
	link, err := service.Dial(ctx, w.Broker)
	if err != nil {
		return "", err
	}
	echo := func(_ context.Context, d Document) (Document, error) { return d, nil }
	return w.Broker, service.Run(ctx, link, enoki.NewService(w.Name(), enoki.RPC(AtMostOnce{Put: echo})))
}

func dialEnokiAtMostOnce(ctx context.Context, w *harness.Work) (harness.Operation, error) {
	link, err := service.Dial(ctx, w.Address)
	if err != nil {
		return nil, err
	}
	var s AtMostOnce
	if err := enoki.NewClient(link, service.Options()).Bind(w.Name(), &s); err != nil {
		return nil, err
	}
	return sending(w, s.Put)
}

// nearEnoki is a service and its caller in one process.
func nearEnoki(ctx context.Context, w *harness.Work) (harness.Operation, error) {
	var s Store
	caller := enoki.NewService("caller", enoki.Needs(w.Name(), &s))
	if err := service.Run(ctx, memory.New(), store(w), caller); err != nil {
		return nil, err
	}
	return sending(w, s.Put)
}
