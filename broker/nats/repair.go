package nats

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/enoki-go/enoki/broker"
)

// beatInterval is how often running deliveries and open requests are looked
// at; AckWait is never shorter.
const beatInterval = 300 * time.Millisecond

// mendsAtOnce is how many consumers of a member are attached at once: each may
// have to wait a second before it can be made again.
const mendsAtOnce = 16

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

// mend proves link, streams and consumers, making again what is missing. What
// can't be mended yet keeps nothing else from being mended.
func (d *Driver) mend(ctx context.Context) error {
	epoch := d.link.epoch()
	replaced := d.proven.Load() != epoch+1
	failures := []error{d.insist(ctx, d.streams.ensure)}
	for _, m := range d.joined() {
		failures = append(failures, m.mend(ctx, replaced))
	}
	err := errors.Join(failures...)
	if err == nil {
		d.proven.Store(epoch + 1)
	}
	return err
}

// mend attaches the consumers that are lost, or all of them when the link was
// replaced: their requests went with it.
func (m *member) mend(ctx context.Context, all bool) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	var mending sync.WaitGroup
	failures := make([]error, len(m.events)+1)
	room := make(chan struct{}, mendsAtOnce)
	for i, c := range m.events {
		if !all && c.ready() == nil {
			continue
		}
		room <- struct{}{}
		mending.Go(func() {
			defer func() { <-room }()
			if err := c.attach(ctx); err != nil {
				failures[i] = fmt.Errorf("subscription %s to %s.%s: %w", c.sub.Handler, c.sub.Source, c.sub.Event, err)
			}
		})
	}
	mending.Wait()
	failures[len(m.events)] = m.prove(ctx)
	return errors.Join(failures...)
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
