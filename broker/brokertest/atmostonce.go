package brokertest

import (
	"context"
	"errors"
	"testing"

	"github.com/enoki-go/enoki/broker"
)

// atMostOnceCases are those of all calls once more, and what is theirs alone.
func atMostOnceCases() []testCase {
	cases := []testCase{
		{"of a service that does not expect it", "a call at most once to a service that joined without AtMostOnce is served", notExpected},
		{"when the last instance leaves", "a service that leaves answers the calls at most once that it has begun, and hands back the others", lastInstanceLeaves},
	}
	for _, c := range callCases() {
		run := c.run
		cases = append(cases, testCase{c.name, c.promise, func(t *trial) {
			dial := t.fixture.Dial
			t.fixture.Dial = func(tb testing.TB) broker.Broker { return atMostOnce{dial(tb)} }
			t.link = atMostOnce{t.link}
			run(t)
		}})
	}
	return cases
}

// atMostOnce is a link with all calls at most once.
type atMostOnce struct{ broker.Broker }

func (b atMostOnce) Call(ctx context.Context, service, method string, req *broker.Message) (*broker.Message, error) {
	req.AtMostOnce = true
	return b.Broker.Call(ctx, service, method, req)
}

func (b atMostOnce) Join(ctx context.Context, s broker.Service) (broker.Member, error) {
	s.AtMostOnce = true
	return b.Broker.Join(ctx, s)
}

func notExpected(t *trial) {
	name := t.name("svc")
	t.serve(t.dial(), name, echo)
	if got := t.call(atMostOnce{t.link}, name, "m", "x"); got != "m:x" {
		t.Errorf("got reply %q, want %q", got, "m:x")
	}
}

func lastInstanceLeaves(t *trial) {
	s := newStuck(t)
	bound := service(t.name("svc"))
	bound.Workers, bound.Serve = 1, s.serve
	m := t.join(atMostOnce{t.dial()}, bound)
	begun := t.calling(t.ctx, atMostOnce{t.link}, bound.Name, "m", "begun")
	wait(t, "the handler", s.started)
	waits := t.calling(t.ctx, atMostOnce{t.link}, bound.Name, "m", "waits")
	t.meanwhile() // it arrives where it has to wait
	left := t.leaving(t.ctx, m)
	t.meanwhile() // it begins to leave
	s.free()
	t.wantReply("the call that was begun", wait(t, "its reply", begun), "late:begun")
	if err := wait(t, "Leave", left); err != nil {
		t.Errorf("Leave: %v", err)
	}
	t.serve(t.dial(), bound.Name, func(context.Context, string, *broker.Message) *broker.Message { return text("other") })
	got := wait(t, "the call that waited", waits)
	if t.fixture.CallsWait && got.err != nil {
		t.Errorf("the call that waited: %v, want a reply", got.err)
	}
	if got.err != nil && !errors.Is(got.err, broker.ErrNotDelivered) && !errors.Is(got.err, broker.ErrUnknownService) {
		t.Errorf("the call that waited: got %v, want a reply or to hear that it was not delivered", got.err)
	}
}

// lostCall is a fault case.
func lostCall(t *trial) {
	s := newStuck(t)
	bound := service(t.name("svc"))
	bound.Serve = func(ctx context.Context, method string, req *broker.Message) *broker.Message {
		if method == "slow" {
			return s.serve(ctx, method, req)
		}
		return echo(ctx, method, req)
	}
	served, caller := atMostOnce{t.dial()}, atMostOnce{t.link}
	m := t.join(served, bound)
	t.call(caller, bound.Name, "fast", "before")
	ctx, cancel := context.WithTimeout(t.ctx, recovery/6)
	defer cancel()
	pending := t.calling(ctx, caller, bound.Name, "slow", "x")
	wait(t, "the handler", s.started)
	t.kill()
	t.untilDown(t.link, served, m)
	s.free()
	t.start()
	if got := wait(t, "the call that was cut off", pending); got.err != nil {
		t.wantError("the call that was cut off", got.err, broker.ErrUnknownOutcome, context.DeadlineExceeded)
	}
	t.untilReady(t.link, served, m)
	if got := t.call(caller, bound.Name, "fast", "after"); got != "fast:after" {
		t.Errorf("after it: got reply %q, want %q", got, "fast:after")
	}
}
