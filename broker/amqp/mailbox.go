package amqp

import (
	"context"
	"sync"

	"github.com/enoki-go/enoki/broker/amqp/wire"
)

// mailbox keeps deliveries, in their order, for a goroutine other than the one
// that reads. Whoever puts them in does not wait: beyond a number of them the
// oldest goes.
type mailbox struct {
	most  int
	ready chan struct{} // has an item when there may be something to take

	mu      sync.Mutex
	waiting []*wire.Delivery
}

func newMailbox(most int) *mailbox { return &mailbox{most: most, ready: make(chan struct{}, 1)} }

func (b *mailbox) put(d *wire.Delivery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == b.most {
		b.waiting[0] = nil
		b.waiting = b.waiting[1:]
	}
	kept := *d
	b.waiting = append(b.waiting, &kept)
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// take returns the oldest, or nil when there is none.
func (b *mailbox) take() *wire.Delivery {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		return nil
	}
	d := b.waiting[0]
	b.waiting[0] = nil
	b.waiting = b.waiting[1:]
	return d
}

// next waits for the oldest, and returns nil when there is none and ended is
// closed, or ctx ends.
func (b *mailbox) next(ctx context.Context, ended <-chan struct{}) *wire.Delivery {
	for {
		if d := b.take(); d != nil {
			return d
		}
		select {
		case <-b.ready:
		case <-ended:
			return b.take()
		case <-ctx.Done():
			return nil
		}
	}
}
