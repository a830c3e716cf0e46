package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/enoki-go/enoki/broker"
)

// settlePause is the time between two tries of a call while instances may be
// reconnecting.
const settlePause = 50 * time.Millisecond

// Call implements broker.Broker. For a moment after the link has recovered it
// tries again instead of returning ErrUnknownService, because the instances
// may be on their way back, too.
func (d *Driver) Call(ctx context.Context, service, method string, req *broker.Message) (*broker.Message, error) {
	if err := d.usable(ctx); err != nil {
		return nil, err
	}
	msg, err := encode(requestSubject(service, method, req), req)
	if err != nil {
		return nil, err
	}
	for {
		reply, err := d.call(ctx, service, msg)
		if err != nil {
			return nil, fmt.Errorf("nats: call %s.%s: %w", service, method, err)
		}
		if statusOf(reply) != noResponders {
			return d.readReply(service, method, req, reply)
		}
		if !d.link.settling() {
			return nil, fmt.Errorf("nats: call %s.%s: %w", service, method, unknown(req))
		}
		if err := sleep(ctx, settlePause); err != nil {
			return nil, fmt.Errorf("nats: call %s.%s: %w: no instance is back yet: %w", service, method, broker.ErrNotDelivered, err)
		}
	}
}

func unknown(req *broker.Message) error {
	if req.Instance == "" {
		return broker.ErrUnknownService
	}
	return fmt.Errorf("%w: its instance %s is not there", broker.ErrUnknownService, req.Instance)
}

func (d *Driver) readReply(service, method string, req *broker.Message, reply *natsgo.Msg) (*broker.Message, error) {
	if req.OneWay { // an instance says that it has it
		return nil, nil
	}
	if reason := headerOf(reply, errorHeader); reason != "" {
		return nil, fmt.Errorf("nats: call %s.%s was handled, but its reply was lost: %s: %w", service, method, reason, broker.ErrUnknownOutcome)
	}
	return decode(reply, d.log), nil
}

// call sends a request once and waits for what comes back; it tells the
// service when ctx ends first.
func (d *Driver) call(ctx context.Context, service string, msg *natsgo.Msg) (*natsgo.Msg, error) {
	losses := d.link.losses.Load()
	reply, err := d.request(ctx, msg, false)
	if !errors.Is(err, errUnanswered) {
		return reply, err
	}
	if denial := d.link.denial(msg.Subject); denial != nil {
		return nil, fmt.Errorf("%w: %w", broker.ErrNotDelivered, denial)
	}
	_ = d.link.nc.Publish(cancelPrefix+token(service), []byte(msg.Reply)) // as far as it can be reached
	if losses != d.link.losses.Load() || !d.link.nc.IsConnected() {
		return nil, fmt.Errorf("%w: %w", broker.ErrUnknownOutcome, ctx.Err())
	}
	return nil, ctx.Err()
}

var (
	// errUnanswered: the message was sent, and ctx ended before the answer.
	errUnanswered = errors.New("no answer yet")
	// errBroken: the message was sent, and the link lost before the answer.
	errBroken = errors.New("the link was lost before the answer")
)

// request publishes msg and waits for one answer until ctx ends, or, if it is
// onThisLink, until the link is lost; msg.Reply then tells which request it was.
func (d *Driver) request(ctx context.Context, msg *natsgo.Msg, onThisLink bool) (*natsgo.Msg, error) {
	w := d.replies.expect(onThisLink)
	defer d.replies.forget(w)
	msg.Reply = d.replies.subject(w)
	if err := d.publish(ctx, msg); err != nil {
		return nil, err
	}
	select {
	case got := <-w.answer:
		return got.msg, got.err
	case <-ctx.Done():
		return nil, errUnanswered
	}
}
