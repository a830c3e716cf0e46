// Package memory is a message broker inside this process, for users' unit
// tests. It keeps every promise of package broker, with one exception: it
// forgets everything when the process ends.
//
// It starts one goroutine for each running handler and no others, and waits
// only with timers. In a testing/synctest bubble an hour of retry delay
// therefore passes at once. Messages are copied on the way in and on the way
// out, so that services share no memory.
package memory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/enoki-go/enoki/broker"
)

// Broker is a link to a broker in this process. Services meet if they use the
// same Broker, or links that Link has made from it. Its methods may be called
// concurrently.
type Broker struct {
	hub     *hub
	closed  chan struct{}   // closed by Close, with hub.mu held
	emitted map[string]bool // sources; guarded by hub.mu
	suspect *work           // the running event that may end the process; guarded by hub.mu
}

var _ broker.Broker = (*Broker)(nil)

// New returns a link to a new, empty broker.
func New() *Broker { return newLink(newHub()) }

// Link returns another link to the same broker. It stays open when b is closed.
func (b *Broker) Link() *Broker { return newLink(b.hub) }

func newLink(h *hub) *Broker {
	return &Broker{hub: h, closed: make(chan struct{}), emitted: make(map[string]bool)}
}

type labelKey struct{}

// Labelled returns a ctx for Emit that gives the event a label. Two copies of
// an event can be told apart by it, see Label.
func Labelled(ctx context.Context, label string) context.Context {
	return context.WithValue(ctx, labelKey{}, label)
}

// Label returns the label that an event was emitted with, and the number of its
// delivery to this subscription. ctx is that of the event's handler.
func Label(ctx context.Context) string {
	label, _ := ctx.Value(labelKey{}).(string)
	return label
}

// err returns ErrClosed after Close.
func (b *Broker) err() error {
	select {
	case <-b.closed:
		return broker.ErrClosed
	default:
		return nil
	}
}

// lock takes the hub's lock, unless ctx has ended or the link is closed.
func (b *Broker) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.hub.mu.Lock()
	if err := b.err(); err != nil {
		b.hub.mu.Unlock()
		return err
	}
	return nil
}

// Call implements broker.Broker. A service is unknown if it has no instance, or
// if its last instance leaves before it has started the call. A request whose
// context data has a type that can't travel is broker.ErrNotDelivered.
func (b *Broker) Call(ctx context.Context, service, method string, req *broker.Message) (*broker.Message, error) {
	w, err := newWork(req)
	if err != nil {
		return nil, fmt.Errorf("call %s.%s: %w", service, method, err)
	}
	w.call = newCall(service, method)
	if err := b.lock(ctx); err != nil {
		return nil, err
	}
	b.hub.callsTo(service, req.Instance).push(w)
	b.hub.mu.Unlock()

	select {
	case a := <-w.call.answer:
		return a.reply, a.err
	case <-ctx.Done():
		b.hub.abandon(w)
		return nil, ctx.Err()
	case <-b.closed:
		b.hub.abandon(w)
		return nil, broker.ErrClosed
	}
}

// Emit implements broker.Broker. An event whose context data has a type that
// can't travel is broker.ErrInvalid. A delayed event is delivered even if the
// link that emitted it has been closed.
func (b *Broker) Emit(ctx context.Context, source, event string, m *broker.Message) error {
	w, err := newWork(m)
	if err != nil {
		return fmt.Errorf("emit %s.%s: %w", source, event, err)
	}
	w.label = Label(ctx)
	if err := b.lock(ctx); err != nil {
		return err
	}
	defer b.hub.mu.Unlock()
	b.emitted[source] = true
	b.hub.after(time.Until(m.Due), func() { b.hub.route(topic{source, event}, w) })
	return nil
}

// CheckEvent implements broker.Broker.
func (b *Broker) CheckEvent(source, event string, m *broker.Message) error {
	if _, err := newWork(m); err != nil {
		return fmt.Errorf("emit %s.%s: %w", source, event, err)
	}
	return nil
}

// Join implements broker.Broker.
func (b *Broker) Join(ctx context.Context, s broker.Service) (broker.Member, error) {
	if err := check(&s); err != nil {
		return nil, fmt.Errorf("join %s: %w", s.Name, err)
	}
	if err := b.lock(ctx); err != nil {
		return nil, err
	}
	defer b.hub.mu.Unlock()
	if err := b.hub.check(&s); err != nil {
		return nil, fmt.Errorf("join %s: %w", s.Name, err)
	}
	return newMember(b, s), nil
}

// check refuses a service that could never work.
func check(s *broker.Service) error {
	if s.Workers < 1 {
		return fmt.Errorf("workers is %d, must be at least 1", s.Workers)
	}
	for _, sub := range s.Subscriptions {
		if err := sub.Check(); err != nil {
			return err
		}
	}
	return nil
}

// Services implements broker.Broker. It does not wait, because it knows all
// instances.
func (b *Broker) Services(ctx context.Context) ([]broker.Instance, error) {
	if err := b.lock(ctx); err != nil {
		return nil, err
	}
	defer b.hub.mu.Unlock()
	shown := make([]broker.Instance, 0, len(b.hub.members))
	for m := range b.hub.members {
		shown = append(shown, copyInstance(m.service.Instance))
	}
	slices.SortFunc(shown, func(a, b broker.Instance) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return shown, nil
}

// Ready implements broker.Broker. A link works until it is closed.
func (b *Broker) Ready() error { return b.err() }

// Close implements broker.Broker. It does not wait for the handlers that it
// cuts off.
func (b *Broker) Close() error {
	b.hub.mu.Lock()
	defer b.hub.mu.Unlock()
	if b.err() != nil {
		return nil
	}
	close(b.closed)
	b.hub.releaseAll(b)
	for m := range b.hub.members {
		if m.link == b {
			m.stop()
			m.cut()
		}
	}
	return nil
}
