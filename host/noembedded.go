//go:build noembedded

package host

import (
	"context"
	"errors"
	"log/slog"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/nats"
)

// embeddedOptions are read, so that mistakes in them are found, and then not
// used.
type embeddedOptions struct {
	Dir, Host string
	Port      int
	Logger    *slog.Logger
}

func (d *Dialer) startEmbedded(context.Context, embeddedOptions) (broker.Broker, error) {
	return nil, errors.New("this program was built without the embedded broker: name another with --broker, " +
		"nats://host:4222 or amqp://host, or build the program without -tags noembedded")
}

// dialFound connects to the broker of another process.
func (d *Dialer) dialFound(ctx context.Context, brokerURL string, _ embeddedOptions) (broker.Broker, error) {
	config := d.nats(brokerURL)
	config.TLS, config.RootCAs, config.Credentials = nil, nil, ""
	return asBroker(nats.Dial(ctx, config))
}

func isTaken(error) bool { return false }
