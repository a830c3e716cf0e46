package nats

import (
	"context"
	"errors"
	"time"

	"github.com/enoki-go/enoki/broker"
)

// beatInterval is how often running deliveries and open requests are looked
// at; AckWait is never shorter.
const beatInterval = 300 * time.Millisecond

// repairs mends what hangs on the link, whenever the link is back or a
// consumer finds itself lost, until the driver is closed. Only what was proven
// counts as ready.
func (d *Driver) repairs() {
	ctx, cancel := d.untilClosed()
	defer cancel()
	for {
		select {
		case <-d.closed:
			return
		case <-d.link.reconnected:
		}
		if err := d.mend(ctx); err != nil && !errors.Is(err, broker.ErrClosed) {
			d.log.Error("the link to NATS can't be repaired yet", "error", err)
			_ = sleep(ctx, retryPause) // of a context that ends with the driver
			d.link.repair()
		}
	}
}

func (d *Driver) untilClosed() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		select {
		case <-d.closed:
			cancel(errClosed)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// mend proves link, streams and consumers, making again what is missing.
func (d *Driver) mend(ctx context.Context) error {
	epoch := d.link.epoch()
	replaced := d.proven.Load() != epoch+1
	if err := d.insist(ctx, d.streams.ensure); err != nil {
		return err
	}
	var failed error
	for _, m := range d.joined() {
		if err := m.mend(ctx, replaced); err != nil {
			failed = err
		}
	}
	if failed == nil {
		d.proven.Store(epoch + 1)
	}
	return failed
}

// mend attaches the consumers that are lost, or all of them when the link was
// replaced: their requests went with it.
func (m *member) mend(ctx context.Context, all bool) error {
	for _, c := range m.events {
		if !all && c.ready() == nil {
			continue
		}
		once, cancel := context.WithTimeout(ctx, apiTimeout)
		err := c.attach(once)
		cancel()
		if err != nil {
			return err
		}
	}
	once, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	return m.prove(once)
}

// beats looks after running deliveries and open requests until the driver is
// closed.
func (d *Driver) beats() {
	tick := time.NewTicker(beatInterval)
	defer tick.Stop()
	for {
		select {
		case <-d.closed:
			return
		case now := <-tick.C:
			for _, m := range d.joined() {
				for _, c := range m.events {
					c.beat(now)
				}
			}
		}
	}
}
