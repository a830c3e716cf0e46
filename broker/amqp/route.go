package amqp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
)

// maxRoutes bounds what a program with ever new names of events remembers.
const maxRoutes = 4096

// lostFor is how long an event that no queue takes is an error after its
// exchange was deleted: those who were bound to it, in Python, may have to be
// restarted before they are again.
const lostFor = 10 * time.Minute

const (
	// bindPatience is how long an event waits for those who have lost their
	// binding and could not be told: they look every watchPeriod.
	bindPatience = 2 * watchPeriod

	bindPause = 250 * time.Millisecond // between two attempts
)

// route is what is known of where messages with one key go. Whoever was there
// once and is not any more may have lost a binding, or has left: the others are
// asked.
type route struct {
	mu     sync.Mutex
	taken  bool      // a queue took one, and none has been dropped since
	nobody time.Time // when the last one was dropped
	asked  time.Time // when others were asked last
	lost   time.Time // when the exchange was found deleted; zero unless a queue had taken some before

	asking chan struct{} // has an item while somebody asks
}

// routes are by exchange and key.
type routes struct {
	mu sync.Mutex
	of map[[2]string]*route
}

func (r *routes) get(exchange, key string) *route {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := r.of[[2]string{exchange, key}]
	if found == nil {
		if len(r.of) >= maxRoutes || r.of == nil {
			r.of = map[[2]string]*route{}
		}
		found = &route{asking: make(chan struct{}, 1)}
		r.of[[2]string{exchange, key}] = found
	}
	return found
}

// isWatched tells whether the next message is to come back when no queue takes
// it. Where nobody is, only one now and then is: its body comes back, too.
func (r *route) isWatched() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Since(r.nobody) > watchPeriod
}

func (r *route) took() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken, r.nobody, r.lost = true, time.Time{}, time.Time{}
}

// drop notes that no queue took a message, and returns whether one had before.
func (r *route) drop() (taken bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken = r.taken
	r.taken, r.nobody = false, time.Now()
	return taken
}

func (r *route) hasTaken() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.taken
}

func (r *route) lose() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.taken && time.Since(r.lost) > lostFor {
		r.lost = time.Now()
	}
}

// mayStillBind tells whether those who were bound may not have looked yet.
func (r *route) mayStillBind() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.lost.IsZero() && time.Since(r.lost) < bindPatience
}

func (r *route) isLost() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.lost.IsZero() && time.Since(r.lost) < lostFor
}

// ask has all others bind their queues, unless somebody has since the given
// time, and tells whether one of them lasts.
func (d *Driver) ask(ctx context.Context, r *route, since time.Time, about controlBind) (lasts bool) {
	select {
	case r.asking <- struct{}{}:
		defer func() { <-r.asking }()
	case <-ctx.Done():
		return false
	}
	r.mu.Lock()
	asked := r.asked.After(since)
	r.mu.Unlock()
	if asked {
		return false
	}
	lasts = d.haveBound(ctx, about)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = time.Now()
	return lasts
}

// isGone tells whether err is that of an exchange that is not there.
func isGone(err error) bool {
	refused, ok := errors.AsType[*wire.Error](err)
	return ok && refused.Code == wire.NotFound
}

// emit publishes an event. nil means that a queue has it, or that nobody is
// known to subscribe.
func (d *Driver) emit(ctx context.Context, ex exchange, o *outgoing) error {
	r := d.routes.get(ex.name, o.key)
	o.mandatory = r.isWatched()
	began := time.Now()
	err := d.emitOnce(ctx, ex, o)
	for repairs := 0; err != nil; {
		switch {
		case isGone(err) && !ex.undeclared && repairs < 2:
			repairs++
			if err = d.makeAgain(ctx, ex); err != nil {
				return fmt.Errorf("%w: %w", broker.ErrNotDelivered, err)
			}
			if !ex.autoDelete { // else it goes with its last queue
				r.lose()
				d.ask(ctx, r, began, controlBind{Exchange: ex.name})
			}
		case errors.Is(err, errNoRoute) && r.mayStillBind():
			if !wait(ctx, bindPause) {
				return err
			}
		case errors.Is(err, errNoRoute) && r.hasTaken() && !r.isLost() && repairs < 2:
			repairs++
			if d.ask(ctx, r, began, controlBind{Exchange: ex.name, Key: o.key}) {
				r.lose()
			}
		default:
			return d.dropped(r, ex, o, err)
		}
		o = o.copy()
		o.mandatory = true
		err = d.emitOnce(ctx, ex, o)
	}
	if o.mandatory {
		r.took()
	}
	return nil
}

// wait returns false when ctx ends first.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// makeAgain makes an exchange that somebody has deleted.
func (d *Driver) makeAgain(ctx context.Context, ex exchange) error {
	d.undeclare(ex)
	return d.declare(ctx, ex)
}

func (d *Driver) emitOnce(ctx context.Context, ex exchange, o *outgoing) error {
	if err := d.declare(ctx, ex); err != nil {
		return fmt.Errorf("%w: %w", broker.ErrNotDelivered, err)
	}
	return d.publisher.publish(ctx, o)
}

// dropped returns what it means for an event that no queue has taken it: nothing
// where nobody subscribes.
func (d *Driver) dropped(r *route, ex exchange, o *outgoing, err error) error {
	if !errors.Is(err, errNoRoute) {
		return err
	}
	if r.isLost() {
		return fmt.Errorf("%w: %s was deleted, or a binding to it, and no queue is bound to it for %q any more: "+
			"start the services again that subscribe and are not in Go", err, ex, o.key)
	}
	if r.drop() {
		d.log.Info("an event has no subscriptions any more and is dropped", "exchange", ex.name, "event", o.key)
	}
	return nil
}
