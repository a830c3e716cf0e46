package events

import (
	"context"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/bench/document"
	"github.com/enoki-go/enoki/bench/harness"
	"github.com/enoki-go/enoki/bench/service"
)

func stored(w *harness.Work) enoki.Event[document.Document] {
	return enoki.NewEvent[document.Document](w.Name()+"_source", "stored")
}

func handler(w *harness.Work) *enoki.Service {
	return enoki.NewService(w.Name(), enoki.On(stored(w), func(_ context.Context, d document.Document) error {
		w.Done()
		return nil
	}))
}

func serveEnoki(ctx context.Context, w *harness.Work) (string, error) {
	link, err := service.Dial(ctx, w.Broker)
	if err != nil {
		return "", err
	}
	return w.Broker, service.Run(ctx, link, handler(w))
}

func serveEnokiEmbedded(ctx context.Context, w *harness.Work) (string, error) {
	server, link, err := service.Embedded(ctx, w.Dir, false)
	if err != nil {
		return "", err
	}
	return server.URL(), service.Run(ctx, link, handler(w))
}

func dialEnoki(ctx context.Context, w *harness.Work) (harness.Operation, error) {
	link, err := service.Dial(ctx, w.Address)
	if err != nil {
		return nil, err
	}
	emit := enoki.Emitter(enoki.NewClient(link, service.Options()), stored(w))
	d, err := document.New(w.Size)
	return func(ctx context.Context) error { return emit(ctx, d) }, err
}
