package amqp

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/enoki-go/enoki/broker"
)

// A reply queue that has gone takes the replies with it: nobody may wait for
// them until a deadline.
func TestReplyQueueExpires(t *testing.T) {
	d, s := dial(t, Config{replyExpiry: time.Second}), newSniffer(t)
	service := name("svc")
	started, gate := make(chan string, 10), make(chan struct{})
	join(t, dial(t, Config{}), broker.Service{Instance: broker.Instance{Name: service}, Serve: func(ctx context.Context, method string, req *broker.Message) *broker.Message {
		started <- method
		if method == "slow" {
			<-gate
		}
		return echo(ctx, method, req)
	}})
	defer close(gate)
	errs := make(chan error, 1)
	go func() {
		_, err := d.Call(t.Context(), service, "slow", text("x"))
		errs <- err
	}()
	next(t, "the handler", started)

	queue := d.replies.queue().name
	_, err := s.ch.QueueDelete(queue, false, false, false) // as the broker does after the expiry
	s.must(err)
	if err := next(t, "the pending call to end", errs); !errors.Is(err, broker.ErrUnknownOutcome) {
		t.Errorf("the pending call: got %v, want ErrUnknownOutcome", err)
	}
	if d.replies.queue().name != queue {
		t.Error("the reply queue has another name now")
	}
	if reply, err := d.Call(within(t, patience), service, "fast", text("y")); err != nil || string(reply.Body) != "y" {
		t.Errorf("the next call: got %v and %v, want y", reply, err)
	}
}

// A consumer that is used longer than the expiry must not lose its queue.
func TestReplyQueueInUseDoesNotExpire(t *testing.T) {
	d := dial(t, Config{replyExpiry: 200 * time.Millisecond})
	service := name("svc")
	gate := make(chan struct{})
	join(t, d, broker.Service{Instance: broker.Instance{Name: service}, Serve: func(ctx context.Context, m string, req *broker.Message) *broker.Message {
		<-gate
		return echo(ctx, m, req)
	}})
	time.AfterFunc(time.Second, func() { close(gate) })
	if _, err := d.Call(within(t, patience), service, "m", text("")); err != nil {
		t.Error(err)
	}
}

func TestIdInUseIsRefused(t *testing.T) {
	d := dial(t, Config{})
	service := name("svc")
	started, gate := make(chan struct{}, 2), make(chan struct{})
	join(t, d, broker.Service{Instance: broker.Instance{Name: service}, Serve: func(ctx context.Context, m string, req *broker.Message) *broker.Message {
		started <- struct{}{}
		<-gate
		return echo(ctx, m, req)
	}})
	req := text("x")
	errs := make(chan error, 1)
	go func() {
		_, err := d.Call(within(t, patience), service, "m", req)
		errs <- err
	}()
	next(t, "the handler", started)
	if _, err := d.Call(within(t, patience), service, "m", req); !errors.Is(err, broker.ErrNotDelivered) {
		t.Errorf("a second call with the same id: got %v, want ErrNotDelivered", err)
	}
	close(gate)
	if err := next(t, "the first call", errs); err != nil {
		t.Errorf("the first call: %v", err)
	}
}

// TestReplyQueueGoesWithItsClient: a command that makes one call leaves nothing.
func TestReplyQueueGoesWithItsClient(t *testing.T) {
	s := newSniffer(t)
	d := dial(t, Config{})
	_, _ = d.Call(within(t, patience), name("nobody"), "m", text("1"))
	queue := d.replies.queue().name
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ch.QueueDeclarePassive(queue, true, false, false, false, nil); err == nil {
		t.Errorf("queue %s is still there", queue)
	}
}
