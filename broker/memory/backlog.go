package memory

import (
	"context"

	"github.com/enoki-go/enoki/broker"
)

// Backlog implements broker.Broker. It covers every subscription that this link
// has, or that takes events of a source from which this link has emitted.
func (b *Broker) Backlog(ctx context.Context) (broker.Backlog, error) {
	var out broker.Backlog
	if err := b.lock(ctx); err != nil {
		return out, err
	}
	defer b.hub.mu.Unlock()
	for key, q := range b.hub.events {
		if b.emitted[key.source] || b.consumes(q) {
			out.Add(broker.Waiting{
				Service: key.service, Handler: key.handler, Source: key.source, Event: key.event,
				Events: uint64(len(q.waiting)),
			})
		}
	}
	return out, nil
}

// consumes reports whether a member of this link takes events from q. hub.mu
// must be held.
func (b *Broker) consumes(q *queue) bool {
	for _, c := range q.consumers {
		if c.member.link == b {
			return true
		}
	}
	return false
}
