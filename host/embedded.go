//go:build !noembedded

package host

import (
	"context"
	"errors"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/nats"
	"github.com/enoki-go/enoki/broker/nats/embedded"
	"github.com/enoki-go/enoki/telemetry"
)

type embeddedOptions = embedded.Options

func (d *Dialer) startEmbedded(ctx context.Context, o embeddedOptions) (broker.Broker, error) {
	log := d.logger()
	owner, err := settle(o.Dir, log)
	if err != nil {
		return nil, err
	}
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
	if owner != "" {
		log = log.With("project", owner)
	}
	log.Info("started a broker in this process", "broker", telemetry.RedactURL(server.URL()), "dir", o.Dir)
	return &embeddedBroker{driver, server}, nil
}

// isTaken reports whether somebody else has the directory, whose server serves
// us as well.
func isTaken(err error) bool { return errors.Is(err, embedded.ErrLocked) }

// embeddedBroker is a link to a server in this process, which ends with it.
type embeddedBroker struct {
	broker.Broker
	server *embedded.Server
}

// Ready implements broker.Broker.
func (b *embeddedBroker) Ready() error {
	if err := b.server.Ready(); err != nil {
		return err
	}
	return b.Broker.Ready()
}

// Backlog implements broker.Broker.
func (b *embeddedBroker) Backlog(ctx context.Context) (broker.Backlog, error) {
	backlog, err := b.Broker.Backlog(ctx)
	lost := b.server.Lost()
	for i := range backlog.Stores {
		s := &backlog.Stores[i]
		s.Lost = lost[s.Name]
		delete(lost, s.Name)
	}
	for name, n := range lost { // of sources that are nobody's here
		backlog.Stores = append(backlog.Stores, broker.Store{Name: name, Lost: n})
	}
	return backlog, err
}

// Close implements broker.Broker.
func (b *embeddedBroker) Close() error {
	err := b.Broker.Close()
	b.server.Shutdown()
	return err
}
