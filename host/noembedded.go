//go:build noembedded

package host

import (
	"context"
	"errors"
	"log/slog"

	"github.com/enoki-go/enoki/broker"
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

func isTaken(error) bool { return false }
