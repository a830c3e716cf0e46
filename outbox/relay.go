package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
)

const (
	// A relay looks at least once a second, for records that another process has
	// left behind. It also looks soon after a transaction here, which may still be
	// committing.
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second

	// emitTimeout bounds the time for one event.
	emitTimeout = 10 * time.Second
)

// handler is the relay's name among the handlers of dead letters.
const handler = "outbox"

// relay brings the records of a store to the broker.
type relay struct {
	source  source
	broker  broker.Broker
	service string
	log     *slog.Logger
	buried  func(broker.DeadLetter)

	failed  bool                // the last look failed; logged once, not every second
	refused []broker.DeadLetter // the refused records of this look
	unsent  error               // the error of emit that ended this look
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
	r.refused, r.unsent = nil, nil
	err := r.relay(ctx)
	if err == nil || r.unsent != nil { // otherwise the store may have failed to keep them
		for _, l := range r.refused {
			r.buried(l)
		}
	}
	switch {
	case ctx.Err() != nil:
	case err != nil && !r.failed:
		r.log.ErrorContext(ctx, "events wait in the outbox; trying again every second", "error", err)
	case err == nil && r.failed:
		r.log.InfoContext(ctx, "the outbox is empty again")
	}
	r.failed = err != nil
}

// relay makes the store hand over its records. It turns a panic of the store
// into an error, because no other relay would take over from this one.
func (r *relay) relay(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.log.ErrorContext(ctx, "the store of the outbox panicked", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("the store of the outbox panicked: %v", p)
		}
	}()
	return r.source.Relay(ctx, r.emit)
}

// emit hands one record to the broker. After an unknown outcome it emits again
// with the same id.
func (r *relay) emit(ctx context.Context, rec Record) error {
	m, err := decode(rec.Message)
	if err != nil {
		return r.refuse(rec, &broker.Message{Body: rec.Message}, broker.KindUnreadable, fmt.Errorf("it can't be read: %w", err))
	}
	ctx, cancel := context.WithTimeout(ctx, emitTimeout)
	defer cancel()
	err = r.broker.Emit(ctx, rec.Source, rec.Event, m)
	if errors.Is(err, broker.ErrInvalid) {
		return r.refuse(rec, m, string(enoki.InvalidArgument), err)
	}
	if err != nil {
		r.unsent = fmt.Errorf("emit %s.%s with id %s: %w", rec.Source, rec.Event, m.ID, err)
	}
	return r.unsent
}

// refuse returns an error that makes a record dead.
func (r *relay) refuse(rec Record, m *broker.Message, kind string, why error) error {
	err := fmt.Errorf("event %s.%s in the outbox: %w: %w", rec.Source, rec.Event, ErrRefused, why)
	r.refused = append(r.refused, broker.DeadLetter{
		Service: r.service, Handler: handler, Source: rec.Source, Event: rec.Event,
		Kind: kind, Reason: err.Error(), Attempts: 1, Died: time.Now(), Message: m,
	})
	return err
}
