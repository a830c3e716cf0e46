//go:build !noembedded

package host

import (
	"context"
	"errors"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/nats"
	"github.com/enoki-go/enoki/broker/nats/embedded"
)

type embeddedOptions = embedded.Options

func (d *Dialer) startEmbedded(ctx context.Context, o embeddedOptions) (broker.Broker, error) {
	server, err := embedded.Start(o)
	if err != nil {
		return nil, err
	}
	config := d.nats(server.URL())
	config.InProcess, config.TLS, config.RootCAs, config.Credentials = server, nil, nil, ""
	driver, err := nats.Dial(ctx, config)
	if err != nil {
		server.Shutdown()
		return nil, err
	}
	d.logger().Info("started a broker in this process", "broker", server.URL(), "dir", o.Dir)
	return &embeddedBroker{driver, server}, nil
}

// isTaken reports whether somebody else has the port or the directory, whose
// server may serve us as well.
func isTaken(err error) bool {
	return errors.Is(err, embedded.ErrPortInUse) || errors.Is(err, embedded.ErrLocked)
}

// embeddedBroker is a link to a server in this process, which ends with it.
type embeddedBroker struct {
	broker.Broker
	server *embedded.Server
}

// Close implements broker.Broker.
func (b *embeddedBroker) Close() error {
	err := b.Broker.Close()
	b.server.Shutdown()
	return err
}
