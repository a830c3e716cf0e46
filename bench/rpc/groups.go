package rpc

import (
	"context"
	"slices"

	"github.com/enoki-go/enoki/bench/document"
	"github.com/enoki-go/enoki/bench/harness"
)

var (
	sizes   = []int{128, 1024}
	callers = []int{1, 16, 128}
)

// Groups are the calls over NATS, beside what has no broker, and those over
// RabbitMQ.
func Groups() []harness.Group {
	return []harness.Group{overNATS(), overEmbedded(), overRabbitMQ(), besideNameko()}
}

func overNATS() harness.Group {
	raw, quickly, serial := natsByHand{codec: standard}, natsByHand{codec: quick()}, natsByHand{codec: standard, serial: true}
	return harness.Group{
		Name: "nats", About: "calls over a NATS server, and peers that need no broker",
		Base: "raw", Sizes: sizes, Callers: callers, Goals: natsGoals(), Cases: []harness.Case{
			{Name: "raw", About: "nats.go by hand, encoding/json, a goroutine a request", Broker: harness.NATS, Serve: raw.serve, Dial: raw.dial},
			{Name: "enoki", About: "Enoki", Broker: harness.NATS, Serve: serveEnoki, Dial: dialEnoki},
			{Name: "raw-quick", About: "raw with the JSON codec that Enoki uses", Broker: harness.NATS, Serve: quickly.serve, Dial: quickly.dial},
			{Name: "raw-serial", About: "raw, one request after the other", Broker: harness.NATS, Serve: serial.serve, Dial: serial.dial},
			{Name: "nats-micro", About: "micro of nats.go, one request after the other", Broker: harness.NATS, Serve: serveMicro, Dial: serial.dial},
			{Name: "grpc", About: "gRPC unary, JSON codec", Serve: serveGRPC, Dial: dialGRPC},
			{Name: "connect", About: "connect-go over HTTP/2 without TLS, JSON codec", Serve: serveConnect, Dial: dialConnect},
			{Name: "http", About: "net/http POST, JSON", Serve: serveHTTP, Dial: dialHTTP},
			{Name: "go-micro-nats", About: "go-micro over NATS", Available: noGoMicro},
			{Name: "go-micro-grpc", About: "go-micro over gRPC", Available: noGoMicro},
		},
	}
}

func overEmbedded() harness.Group {
	raw, quickly := natsByHand{codec: standard}, natsByHand{codec: quick()}
	return harness.Group{
		Name: "embedded", About: "calls over NATS with the server in the service's process",
		Base: "raw", Sizes: sizes, Callers: callers, Goals: natsGoals(), Cases: []harness.Case{
			{Name: "raw", About: "nats.go by hand, encoding/json, a goroutine a request", Serve: raw.serveEmbedded, Dial: raw.dial},
			{Name: "enoki", About: "Enoki", Serve: serveEnokiEmbedded, Dial: dialEnoki},
			{Name: "raw-quick", About: "raw with the JSON codec that Enoki uses", Serve: quickly.serveEmbedded, Dial: quickly.dial},
			{Name: "grpc", About: "gRPC unary, JSON codec", Serve: serveGRPC, Dial: dialGRPC},
			{Name: "enoki-near", About: "Enoki, caller and service in one process", Dial: nearEnoki},
		},
	}
}

func overRabbitMQ() harness.Group {
	return harness.Group{
		Name: "rabbitmq", About: "calls over RabbitMQ",
		Base: "raw", Sizes: sizes, Callers: callers, Goals: rabbitGoals(), Cases: []harness.Case{
			{Name: "raw", About: "amqp091-go by hand in Nameko's wire, with its guarantees", Broker: harness.RabbitMQ, Serve: serveAMQP, Dial: dialAMQP},
			{Name: "enoki", About: "Enoki in Nameko's wire, with its guarantees", Broker: harness.RabbitMQ, Serve: serveEnoki, Dial: dialEnoki},
			{Name: "enoki-at-most-once", About: "Enoki, calls at most once", Broker: harness.RabbitMQ, Serve: serveEnokiAtMostOnce, Dial: dialEnokiAtMostOnce},
			{Name: "raw-at-most-once", About: "amqp091-go by hand: automatic acks, transient, direct reply-to", Broker: harness.RabbitMQ, Serve: serveAtMostOnce, Dial: dialAtMostOnce},
		},
	}
}

// besideNameko are calls over RabbitMQ with the number of callers that Nameko
// is measured with.
func besideNameko() harness.Group {
	return harness.Group{
		Name: "nameko", About: "calls over RabbitMQ in Nameko's wire, with its guarantees",
		Base: "raw", Sizes: []int{128}, Callers: []int{100}, Longer: 3, Goals: namekoGoals(), Cases: []harness.Case{
			{Name: "raw", About: "amqp091-go by hand", Broker: harness.RabbitMQ, Serve: serveAMQP, Dial: dialAMQP},
			{Name: "enoki", About: "Enoki", Broker: harness.RabbitMQ, Serve: serveEnoki, Dial: dialEnoki},
			nameko("2.14.1"),
			nameko("3.0.0rc11"),
			girolle(),
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

// within is what a p99 of 1.5 times that by hand is as a ratio, with many
// callers: with few it is the machine's.
var within = harness.Goal{Case: "enoki", Against: "raw", What: "p99", Least: 0.67, Callers: []int{128}}

func natsGoals() []harness.Goal {
	return slices.Concat(
		[]harness.Goal{within},
		harness.Reach(1.0, "enoki", "raw", "rate", "CPU"),
		harness.Reach(0.9, "enoki", "raw-quick", "rate", "CPU"),
		harness.Reach(2, "enoki", "grpc", "rate", "CPU"),
		harness.Reach(5, "enoki", "connect", "rate", "CPU"),
	)
}

func rabbitGoals() []harness.Goal {
	out := []harness.Goal{within}
	for _, what := range []string{"rate", "CPU"} {
		out = append(out,
			harness.Goal{Case: "enoki", Against: "raw", What: what, Least: 0.9, Callers: []int{1}},
			harness.Goal{Case: "enoki", Against: "raw", What: what, Least: 1.0, Callers: []int{16, 128}},
		)
	}
	return append(out, harness.Reach(1.4, "enoki-at-most-once", "enoki", "rate")...)
}

func namekoGoals() []harness.Goal {
	var out []harness.Goal
	for _, peer := range []string{"nameko-2.14.1", "nameko-3.0.0rc11"} {
		out = slices.Concat(out, harness.Reach(10, "enoki", peer, "rate"), harness.Reach(15, "enoki", peer, "own CPU"))
	}
	return out
}
