package amqp

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"github.com/enoki-go/enoki/broker/amqp/wire"
)

// declaringAtOnce is how many queues a member declares at once when it starts:
// each takes a channel.
const declaringAtOnce = 8

// declared are the queues that a member has made at its start. A start that is
// refused removes them: they would fill with events that nobody handles.
type declared struct {
	member  *member
	session *session

	mu   sync.Mutex
	made []queue
}

// declareFirst declares the queues of m before any consumer is attached, and
// binds none until the broker has agreed to all, so that there is nothing in
// those that go again. The error is a refusal for good; whatever else hinders
// it is left to the consumers, which try again.
func (m *member) declareFirst(ctx context.Context) (*declared, error) {
	d := &declared{member: m}
	var waited error
	if d.session, waited = m.link.await(ctx); waited != nil {
		return d, nil
	}
	if err := d.declare(ctx); isForGood(err) {
		return d, err
	}
	return d, nil
}

func isForGood(err error) bool {
	_, refused := errors.AsType[refusedSetting](err)
	return refused
}

// declare leaves out the queue of control, which may be refused.
func (d *declared) declare(ctx context.Context) error {
	var all []queue
	for _, c := range d.member.all() {
		if c != d.member.control && !c.queue.undeclared {
			all = append(all, c.queue)
		}
	}
	if err := d.each(ctx, all, d.declareUnbound); err != nil {
		return err
	}
	lasting := slices.DeleteFunc(all, func(q queue) bool { return q.exclusive || q.autoDelete })
	return d.each(ctx, lasting, d.declareBound)
}

// each returns the first error in the order of the queues.
func (d *declared) each(ctx context.Context, all []queue, do func(context.Context, *declarer, queue) error) error {
	errs, next := make([]error, len(all)), make(chan int)
	var wg sync.WaitGroup
	for range min(declaringAtOnce, len(all)) {
		wg.Go(func() {
			dr := &declarer{session: d.session}
			defer dr.close()
			for i := range next {
				if errs[i] = ctx.Err(); errs[i] == nil {
					errs[i] = do(ctx, dr, all[i])
				}
			}
		})
	}
	for i := range all {
		next <- i
	}
	close(next)
	wg.Wait()
	return cmp.Or(errs...)
}

// declareUnbound declares the exchanges of q, and q itself unless it goes with
// its connection.
func (d *declared) declareUnbound(ctx context.Context, dr *declarer, q queue) error {
	for _, b := range q.bindings {
		if err := dr.declare(ctx, b.exchange); err != nil {
			return err
		}
	}
	if q.exclusive {
		return nil
	}
	isNew := q.autoDelete || dr.lacks(ctx, q) // one that goes with its last consumer is nobody's while it is idle
	q.bindings = nil
	if err := d.declareBound(ctx, dr, q); err != nil || !isNew {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.made = append(d.made, q)
	return nil
}

func (d *declared) declareBound(ctx context.Context, dr *declarer, q queue) error {
	is, err := q.asItIs(ctx, d.session, slog.New(slog.DiscardHandler)) // the consumer warns
	if err != nil {
		return err
	}
	return dr.declare(ctx, is)
}

// remove deletes the queues that were made, unless somebody uses them or there
// is something in them. It has a connection of its own: RabbitMQ ends that of
// who wants a quorum queue deleted on conditions, and the vhost's default may
// be one.
func (d *declared) remove() {
	if len(d.made) == 0 {
		return
	}
	m := d.member
	s, err := m.link.dial(m.driver.ctx)
	if err != nil {
		m.log.Warn("the queues that this start has made stay", "error", err)
		return
	}
	defer s.close()
	defer context.AfterFunc(m.driver.ctx, s.close)()
	dr := &declarer{session: s}
	for _, q := range d.made {
		if err := dr.deleteIdle(m.driver.ctx, q); err != nil {
			m.log.Warn("a queue that this start has made stays", "queue", q.name, "error", err)
		}
	}
}

// declarer is a channel that is opened again when the broker has refused
// something on it.
type declarer struct {
	session *session
	ch      *wire.Channel // nil while none is open
}

func (dr *declarer) do(ctx context.Context, f func(*wire.Channel) error) error {
	if dr.ch == nil {
		ch, err := dr.session.Channel(ctx)
		if err != nil {
			return err
		}
		dr.ch = ch
	}
	err := f(dr.ch)
	if err != nil {
		dr.close() // the broker has closed it
	}
	return err
}

func (dr *declarer) close() {
	if dr.ch != nil {
		dr.session.leave(dr.ch)
		dr.ch = nil
	}
}

func (dr *declarer) declare(ctx context.Context, t topology) error {
	return dr.do(ctx, func(ch *wire.Channel) error { return t.declare(ctx, ch) })
}

// lacks tells whether the broker has no queue of that name.
func (dr *declarer) lacks(ctx context.Context, q queue) bool {
	if checkName("queue", q.name) != nil {
		return false
	}
	_, err := dr.inspect(ctx, q)
	refused, ok := errors.AsType[*wire.Error](err)
	return ok && refused.Code == wire.NotFound
}

func (dr *declarer) inspect(ctx context.Context, q queue) (is wire.QueueState, err error) {
	err = dr.do(ctx, func(ch *wire.Channel) error {
		is, err = ch.FindQueue(ctx, q.wire())
		return err
	})
	return is, err
}

// deleteIdle deletes a queue that has no consumer and no message. A quorum queue
// is looked at before, for it knows no conditions.
func (dr *declarer) deleteIdle(ctx context.Context, q queue) error {
	if q.quorum {
		is, err := dr.inspect(ctx, q)
		if err != nil {
			return err
		}
		if is.Consumers > 0 || is.Messages > 0 {
			return errors.New("it is in use")
		}
	}
	return dr.do(ctx, func(ch *wire.Channel) error {
		return ch.DeleteQueue(ctx, q.name, !q.quorum)
	})
}
