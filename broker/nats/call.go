package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/enoki-go/enoki/broker"
)

// settlePause is the pause between two attempts of a call while instances may
// be reconnecting.
const settlePause = 50 * time.Millisecond

// Call implements broker.Broker. The error is ErrUnknownService if two attempts
// found no instance. The server may have chosen an instance just as it left,
// before it saw that another one had come. For a moment after the link has
// recovered, Call tries longer, because the instances may be reconnecting too.
func (d *Driver) Call(ctx context.Context, service, method string, req *broker.Message) (*broker.Message, error) {
	if err := d.usable(ctx); err != nil {
		return nil, err
	}
	b := d.buffer()
	defer d.free(b)
	msg, err := d.callMessage(service, method, req, b)
	if err != nil {
		return nil, err
	}
	for again := false; ; again = true {
		reply, err := d.call(ctx, service, msg)
		if err != nil {
			return nil, fmt.Errorf("nats: call %s.%s: %w", service, method, err)
		}
		if statusOf(reply) != noResponders {
			if !req.OneWay {
				d.framing(service, isFrame(reply))
			}
			return d.readReply(service, method, req, reply)
		}
		if !again {
			continue
		}
		if !d.link.settling() {
			return nil, fmt.Errorf("nats: call %s.%s: %w", service, method, unknown(req))
		}
		if err := sleep(ctx, settlePause); err != nil {
			return nil, fmt.Errorf("nats: call %s.%s: %w: no instance is back yet: %w", service, method, broker.ErrNotDelivered, err)
		}
	}
}

// callMessage makes the request of a call. It is a frame in b if the service is
// known to take frames. A one-way call has headers, because it may become a
// dead letter.
func (d *Driver) callMessage(service, method string, m *broker.Message, b *[]byte) (*natsgo.Msg, error) {
	subject := requestSubject(service, method, m)
	_, framed := d.framed.Load(service)
	if m.OneWay || !framed {
		msg, err := encode(subject, m)
		if err == nil && !m.OneWay {
			msg.Header[frameHeader] = []string{"1"}
		}
		return msg, err
	}
	var err error
	*b, err = appendFrame(*b, m)
	return &natsgo.Msg{Subject: subject, Data: *b}, err
}

// framing notes whether the instances of service take frames. A service that
// was written for NATS without Enoki gets headers and a plain body.
func (d *Driver) framing(service string, ok bool) {
	if _, known := d.framed.Load(service); known == ok {
		return
	}
	if ok {
		d.framed.Store(service, struct{}{})
	} else {
		d.framed.Delete(service)
	}
}

func unknown(req *broker.Message) error {
	if req.Instance == "" {
		return broker.ErrUnknownService
	}
	return fmt.Errorf("%w: its instance %s is not there", broker.ErrUnknownService, req.Instance)
}

func (d *Driver) readReply(service, method string, req *broker.Message, reply *natsgo.Msg) (m *broker.Message, err error) {
	defer d.guard("a reply", reply.Subject, &err)
	if req.OneWay { // an instance says that it has it
		return nil, nil
	}
	if reason := headerOf(reply, errorHeader); reason != "" {
		return nil, fmt.Errorf("nats: call %s.%s was handled, but its reply was lost: %s: %w", service, method, reason, broker.ErrUnknownOutcome)
	}
	return decodeCall(reply, d.log), nil
}

// call sends a request once and waits for the reply. If ctx ends first, it
// tells the service.
func (d *Driver) call(ctx context.Context, service string, msg *natsgo.Msg) (*natsgo.Msg, error) {
	losses := d.link.losses.Load()
	reply, err := d.request(ctx, msg, false)
	if !errors.Is(err, errUnanswered) {
		return reply, err
	}
	d.framing(service, false)                                             // others may have taken its place
	_ = d.link.nc.Publish(cancelPrefix+token(service), []byte(msg.Reply)) // as far as the service can be reached
	if losses != d.link.losses.Load() || !d.link.nc.IsConnected() {
		return nil, fmt.Errorf("%w: %w", broker.ErrUnknownOutcome, ctx.Err())
	}
	return nil, ctx.Err()
}

var (
	// errUnanswered: the message was sent, and ctx ended before the reply came.
	errUnanswered = errors.New("no answer yet")
	// errBroken: the message was sent, and the link was lost before the reply came.
	errBroken = errors.New("the link was lost before the answer")
)

// request publishes msg and waits for one reply until ctx ends. msg.Reply then
// identifies the request. If once is true, it waits for at most apiTimeout, and
// not beyond a loss of the link.
func (d *Driver) request(ctx context.Context, msg *natsgo.Msg, once bool) (*natsgo.Msg, error) {
	w := d.replies.expect(msg.Subject, once)
	defer d.replies.forget(w)
	msg.Reply = d.replies.subject(w)
	if err := d.publish(ctx, msg); err != nil {
		return nil, err
	}
	select {
	case got := <-w.answer:
		return got.msg, got.err
	case <-w.late():
		return nil, errUnanswered
	case <-ctx.Done():
		return nil, errUnanswered
	}
}
