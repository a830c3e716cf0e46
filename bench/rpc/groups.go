package rpc

import (
	"context"

	"github.com/enoki-go/enoki/bench/harness"
)

var (
	sizes   = []int{128, 1024}
	callers = []int{1, 16, 128}
)

// Groups are the calls over NATS, beside what has no broker, and those over
// RabbitMQ.
func Groups() []harness.Group {
	return []harness.Group{
		{Name: "nats", About: "calls over NATS, and what has no broker", Base: "raw", Sizes: sizes, Callers: callers, Cases: []harness.Case{
			{Name: "raw", About: "nats.go by hand, encoding/json", Broker: harness.NATS, Serve: serveNATS, Dial: dialNATS},
			{Name: "enoki", About: "Enoki on a NATS server", Broker: harness.NATS, Serve: serveEnoki, Dial: dialEnoki},
		}},
		{Name: "embedded", About: "calls over NATS, the server in the service's process", Base: "raw", Sizes: sizes, Callers: callers, Cases: []harness.Case{
			{Name: "raw", About: "nats.go by hand, encoding/json", Serve: serveNATSEmbedded, Dial: dialNATS},
			{Name: "enoki", About: "Enoki, embedded broker", Serve: serveEnokiEmbedded, Dial: dialEnoki},
		}},
		{Name: "rabbitmq", About: "calls over RabbitMQ in Nameko's wire", Base: "raw", Sizes: sizes, Callers: callers, Cases: []harness.Case{
			{Name: "raw", About: "amqp091-go by hand, Nameko's guarantees", Broker: harness.RabbitMQ, Serve: serveAMQP, Dial: dialAMQP},
			{Name: "enoki", About: "Enoki, Nameko's guarantees", Broker: harness.RabbitMQ, Serve: serveEnoki, Dial: dialEnoki},
		}},
	}
}

// sending returns the operation that sends a document of the work's size by
// call and looks whether it came back.
func sending(w *harness.Work, call func(ctx context.Context, d Document) (Document, error)) (harness.Operation, error) {
	sent, err := newDocument(w.Size)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		got, err := call(ctx, sent)
		if err != nil {
			return err
		}
		return same(&sent, &got)
	}, nil
}
