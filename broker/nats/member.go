package nats

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	natsgo "github.com/nats-io/nats.go"

	"github.com/enoki-go/enoki/broker"
)

// member is a service instance that has joined: its calls, its consumers and
// its answers to discovery.
type member struct {
	driver   *Driver
	service  broker.Service
	calls    *calls // nil if it serves none
	direct   *calls // calls to this instance alone; nil like calls
	events   []*consumer
	presence *presence
	epoch    uint64 // of the link when attaching began

	// ctx is the context of the handlers; cancel ends them.
	ctx    context.Context
	cancel context.CancelFunc

	// silent reports whether the server answers. It is first called when the member
	// leaves.
	silent func() <-chan struct{}

	leave sync.Once
	left  chan struct{} // closed when Leave or Close has ended
	err   error         // of Leave; read it after left
}

var _ broker.Member = (*member)(nil)

// Join implements broker.Broker.
func (d *Driver) Join(ctx context.Context, s broker.Service) (broker.Member, error) {
	if err := d.usable(ctx); err != nil {
		return nil, err
	}
	m, err := d.newMember(s)
	if err == nil {
		err = m.attach(ctx)
	}
	if err == nil {
		err = d.admit(m)
	}
	if err != nil {
		if m != nil {
			m.cutOff()
		}
		return nil, fmt.Errorf("nats: join %s: %w", s.Name, err)
	}
	return m, nil
}

func (d *Driver) newMember(s broker.Service) (*member, error) {
	if s.Name == "" || s.ID == "" || s.Workers < 1 {
		return nil, fmt.Errorf("%w: it needs a name, an id and at least one worker, and has %q, %q and %d", errRefused, s.Name, s.ID, s.Workers)
	}
	for _, sub := range s.Subscriptions {
		if err := sub.Check(); err != nil {
			return nil, fmt.Errorf("%w: %w", errRefused, err)
		}
	}
	m := &member{driver: d, service: s, left: make(chan struct{}), silent: sync.OnceValue(d.link.silent)}
	presence, err := newPresence(m)
	if err != nil {
		return nil, err
	}
	m.presence = presence
	m.ctx, m.cancel = context.WithCancel(context.Background())
	for _, sub := range s.Subscriptions {
		m.events = append(m.events, newConsumer(m, sub))
	}
	if len(m.events) > 0 {
		m.events = append(m.events, newCarrier(m))
	}
	return m, nil
}

// attach makes all consumers and returns when the broker has confirmed them.
// Those of events come first, so that no event that a call causes is missed.
func (m *member) attach(ctx context.Context) error {
	d := m.driver
	m.epoch = d.link.epoch()
	for _, c := range m.events {
		if err := d.insist(ctx, c.attach); err != nil {
			return fmt.Errorf("subscription %s to %s.%s: %w", c.sub.Handler, c.sub.Source, c.sub.Event, err)
		}
	}
	return d.insist(ctx, m.attachCore)
}

// attachCore makes the subscriptions of core NATS. The client keeps them over a
// lost link, so this happens only once.
func (m *member) attachCore(ctx context.Context) error {
	if m.service.Serve != nil && m.calls == nil {
		stats := newStats(m.service.Methods)
		direct, err := newCalls(m, true, stats)
		if err != nil {
			return err
		}
		calls, err := newCalls(m, false, stats)
		if err != nil {
			direct.stop()
			return err
		}
		m.calls, m.direct = calls, direct
	}
	if err := m.presence.show(); err != nil {
		return err
	}
	return m.prove(ctx)
}

// prove returns nil once the server has accepted all subscriptions so far.
func (m *member) prove(ctx context.Context) error {
	nc := m.driver.link.nc
	if err := nc.FlushWithContext(ctx); err != nil {
		return err
	}
	// The denial of a subscription arrives before the flush returns.
	if err := nc.LastError(); errors.Is(err, natsgo.ErrPermissionViolation) {
		for _, subject := range m.subjects() {
			if strings.Contains(err.Error(), `"`+subject+`"`) {
				return fmt.Errorf("%w: %w: let this user subscribe to it", errRefused, err)
			}
		}
	}
	return nil
}

func (m *member) subjects() []string {
	name := token(m.service.Name)
	return append(m.presence.subjects(), callPrefix+name+".*", directSubjects(m.service), cancelPrefix+name,
		sparePrefix+name, sparePrefix+name+"."+token(m.service.ID), sparePrefix+name+"."+token(m.service.ID)+".*")
}

// admit makes m a member that the recovery of the link restores.
func (d *Driver) admit(m *member) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closing {
		return errClosed
	}
	d.members[m] = struct{}{}
	if m.epoch != d.link.epoch() { // the link may have recovered before it knew m
		for _, c := range m.events {
			c.fail(errUnconfirmed)
		}
		d.link.repair()
	}
	return nil
}

func (d *Driver) dismiss(m *member) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.members, m)
}

// Ready implements broker.Member.
func (m *member) Ready() error {
	if err := m.driver.ready(); err != nil {
		return err
	}
	return m.missing()
}

// missing returns an error for the first consumer that the broker has not
// confirmed.
func (m *member) missing() error {
	for _, c := range m.events {
		if err := c.ready(); err != nil {
			return fmt.Errorf("nats: %s does not get %s.%s: %w", m.service.Name, c.sub.Source, c.sub.Event, err)
		}
	}
	return nil
}

// Leave implements broker.Member. Calls that have arrived but were not started
// go to another instance. If there is none, they are still served here.
func (m *member) Leave(ctx context.Context) error {
	m.leave.Do(func() {
		m.err = m.drain(ctx)
		m.end()
	})
	<-m.left
	return m.err
}

// drain stops taking work and waits for running work.
func (m *member) drain(ctx context.Context) error {
	m.presence.hide()
	var idle []<-chan struct{}
	if m.calls != nil {
		idle = append(idle, m.calls.stop())
	}
	for _, c := range m.events {
		idle = append(idle, c.stop())
	}
	if err := m.await(ctx, idle...); err != nil {
		return err
	}
	if m.service.Drain != nil {
		if err := m.await(ctx, m.drained()); err != nil {
			return err
		}
	}
	if m.direct != nil {
		if err := m.await(ctx, m.direct.stop()); err != nil {
			return err
		}
	}
	ctx, cancel := m.talking(ctx)
	defer cancel()
	_ = m.driver.link.nc.FlushWithContext(ctx) // sends acknowledgements; if one is lost, its event comes twice
	return nil
}

// await returns when all are closed, or the reason not to wait longer.
func (m *member) await(ctx context.Context, all ...<-chan struct{}) error {
	for _, done := range all {
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		case <-m.ctx.Done(): // Close does not wait
			return errClosed
		}
	}
	return nil
}

// drained calls Drain and returns a channel that is closed when Drain has
// returned.
func (m *member) drained() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.service.Drain(m.ctx)
	}()
	return done
}

// end cancels running work, gives back unsettled events and forgets m.
func (m *member) end() {
	m.driver.dismiss(m)
	m.cancel()
	if m.calls != nil {
		m.calls.end()
		m.direct.stop()
		m.direct.end()
	}
	for _, c := range m.events {
		c.end()
	}
	m.presence.hide()
	close(m.left)
}

// cutOff is Leave without waiting.
func (m *member) cutOff() {
	m.cancel()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_ = m.Leave(ended)
}
