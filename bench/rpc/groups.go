package rpc

import (
	"context"

	"github.com/enoki-go/enoki/bench/document"
	"github.com/enoki-go/enoki/bench/harness"
)

var (
	sizes   = []int{128, 1024}
	callers = []int{1, 16, 128}
)

// Groups are the calls over NATS, beside what has no broker, and those over
// RabbitMQ.
func Groups() []harness.Group { return []harness.Group{overNATS(), overEmbedded(), overRabbitMQ()} }

func overNATS() harness.Group {
	return harness.Group{
		Name: "nats", About: "calls over a NATS server, and peers that need no broker",
		Base: "raw", Sizes: sizes, Callers: callers, Cases: []harness.Case{
			{Name: "raw", About: "nats.go by hand, encoding/json, a goroutine a request", Broker: harness.NATS, Serve: serveNATS, Dial: dialNATS},
			{Name: "enoki", About: "Enoki", Broker: harness.NATS, Serve: serveEnoki, Dial: dialEnoki},
			{Name: "raw-serial", About: "raw, one request after the other", Broker: harness.NATS, Serve: serveNATSSerially, Dial: dialNATS},
			{Name: "nats-micro", About: "micro of nats.go, one request after the other", Broker: harness.NATS, Serve: serveMicro, Dial: dialNATS},
			{Name: "grpc", About: "gRPC unary, JSON codec", Serve: serveGRPC, Dial: dialGRPC},
			{Name: "connect", About: "connect-go over HTTP/2 without TLS, JSON codec", Serve: serveConnect, Dial: dialConnect},
			{Name: "http", About: "net/http POST, JSON", Serve: serveHTTP, Dial: dialHTTP},
			{Name: "go-micro-nats", About: "go-micro over NATS", Available: noGoMicro},
			{Name: "go-micro-grpc", About: "go-micro over gRPC", Available: noGoMicro},
		},
	}
}

func overEmbedded() harness.Group {
	return harness.Group{
		Name: "embedded", About: "calls over NATS with the server in the service's process",
		Base: "raw", Sizes: sizes, Callers: callers, Cases: []harness.Case{
			{Name: "raw", About: "nats.go by hand, encoding/json, a goroutine a request", Serve: serveNATSEmbedded, Dial: dialNATS},
			{Name: "enoki", About: "Enoki", Serve: serveEnokiEmbedded, Dial: dialEnoki},
			{Name: "enoki-near", About: "Enoki, caller and service in one process", Dial: nearEnoki},
		},
	}
}

func overRabbitMQ() harness.Group {
	return harness.Group{
		Name: "rabbitmq", About: "calls over RabbitMQ",
		Base: "raw", Sizes: sizes, Callers: callers, Cases: []harness.Case{
			{Name: "raw", About: "amqp091-go by hand in Nameko's wire, with its guarantees", Broker: harness.RabbitMQ, Serve: serveAMQP, Dial: dialAMQP},
			{Name: "enoki", About: "Enoki in Nameko's wire, with its guarantees", Broker: harness.RabbitMQ, Serve: serveEnoki, Dial: dialEnoki},
			{Name: "raw-at-most-once", About: "amqp091-go by hand: automatic acks, transient, direct reply-to", Broker: harness.RabbitMQ, Serve: serveAtMostOnce, Dial: dialAtMostOnce},
		},
	}
}

// sending returns the operation that sends a document of the work's size by
// call and looks whether it came back.
func sending(w *harness.Work, call func(ctx context.Context, d Document) (Document, error)) (harness.Operation, error) {
	sent, err := document.New(w.Size)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		got, err := call(ctx, sent)
		if err != nil {
			return err
		}
		return document.Same(&sent, &got)
	}, nil
}
