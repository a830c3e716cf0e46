package amqp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
	"github.com/enoki-go/enoki/internal/uuid"
)

// replies is the one reply queue of a driver and those who wait for what
// arrives there. It is declared at first use and keeps its name, and what
// arrives meanwhile, over lost connections.
type replies struct {
	driver *Driver
	key    string // the routing key, which requests carry as reply_to

	mu       sync.Mutex
	consumer *consumer // nil until the first use
	waiters  map[string]*waiter
	expired  chan struct{} // of all waiters
}

// waiter waits for the replies to one correlation id.
type waiter struct {
	replies     chan *delivery
	expired     <-chan struct{} // closed when the queue was lost with what was in it
	interrupted atomic.Bool     // the queue was without its consumer meanwhile
}

func newReplies(d *Driver) *replies {
	return &replies{driver: d, key: uuid.New(), waiters: map[string]*waiter{}, expired: make(chan struct{})}
}

// await returns when replies can arrive.
func (r *replies) await(ctx context.Context) error {
	c, err := r.started()
	if err != nil {
		return err
	}
	if err := c.await(ctx); err != nil {
		if errors.Is(err, broker.ErrClosed) {
			return err
		}
		return fmt.Errorf("%w: no reply could be received: %w", broker.ErrNotDelivered, err)
	}
	return nil
}

func (r *replies) started() (*consumer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.consumer == nil {
		d := r.driver
		c := newConsumer(d.ctx, d.consuming, d.log,
			work{queue: r.queue(), prefetch: replyPrefetch, before: r.check, handle: r.take, inline: true})
		if !d.goRun(func() { c.run(d.ctx) }) {
			return nil, broker.ErrClosed
		}
		r.consumer = c
	}
	return r.consumer, nil
}

func (r *replies) queue() queue {
	c := r.driver.config
	return r.driver.lasting(queue{
		name:     "rpc.reply-" + c.Owner + "-" + r.key,
		args:     wire.Table{"x-expires": int32(c.replyExpiry.Milliseconds())},
		bindings: []binding{{exchange: r.driver.rpcExchange(), key: r.key}},
	})
}

// rpcExchange returns the exchange of requests and replies.
func (d *Driver) rpcExchange() exchange {
	return exchange{name: d.config.RPCExchange, kind: "topic"}
}

// check looks whether the queue has outlived the time without a consumer. If
// not, the replies in it are lost, and who
// waits for them is told.
func (r *replies) check(s *session) error {
	r.mu.Lock()
	for _, w := range r.waiters {
		w.interrupted.Store(true)
	}
	r.mu.Unlock()
	ch, err := s.Channel(r.driver.ctx)
	if err != nil {
		return err
	}
	defer s.leave(ch) // a queue that is not found has closed it already
	q := r.queue()
	_, err = ch.FindQueue(r.driver.ctx, q.wire())
	if missing, ok := errors.AsType[*wire.Error](err); !ok || missing.Code != wire.NotFound {
		return err
	}
	r.driver.log.Warn("the reply queue expired while the link was down, pending calls have failed", "queue", q.name)
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.waiters)
	close(r.expired)
	r.expired = make(chan struct{})
	return nil
}

// expect has up to n replies to id kept for the waiter, until forget.
func (r *replies) expect(id string, n int) (*waiter, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, taken := r.waiters[id]; taken {
		return nil, errInUse(id)
	}
	w := &waiter{replies: make(chan *delivery, n), expired: r.expired}
	r.waiters[id] = w
	return w, nil
}

func errInUse(id string) error {
	return fmt.Errorf("%w: a call with the id %q is under way", broker.ErrNotDelivered, id)
}

func (r *replies) forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiters, id)
}

// take acks a reply and hands it over. One that nobody waits for is late, or
// the second of a request that was handled twice.
func (r *replies) take(d *delivery) {
	_ = d.Ack() // on a closed channel the reply comes again, and is ignored
	r.mu.Lock()
	w := r.waiters[d.CorrelationID]
	r.mu.Unlock()
	if w == nil {
		return
	}
	select {
	case w.replies <- d:
	default:
	}
}

// ready is nil, too, as long as nobody has called.
func (r *replies) ready() error {
	if c := r.current(); c != nil {
		return c.ready()
	}
	return nil
}

// current returns nil as long as nobody has called.
func (r *replies) current() *consumer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.consumer
}

// remove deletes the queue: nobody waits for replies any more.
func (r *replies) remove() {
	s := r.driver.consuming.now()
	if r.current() == nil || s == nil {
		return
	}
	s.politely(func(ctx context.Context) {
		if ch, err := s.Channel(ctx); err == nil {
			_ = ch.DeleteQueue(ctx, r.queue().name, false) // else it expires
		}
	})
}
