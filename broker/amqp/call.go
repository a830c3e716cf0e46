package amqp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
)

// replyPrefetch bounds the replies that the broker sends ahead.
const replyPrefetch = 1024

// Call implements [broker.Broker]. The request says how long it is wanted, and
// an instance in Go does not start it later. The broker keeps it until then: an
// AMQP expiration would end it there, and with it a Python service that sends
// the request on with nameko-amqp-retry.
func (d *Driver) Call(ctx context.Context, service, method string, req *broker.Message) (*broker.Message, error) {
	if err := d.open(ctx); err != nil {
		return nil, err
	}
	msg := publishing(req)
	headers, err := headersOf(req)
	if err != nil {
		return nil, err
	}
	msg.CorrelationID = orNew(req.ID)
	if req.AtMostOnce && !req.OneWay && req.Instance == "" {
		reply, err := d.callAtMostOnce(ctx, service, method, &outgoing{msg: msg, headers: headers})
		if !errors.Is(err, errNotStarted) {
			return reply, err
		}
	}
	// Of a one-way call nobody reads the reply, but a Nameko service dies of a
	// request that says nothing of where it is to go.
	msg.ReplyTo = d.replies.key
	if req.OneWay {
		o := d.outgoing(service, method, req)
		o.msg, o.headers = msg, headers
		return nil, d.send(ctx, service, req, o)
	}
	if err := d.replies.await(ctx); err != nil {
		return nil, err
	}
	w, err := d.replies.expect(msg.CorrelationID, 1)
	if err != nil {
		return nil, err
	}
	defer d.replies.forget(msg.CorrelationID)
	if headers, err = appendPatience(headers, ctx); err != nil {
		return nil, err
	}
	o := d.outgoing(service, method, req)
	o.quiet, o.msg, o.headers = true, msg, headers
	began := time.Now()
	reply, err := d.sendAndAwait(ctx, o, w)
	if d.mayBeBoundAgain(ctx, service, req, began, err) {
		o = o.copy()
		o.quiet = true
		reply, err = d.sendAndAwait(ctx, o, w)
	}
	if isNotThere(req, err) {
		return nil, unknown(service, req)
	}
	if state := o.state.Load(); err != nil && ctx.Err() != nil && (state == sent || state == confirmed) {
		d.goCancel(service, msg.CorrelationID)
	}
	return reply, err
}

func (d *Driver) sendAndAwait(ctx context.Context, o *outgoing, w *waiter) (*broker.Message, error) {
	for tries := 1; ; tries++ {
		reply, err := d.sendAndAwaitOnce(ctx, o, w)
		if !d.publisher.maySendAgain(ctx, o, err, tries) {
			return reply, err
		}
		o.state.Store(waiting)
	}
}

func (d *Driver) sendAndAwaitOnce(ctx context.Context, o *outgoing, w *waiter) (*broker.Message, error) {
	if err := d.publisher.submit(ctx, o); err != nil {
		return nil, err
	}
	return d.awaitReply(ctx, o, w)
}

// mayBeBoundAgain tells whether a request that no queue took, or that had no
// exchange, is to be sent once more: the service was there before, or all have
// lost the exchange, and its instances have been told to bind their queues.
func (d *Driver) mayBeBoundAgain(ctx context.Context, service string, req *broker.Message, began time.Time, err error) bool {
	about := controlBind{Exchange: d.config.RPCExchange}
	r := d.routes.get(about.Exchange, service)
	switch {
	case err == nil:
		if !r.hasTaken() {
			r.took()
		}
		return false
	case isGone(err):
		d.undeclare(d.rpcExchange())
		if d.declare(ctx, d.rpcExchange()) != nil {
			return false
		}
	case errors.Is(err, errNoRoute) && req.Instance == "" && r.drop():
		about.Key = service + ".*"
	default:
		return false
	}
	d.ask(ctx, r, began, about)
	return ctx.Err() == nil
}

// outgoing is a request on its way to the queue of a service, or to that of one
// of its instances. It is sent again if a quorum queue refuses it, which has not
// got it then; a classic queue whose node dies may have handed it out before.
func (d *Driver) outgoing(service, method string, req *broker.Message) *outgoing {
	key := service + "." + method
	if req.Instance != "" {
		key = directKey(req.Instance, method)
	}
	return &outgoing{exchange: d.config.RPCExchange, key: key, mandatory: true,
		resent: d.config.QueueType == Quorum && req.Instance == ""}
}

// send sends a one-way request: it is done when the broker has it.
func (d *Driver) send(ctx context.Context, service string, req *broker.Message, o *outgoing) error {
	if err := d.declare(ctx, d.rpcExchange()); err != nil {
		return fmt.Errorf("%w: %w", broker.ErrNotDelivered, err)
	}
	began := time.Now()
	err := d.publisher.publish(ctx, o)
	if d.mayBeBoundAgain(ctx, service, req, began, err) {
		err = d.publisher.publish(ctx, o.copy())
	}
	if isNotThere(req, err) {
		return unknown(service, req)
	}
	return err
}

// isNotThere tells whether a request found no queue, or that of one instance
// while it went.
func isNotThere(req *broker.Message, err error) bool {
	return errors.Is(err, errNoRoute) || req.Instance != "" && errors.Is(err, errNack)
}

func unknown(service string, req *broker.Message) error {
	if req.Instance != "" {
		return fmt.Errorf("%w %q: its instance %s is not there", broker.ErrUnknownService, service, req.Instance)
	}
	return fmt.Errorf("%w %q: it has no queue on the broker", broker.ErrUnknownService, service)
}

var errClosedUnanswered = fmt.Errorf("%w before the reply came: %w", broker.ErrClosed, broker.ErrUnknownOutcome)

// awaitReply waits for the reply to a request that was handed to the
// publisher. A confirm that is lost changes nothing: the request may have
// arrived, and then its reply still comes.
func (d *Driver) awaitReply(ctx context.Context, o *outgoing, w *waiter) (*broker.Message, error) {
	var lost error // why the outcome of the request is not known
	for {
		select {
		case reply := <-w.replies:
			return d.readReply(reply)
		case err := <-o.done:
			if errors.Is(err, broker.ErrUnknownOutcome) {
				lost = err
			} else {
				return nil, err
			}
		case <-w.expired:
			if o.state.CompareAndSwap(waiting, abandoned) {
				return nil, fmt.Errorf("%w: the reply queue expired before the request was sent", broker.ErrNotDelivered)
			}
			return nil, fmt.Errorf("%w: the reply queue expired meanwhile", broker.ErrUnknownOutcome)
		case <-ctx.Done():
			return nil, d.unanswered(ctx, o, w, lost)
		case <-d.ctx.Done():
			return nil, cmp.Or(d.publisher.closed(o), errClosedUnanswered)
		}
	}
}

func (d *Driver) readReply(reply *delivery) (m *broker.Message, err error) {
	defer guard(d.log, "a reply", &err)
	return message(&reply.Delivery), nil
}

// unanswered is the error of a call whose ctx has ended without a reply.
func (d *Driver) unanswered(ctx context.Context, o *outgoing, w *waiter, lost error) error {
	switch {
	case lost != nil:
		return fmt.Errorf("%w: %w", lost, ctx.Err())
	case o.state.Load() != confirmed:
		return cmp.Or(d.publisher.giveUp(ctx, o), ctx.Err()) // confirmed just now
	case w.interrupted.Load(), d.replies.ready() != nil:
		return fmt.Errorf("%w: %w", broker.ErrUnknownOutcome, ctx.Err())
	default:
		return ctx.Err()
	}
}

const (
	headerLeft     = ownPrefix + "left"     // of a request: how long it is wanted from when it was sent on, in ms
	headerDeadline = ownPrefix + "deadline" // and until when, in ms since 1970 by its sender's clock

	// clockSkew is how far the clocks of two machines may differ.
	clockSkew = 30 * time.Second
)

// appendPatience appends how long ctx leaves.
func appendPatience(headers []byte, ctx context.Context) ([]byte, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return headers, nil
	}
	left := time.Until(deadline).Milliseconds()
	if left <= 0 {
		return nil, fmt.Errorf("%w: no time is left: %w", broker.ErrNotDelivered, context.DeadlineExceeded)
	}
	headers = wire.AppendInt(wire.AppendShort(headers, headerLeft), left)
	return wire.AppendInt(wire.AppendShort(headers, headerDeadline), deadline.UnixMilli()), nil
}

// isStale tells whether nobody waits for the reply to a request any more: it has
// been here for too long, or its deadline has passed whoever's clock is wrong.
func isStale(d *delivery) bool {
	left, ok := valueOf(d.Headers[headerLeft]).(int64)
	if ok && time.Since(d.arrived) > time.Duration(left)*time.Millisecond {
		return true
	}
	deadline, ok := valueOf(d.Headers[headerDeadline]).(int64)
	return ok && time.Since(time.UnixMilli(deadline)) > clockSkew
}
