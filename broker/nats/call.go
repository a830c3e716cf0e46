package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
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
	msg, err := encode(callSubject(service, method), req)
	if err != nil {
		return nil, err
	}
	for {
		reply, err := d.call(ctx, service, msg)
		if err != nil {
			return nil, fmt.Errorf("nats: call %s.%s: %w", service, method, err)
		}
		if statusOf(reply) != noResponders {
			return d.readReply(service, method, reply)
		}
		if !d.link.settling() {
			return nil, fmt.Errorf("nats: call %s.%s: %w", service, method, broker.ErrUnknownService)
		}
		if err := sleep(ctx, settlePause); err != nil {
			return nil, fmt.Errorf("nats: call %s.%s: %w: no instance is back yet: %w", service, method, broker.ErrNotDelivered, err)
		}
	}
}

func (d *Driver) readReply(service, method string, reply *natsgo.Msg) (*broker.Message, error) {
	if reason := headerOf(reply, errorHeader); reason != "" {
		return nil, fmt.Errorf("nats: call %s.%s was handled, but its reply was lost: %s: %w", service, method, reason, broker.ErrUnknownOutcome)
	}
	return decode(reply, d.log), nil
}

// call sends a request once and waits for what comes back; it tells the
// service when ctx ends first.
func (d *Driver) call(ctx context.Context, service string, msg *natsgo.Msg) (*natsgo.Msg, error) {
	losses := d.link.losses.Load()
	reply, err := d.request(ctx, msg, nil)
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

// request publishes msg and waits for one answer, until ctx ends or broken is
// closed; msg.Reply then tells which request it was.
func (d *Driver) request(ctx context.Context, msg *natsgo.Msg, broken <-chan struct{}) (*natsgo.Msg, error) {
	reply, answer := d.replies.expect()
	defer d.replies.forget(reply)
	msg.Reply = reply
	if err := d.publish(ctx, msg); err != nil {
		return nil, err
	}
	select {
	case got := <-answer:
		return got, nil
	case <-d.closed:
		return nil, errClosed
	case <-broken:
		return nil, errBroken
	case <-ctx.Done():
		return nil, errUnanswered
	}
}

// replies hands each reply to the call that waits for it. One subscription
// serves all calls of a link.
type replies struct {
	prefix string

	mu      sync.Mutex // guards what follows
	last    uint64
	waiting map[string]chan *natsgo.Msg
}

func newReplies(nc *natsgo.Conn) (*replies, error) {
	r := &replies{prefix: nc.NewInbox() + ".", waiting: make(map[string]chan *natsgo.Msg)}
	sub, err := nc.Subscribe(r.prefix+"*", r.deliver)
	if err != nil {
		return nil, err
	}
	// There are no more replies than calls that wait, and handing one over
	// takes no time: a limit could only lose some.
	return r, sub.SetPendingLimits(-1, -1)
}

// expect returns a new reply subject and where its reply will come.
func (r *replies) expect() (string, <-chan *natsgo.Msg) {
	answer := make(chan *natsgo.Msg, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	key := strconv.FormatUint(r.last, 36)
	r.waiting[key] = answer
	return r.prefix + key, answer
}

func (r *replies) forget(reply string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiting, strings.TrimPrefix(reply, r.prefix))
}

// deliver drops a reply that nobody waits for any more, and any but the first.
func (r *replies) deliver(msg *natsgo.Msg) {
	r.mu.Lock()
	answer := r.waiting[strings.TrimPrefix(msg.Subject, r.prefix)]
	r.mu.Unlock()
	select {
	case answer <- msg: // never when answer is nil
	default:
	}
}
