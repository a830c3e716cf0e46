package amqp

import (
	"context"
	"errors"
	"fmt"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
)

// Backlog implements [broker.Broker]. It counts the messages that are ready in
// the queues of this link's members. RabbitMQ tells nobody but its management
// plug-in which other queues an exchange leads to, or how full the disk is. Of
// an alarm it tells a connection when that publishes, so Blocked is empty until
// then.
func (d *Driver) Backlog(ctx context.Context) (broker.Backlog, error) {
	var out broker.Backlog
	if err := d.open(ctx); err != nil {
		return out, err
	}
	out.Blocked = d.publisher.alarm()
	s, err := d.consuming.await(ctx)
	if err != nil {
		return out, fmt.Errorf("count what waits: %w", err)
	}
	c := &counter{session: s, counted: make(map[string]bool)}
	defer c.close()
	for _, m := range d.joined() {
		for _, sub := range m.service.Subscriptions {
			n, err := c.count(ctx, d.subscriptionQueue(m.service.Instance, sub).name)
			if err != nil {
				return out, fmt.Errorf("count what waits for %s: %w", sub.Handler, err)
			}
			w := broker.Waiting{Service: m.service.Name, Handler: sub.Handler, Source: sub.Source, Event: sub.Event, Events: n}
			if sub.Mode == broker.Singleton {
				w.Service, w.Handler = "", ""
			}
			out.Add(w)
		}
	}
	return out, nil
}

func (d *Driver) joined() []*member {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]*member, 0, len(d.members))
	for m := range d.members {
		all = append(all, m)
	}
	return all
}

// counter asks the broker for the lengths of queues, each once.
type counter struct {
	session *session
	ch      *wire.Channel // nil while none is open
	counted map[string]bool
}

// count returns how many messages are ready in a queue: 0 if it was counted
// before, for members of one process may share it, or if it is gone, which its
// consumer says louder.
func (c *counter) count(ctx context.Context, queue string) (uint64, error) {
	if c.counted[queue] {
		return 0, nil
	}
	c.counted[queue] = true
	if c.ch == nil {
		ch, err := c.session.Channel(ctx)
		if err != nil {
			return 0, err
		}
		c.ch = ch
	}
	state, err := c.ch.FindQueue(ctx, wire.Queue{Name: queue, Durable: true})
	if err == nil {
		return uint64(state.Messages), nil
	}
	c.close() // the broker has closed it
	if gone, ok := errors.AsType[*wire.Error](err); ok && gone.Code == wire.NotFound {
		return 0, nil
	}
	return 0, err
}

func (c *counter) close() {
	if c.ch != nil {
		c.session.leave(c.ch)
		c.ch = nil
	}
}
