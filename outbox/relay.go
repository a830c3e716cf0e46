package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/enoki-go/enoki/broker"
)

const (
	// A relay looks at least once a second, for what another process has left
	// behind, and soon after a transaction here that may be committing yet.
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second

	// emitTimeout bounds the time for one event.
	emitTimeout = 10 * time.Second
)

// relay brings what waits in a store to the broker.
type relay struct {
	source source
	broker broker.Broker
	log    *slog.Logger
	failed bool // the last look; noted once, not every second
}

// source is what a relay needs of a Store.
type source interface {
	Relay(ctx context.Context, emit func(ctx context.Context, r Record) error) error
	Added() <-chan struct{}
}

// run relays until ctx ends.
func (r *relay) run(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		r.look(ctx)
		select {
		case <-r.source.Added():
			pause = firstPause
		case <-time.After(pause):
			pause = min(2*pause, lastPause)
		case <-ctx.Done():
		}
	}
}

func (r *relay) look(ctx context.Context) {
	err := r.source.Relay(ctx, r.emit)
	switch {
	case ctx.Err() != nil:
	case err != nil && !r.failed:
		r.log.ErrorContext(ctx, "events wait in the outbox; trying again every second", "error", err)
	case err == nil && r.failed:
		r.log.InfoContext(ctx, "the outbox is empty again")
	}
	r.failed = err != nil
}

// emit hands one record to the broker. After an unknown outcome it is emitted
// again, with the same id.
func (r *relay) emit(ctx context.Context, rec Record) error {
	m, err := decode(rec.Message)
	if err != nil {
		return fmt.Errorf("event %s.%s in the outbox can't be read; look at it, and remove it: %w", rec.Source, rec.Event, err)
	}
	ctx, cancel := context.WithTimeout(ctx, emitTimeout)
	defer cancel()
	if err := r.broker.Emit(ctx, rec.Source, rec.Event, m); err != nil {
		return fmt.Errorf("emit %s.%s with id %s: %w", rec.Source, rec.Event, m.ID, err)
	}
	return nil
}
