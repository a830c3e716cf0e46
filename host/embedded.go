//go:build !noembedded

package host

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/nats"
	"github.com/enoki-go/enoki/broker/nats/embedded"
	"github.com/enoki-go/enoki/internal/brokerdir"
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

// heir is a link to the broker in another process of this project. When that
// process ends, this one runs the broker, with the same files, port and
// password, unless a third one is faster: so the links of all recover.
type heir struct {
	broker.Broker
	dialer  *Dialer
	options embedded.Options
	lost    chan struct{} // told, without waiting, that the broker can't be reached
	failed  string        // why it could not be taken over, as far as the log has it

	closing   chan struct{}
	closeOnce sync.Once
	ended     sync.WaitGroup

	own atomic.Pointer[embeddedBroker] // once it runs here
}

// dialFound connects to the broker of another process.
func (d *Dialer) dialFound(ctx context.Context, brokerURL string, o embeddedOptions) (broker.Broker, error) {
	h := &heir{dialer: d, options: o, lost: make(chan struct{}, 1), closing: make(chan struct{})}
	if u, err := url.Parse(brokerURL); err == nil {
		h.options.Port, _ = strconv.Atoi(u.Port()) // where the others look for it
	}
	config := d.nats(brokerURL)
	config.TLS, config.RootCAs, config.Credentials = nil, nil, ""
	config.OnUnreachable = func(err error) {
		select {
		case h.lost <- struct{}{}:
		default:
		}
		if d.OnUnreachable != nil {
			d.OnUnreachable(err)
		}
	}
	driver, err := nats.Dial(ctx, config)
	if err != nil {
		return nil, err
	}
	h.Broker = driver
	h.ended.Go(h.watch)
	return h, nil
}

// watch takes the broker over when nobody has its directory any more.
func (h *heir) watch() {
	for {
		select {
		case <-h.closing:
			return
		case <-h.lost:
		}
		if h.own.Load() == nil && !brokerdir.Running(h.options.Dir) {
			h.takeOver()
		}
	}
}

func (h *heir) takeOver() {
	log := h.dialer.logger()
	server, err := embedded.Start(h.options)
	switch {
	case errors.Is(err, embedded.ErrLocked): // another one is faster
	case err == nil:
		h.own.Store(&embeddedBroker{h.Broker, server})
		log.Warn("the process that ran the broker of this project has ended; this process runs it now", "broker", telemetry.RedactURL(server.URL()), "dir", h.options.Dir)
	case err.Error() != h.failed:
		h.failed = err.Error()
		log.Error("the process that ran the broker of this project has ended, and this one can't run it; start a process of the project, or `enoki broker`", "dir", h.options.Dir, "error", err)
	}
}

// Ready implements broker.Broker.
func (h *heir) Ready() error {
	if own := h.own.Load(); own != nil {
		return own.Ready()
	}
	return h.Broker.Ready()
}

// Backlog implements broker.Broker.
func (h *heir) Backlog(ctx context.Context) (broker.Backlog, error) {
	if own := h.own.Load(); own != nil {
		return own.Backlog(ctx)
	}
	return h.Broker.Backlog(ctx)
}

// Close implements broker.Broker.
func (h *heir) Close() error {
	h.closeOnce.Do(func() { close(h.closing) })
	h.ended.Wait()
	if own := h.own.Load(); own != nil {
		return own.Close()
	}
	return h.Broker.Close()
}
