// Package memory is a message broker inside this process: the driver that
// users' unit tests run on. It keeps every promise of package broker except
// that it forgets all when the process ends.
//
// It starts a goroutine for each running handler and none besides, and waits
// by timers only, so that in a testing/synctest bubble an hour of retry delay
// passes at once. What goes through it is copied on the way in and out:
// services share no memory.
package memory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/enoki-go/enoki/broker"
)

// Broker is a link to an in-process broker. Services meet when they use the
// same Broker or one that Link has made from it.
type Broker struct {
	hub     *hub
	closed  chan struct{}   // closed, with hub.mu held, by Close
	emitted map[string]bool // sources; guarded by hub.mu
	suspect *work           // the event that may end the process and runs; guarded by hub.mu
}

var _ broker.Broker = (*Broker)(nil)

// New returns a link to a new broker, on which nothing is.
func New() *Broker { return newLink(newHub()) }

// Link returns another link to the same broker, which stays when b is closed.
func (b *Broker) Link() *Broker { return newLink(b.hub) }

func newLink(h *hub) *Broker {
	return &Broker{hub: h, closed: make(chan struct{}), emitted: make(map[string]bool)}
}

type labelKey struct{}

// Labelled returns a ctx for Emit by which the event bears a label, so that two
// copies of it can be told apart: see Label.
func Labelled(ctx context.Context, label string) context.Context {
	return context.WithValue(ctx, labelKey{}, label)
}

// Label returns, of the ctx of an event's handler, the label that the event was
// emitted with and the number of its delivery to this subscription.
func Label(ctx context.Context) string {
	label, _ := ctx.Value(labelKey{}).(string)
	return label
}

// err is ErrClosed after Close.
func (b *Broker) err() error {
	select {
	case <-b.closed:
		return broker.ErrClosed
	default:
		return nil
	}
}

// lock takes the hub's lock for work that ctx and the link still allow.
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

// Call implements broker.Broker. A service is unknown when none of its
// instances is there, also when the last one leaves before it has started the
// call. A request with context data of a type that can't travel is
// broker.ErrNotDelivered.
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

// Emit implements broker.Broker. An event with context data of a type that
// can't travel is broker.ErrInvalid. One that is due later is delivered
// then also when the link that emitted it has been closed.
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

// Services implements broker.Broker. It does not wait: who is there is known.
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

// Ready implements broker.Broker: a link works until it is closed.
func (b *Broker) Ready() error { return b.err() }

// Close implements broker.Broker. It does not wait for the handlers it cuts
// off.
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
