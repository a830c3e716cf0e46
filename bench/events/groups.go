// Package events are the cases of events: a document is published until the
// broker has it, and is handled once by a service, which acknowledges it. Rates
// are those of the handlers: a turn ends when what was published in it has
// been handled.
//
// By hand as in Enoki, an event carries an id by which JetStream drops
// repeated ones, its stream forgets what was acknowledged, and each event gets
// a goroutine, so that a handler that waits does not hold up the others.
package events

import (
	"slices"

	"github.com/enoki-go/enoki/bench/harness"
)

var (
	sizes   = []int{128}
	callers = []int{16, 128}
)

// synced is how many times longer turns are that wait for a disk: what others
// do with it comes in seconds.
const synced = 3

// Groups are events over a NATS server that syncs every write, one that does
// not, an embedded one that does, and RabbitMQ.
func Groups() []harness.Group {
	return []harness.Group{
		jetStream("events-nats", "events over JetStream, every write synced", harness.NATS, synced),
		jetStream("events-nats-fast", "events over JetStream, synced every two minutes", harness.NATSFast, 1),
		{
			Name: "events-embedded", About: "events over JetStream in the service's process, every write synced", Longer: synced,
			Base: "raw", Sizes: sizes, Callers: callers, Goals: goals(), Cases: []harness.Case{
				{Name: "raw", About: "nats.go by hand", Serve: serveEmbedded, Dial: dialJetStream, Counted: true},
				{Name: "enoki", About: "Enoki", Serve: serveEnokiEmbedded, Dial: dialEnoki, Counted: true},
			},
		},
		{
			Name: "events-rabbitmq", About: "events over RabbitMQ, persistent, confirmed, acknowledged",
			Base: "raw", Sizes: sizes, Callers: callers, Goals: goals(), Cases: []harness.Case{
				{Name: "raw", About: "amqp091-go by hand", Broker: harness.RabbitMQ, Serve: serveAMQP, Dial: dialAMQP, Counted: true},
				{Name: "enoki", About: "Enoki", Broker: harness.RabbitMQ, Serve: serveEnoki, Dial: dialEnoki, Counted: true},
				{Name: "watermill", About: "Watermill, 16 subscribers, a pool of 16 channels", Broker: harness.RabbitMQ, Serve: serveWatermillAMQP, Dial: dialWatermillAMQP, Counted: true},
			},
		},
	}
}

func jetStream(name, about string, broker harness.Broker, longer int) harness.Group {
	return harness.Group{
		Name: name, About: about, Longer: longer, Base: "raw", Sizes: sizes, Callers: callers, Goals: goals(), Cases: []harness.Case{
			{Name: "raw", About: "nats.go by hand", Broker: broker, Serve: serveJetStream, Dial: dialJetStream, Counted: true},
			{Name: "enoki", About: "Enoki", Broker: broker, Serve: serveEnoki, Dial: dialEnoki, Counted: true},
			{Name: "watermill", About: "Watermill, 16 subscribers", Broker: broker, Serve: serveWatermillNATS, Dial: dialWatermillNATS, Counted: true},
		},
	}
}

func goals() []harness.Goal {
	return slices.Concat(
		harness.Reach(0.85, "enoki", "raw", "rate", "CPU"),
		harness.Reach(1.0, "enoki", "watermill", "rate", "CPU"),
	)
}
