package main

import (
	"strings"
	"testing"
)

// TestBrokerPart: the work itself is tested with the driver of NATS.
func TestBrokerPart(t *testing.T) {
	t.Parallel()
	if _, stderr, code := run(t, "", "broker", "part", "--broker", brokers["nats"](t)); code != 0 || !strings.Contains(stderr, "each source has a stream of its own") {
		t.Errorf("with nothing to part: %d %s", code, stderr)
	}
	if _, stderr, code := run(t, "", "broker", "part", "--broker", brokers["rabbitmq"](t)); code != 2 || !strings.Contains(stderr, "only NATS") {
		t.Errorf("on RabbitMQ: %d %s", code, stderr)
	}
}
