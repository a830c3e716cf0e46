package events

import (
	"context"
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/enoki-go/enoki/bench/document"
	"github.com/enoki-go/enoki/bench/harness"
	"github.com/enoki-go/enoki/bench/service"
	"github.com/enoki-go/enoki/broker/nats/embedded"
)

// publishTimeout bounds a publish, as it does in Enoki.
const publishTimeout = 10 * time.Second

func serveJetStream(ctx context.Context, w *harness.Work) (string, error) {
	return w.Broker, consumeJetStream(ctx, w, w.Broker)
}

func serveEmbedded(ctx context.Context, w *harness.Work) (string, error) {
	server, err := embedded.Start(embedded.Options{Dir: w.Dir, Port: -1, Logger: service.Silent})
	if err != nil {
		return "", err
	}
	return server.URL(), consumeJetStream(ctx, w, server.URL(), nats.InProcessServer(server))
}

func consumeJetStream(ctx context.Context, w *harness.Work, url string, options ...nats.Option) error {
	stream, err := createStream(ctx, w, url, options...)
	if err != nil {
		return err
	}
	consumer, err := stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: w.Name(), AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 100_000,
	})
	if err != nil {
		return err
	}
	_, err = consumer.Consume(func(m jetstream.Msg) { go handleJetStream(w, m) })
	return err
}

// createStream creates the stream of a case, as Enoki creates its own.
func createStream(ctx context.Context, w *harness.Work, url string, options ...nats.Option) (jetstream.Stream, error) {
	conn, err := nats.Connect(url, options...)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	return js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: w.Name(), Subjects: []string{w.Name()}, Storage: jetstream.FileStorage, Retention: jetstream.InterestPolicy,
		Discard: jetstream.DiscardNew, MaxBytes: 256 << 20, Duplicates: 2 * time.Minute,
	})
}

func handleJetStream(w *harness.Work, m jetstream.Msg) {
	var d document.Document
	if err := json.Unmarshal(m.Data(), &d); err != nil {
		_ = m.Term() // it comes again when the link is lost
		return
	}
	w.Done()
	_ = m.Ack() // the same
}

func dialJetStream(_ context.Context, w *harness.Work) (harness.Operation, error) {
	conn, err := nats.Connect(w.Address)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	d, err := document.New(w.Size)
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, publishTimeout)
		defer cancel()
		body, err := json.Marshal(d)
		if err != nil {
			return err
		}
		_, err = js.Publish(ctx, w.Name(), body, jetstream.WithMsgID(nuid.Next()))
		return err
	}, err
}
