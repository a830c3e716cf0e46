package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/host"
)

const (
	brokerVariable = "ENOKI_BROKER" // the environment variable that names the broker

	// defaultLocal is where NATS clients expect a server.
	defaultLocal = "127.0.0.1:4222"

	probeTimeout = time.Second // a server on this machine answers within a millisecond
)

// connect connects to the broker that the user means. It never starts one:
// a client on a broker of its own would find nobody there.
func (c *cli) connect(ctx context.Context) (broker.Broker, error) {
	url, err := c.brokerURL()
	if err != nil {
		return nil, err
	}
	if url == "" {
		if !listens(ctx, c.local) {
			return nil, enoki.Errorf(enoki.Unavailable,
				"no broker at %s; start one with `enoki broker`, or name yours with --broker URL or $%s", c.local, brokerVariable)
		}
		url = "nats://" + c.local
	}
	b, err := (&host.Dialer{Logger: c.logger(), Name: "enoki-cli"}).Dial(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("connect to the broker: %w", err)
	}
	return b, nil
}

// brokerURL is the URL that the user gave, or "". A broker that lives in one
// process only is an error: there is nobody else on it.
func (c *cli) brokerURL() (string, error) {
	url := c.broker
	if url == "" {
		url = os.Getenv(brokerVariable)
	}
	scheme, _, _ := strings.Cut(url, ":")
	if strings.EqualFold(scheme, "embedded") || strings.EqualFold(scheme, "memory") {
		return "", usageError{fmt.Errorf("the broker %s lives in one process, and nobody else is on it; name one that is shared, or none", url)}
	}
	return url, nil
}

// listens reports whether somebody takes connections at a local address.
func listens(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	_ = conn.Close() // only asked whether it opens
	return true
}

// logger shows the warnings of drivers, which belong to the talk.
func (c *cli) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(c.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func (c *cli) options() *enoki.Options {
	return &enoki.Options{Logger: c.logger()}
}
