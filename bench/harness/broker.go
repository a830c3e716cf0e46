package harness

import (
	"fmt"
	"strings"

	"github.com/enoki-go/enoki/internal/testserver"
)

// Broker names a server that cases need beside them.
type Broker string

// The servers that the harness starts, each once, when the first case needs
// it. They listen on free loopback ports.
const (
	None     Broker = ""
	RabbitMQ Broker = "rabbitmq"
	NATS     Broker = "nats"      // JetStream syncs every write
	NATSFast Broker = "nats-fast" // JetStream syncs every two minutes, its default
)

// brokers are those that run.
type brokers map[Broker]*testserver.Server

func (b brokers) start(kind Broker) (*testserver.Server, error) {
	if s := b[kind]; s != nil || kind == None {
		return s, nil
	}
	s, err := starters[kind]()
	if err != nil {
		return nil, fmt.Errorf("broker %s: %w", kind, err)
	}
	b[kind] = s
	return s, nil
}

var starters = map[Broker]func() (*testserver.Server, error){
	RabbitMQ: testserver.StartRabbitMQ,
	NATS:     testserver.StartNATS,
	NATSFast: testserver.StartNATSFast,
}

// describe adds the versions that no module of this program tells.
func (b brokers) describe(versions map[string]string) {
	if s := b[RabbitMQ]; s != nil {
		version, err := s.Ctl("version")
		if err != nil {
			version = err.Error()
		}
		versions["rabbitmq-server"] = strings.TrimSpace(version)
	}
}

func (b brokers) stop() {
	for _, s := range b {
		s.Stop()
	}
}
