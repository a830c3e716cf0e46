// Package outbox emits events that were stored together with the data they
// describe: both are stored, or neither, whatever dies meanwhile. A handler
// puts the event into its database in the transaction that writes the data.
// After the commit, a relay hands the event to the broker. It forgets the event
// once the broker has stored it. An inbox works in the other direction: a
// handler's transaction notes which event was handled, so that an event that
// comes twice has its effect only once.
//
// Packages bolt and postgres below this one are for bbolt and PostgreSQL. Other
// databases implement Store and Inbox. The broker gets an event like any other:
// it is delivered at least once, with the id that it got in the transaction.
package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/entrypoint"
)

// Store is the part of a database that keeps events until the broker has them.
// Tx is the database's transaction. A Store may be used concurrently.
type Store[Tx any] interface {
	// Put adds a record in tx. The record is stored if and only if tx commits.
	Put(ctx context.Context, tx Tx, r Record) error

	// Relay hands every record to emit, oldest first. It forgets a record for which
	// emit has returned nil. A record becomes a dead record if emit returns
	// ErrRefused, tested with errors.Is; the error's text is the reason. A record
	// that the store can no longer read becomes one too. Relay then goes on. Any
	// other error ends Relay, which returns it. Records whose transactions
	// overlapped may come in either order. Relay does nothing while another Relay
	// of the same data runs, in this process or another one.
	Relay(ctx context.Context, emit func(ctx context.Context, r Record) error) error

	// Added receives an item soon before or soon after a transaction of this
	// process commits a record.
	Added() <-chan struct{}

	// Count counts the records. It is called every few seconds.
	Count(ctx context.Context) (Count, error)

	// Dead hands every dead record to settle, oldest first, and does what settle
	// returns.
	Dead(ctx context.Context, settle func(d DeadRecord) Settlement) error
}

// Record is an event that waits in a Store.
type Record struct {
	Source  string // the service that emits the event
	Event   string // the event's type
	Message []byte // the event in this package's form, opaque to a Store
}

// DeadRecord is a record that no broker takes. The store keeps it until
// somebody settles it.
type DeadRecord struct {
	Record        // if the store can't read the record, only Message is set, to all that it has
	Reason string // why it was refused, for people
}

// Settlement says what happens to a dead record. The zero value is Keep.
type Settlement int

const (
	Keep    Settlement = iota // it stays a dead record
	Retry                     // it waits for the relay again, in its old place
	Discard                   // it is forgotten
)

// Count is how many records a Store has.
type Count struct {
	Waiting int       // records that wait for the relay
	Oldest  time.Time // when the oldest one was put; zero if there is none or nobody knows
	Dead    int
}

// ErrRefused makes Relay turn the record into a dead record.
var ErrRefused = errors.New("no broker takes it")

// Event is an event that a service emits through a Store. Emits makes it.
type Event[Tx any] struct {
	part enoki.Part
	fill func(sender entrypoint.Sender, s Store[Tx])
}

// Emit stores an event in tx and returns. The broker gets the event after tx
// has committed. The error has the code InvalidArgument if the payload can't be
// encoded, if an option is invalid, or if the broker could never take the
// event, for example because it is too large. Any other error is the
// database's. The options are those of [enoki.Emit]; a delay counts from this
// call. An Emit may be called concurrently.
//
// A test sets a variable of this type to a function of its own.
type Emit[Tx, T any] func(ctx context.Context, tx Tx, payload T, options ...enoki.EmitOption) error

// Emits declares that the service emits ev. It fills *emit at start.
func Emits[Tx, T any](ev enoki.Event[T], emit *Emit[Tx, T]) Event[Tx] {
	direct := new(enoki.Emit[T]) // nobody calls it; it only declares the event
	if emit == nil {
		direct = nil // enoki.Emits then refuses it
	}
	return Event[Tx]{
		part: enoki.Emits(ev, direct),
		fill: func(sender entrypoint.Sender, s Store[Tx]) {
			*emit = func(ctx context.Context, tx Tx, payload T, options ...enoki.EmitOption) error {
				return put(ctx, sender, s, tx, ev.Source, ev.Name, payload, options)
			}
		},
	}
}

func put[Tx any](ctx context.Context, sender entrypoint.Sender, s Store[Tx], tx Tx, source, event string, payload any, options []enoki.EmitOption) error {
	m, err := sender.EventMessage(ctx, source, event, payload, options...)
	if err != nil {
		return err
	}
	text, err := encode(m)
	if err != nil {
		return enoki.Errorf(enoki.InvalidArgument, "event %s.%s: %w", source, event, err)
	}
	if err := s.Put(ctx, tx, Record{Source: source, Event: event, Message: text}); err != nil {
		return fmt.Errorf("store the event %s.%s: %w", source, event, err)
	}
	return nil
}

// Use declares that the service emits events through s. The service relays the
// records in s for as long as it runs: at once after a commit of this process,
// and every second for records that other processes left behind.
func Use[Tx any](s Store[Tx], events ...Event[Tx]) enoki.Part {
	x := &extension[Tx]{store: s}
	parts := []enoki.Part{enoki.Extend(x)}
	for _, ev := range events {
		x.fills = append(x.fills, ev.fill)
		parts = append(parts, ev.part)
	}
	return enoki.Parts(parts...)
}

// extension fills the emit functions and runs the relay.
type extension[Tx any] struct {
	store Store[Tx]
	fills []func(entrypoint.Sender, Store[Tx])

	stop    context.CancelFunc
	relayed chan struct{} // closed when the relay has ended
}

func (x *extension[Tx]) Check() error {
	switch {
	case x.store == nil:
		return errors.New("outbox has no store; give Use one, such as bolt.New(db)")
	case len(x.fills) == 0:
		return errors.New("outbox has no event; give Use one for each that goes through it, by Emits")
	}
	return nil
}

// Prepare implements entrypoint.Preparer.
func (x *extension[Tx]) Prepare(_ context.Context, scope *entrypoint.Scope) error {
	for _, fill := range x.fills {
		fill(scope, x.store)
	}
	return nil
}

func (x *extension[Tx]) Start(ctx context.Context, scope *entrypoint.Scope) error {
	ctx, x.stop = context.WithCancel(ctx)
	r := &relay{source: x.store, broker: scope.Broker, service: scope.Service, log: scope.Logger, buried: scope.DeadLettered}
	x.relayed = make(chan struct{})
	go func() {
		defer close(x.relayed)
		r.run(ctx)
	}()
	return nil
}

// Stop leaves waiting records in the store. They are emitted after the next
// start.
func (x *extension[Tx]) Stop(ctx context.Context) error {
	x.stop()
	select {
	case <-x.relayed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Measure implements entrypoint.Gauged.
func (x *extension[Tx]) Measure(ctx context.Context) ([]entrypoint.Gauge, error) {
	n, err := x.store.Count(ctx)
	if err != nil {
		return nil, fmt.Errorf("count what is in the outbox: %w", err)
	}
	gauges := []entrypoint.Gauge{
		{Name: "outbox_waiting", Help: "Events in an outbox that the broker does not have yet.", Value: float64(n.Waiting)},
		{Name: "outbox_dead", Help: "Events in an outbox that the broker has refused for good.", Value: float64(n.Dead)},
	}
	if !n.Oldest.IsZero() {
		gauges = append(gauges, entrypoint.Gauge{Name: "outbox_oldest_seconds", Help: "Age of the oldest event that waits in an outbox.", Value: time.Since(n.Oldest).Seconds()})
	}
	return gauges, nil
}

func (x *extension[Tx]) Describe() []entrypoint.Description { return nil } // the events describe themselves
