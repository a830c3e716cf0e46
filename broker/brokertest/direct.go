package brokertest

import (
	"context"
	"fmt"
	"time"

	"github.com/enoki-go/enoki/broker"
)

// directCases are about calls to one certain instance, and about those that
// nobody waits for.
func directCases() []testCase {
	return []testCase{
		{"call to one instance", "a call that names an instance goes to that one", callToInstance},
		{"instance is not there", "a call to an instance that is not there is ErrUnknownService at once, though others of its service are", instanceGone},
		{"cancelled call to one instance", "when the caller gives up, the context of the handler is cancelled", cancelledDirect},
		{"drain", "an instance that leaves serves calls to itself, and no others, until Drain returns", drain},
		{"drain cut short", "the context of Drain ends when the member has to leave at once", drainCutShort},
		{"one-way call", "a one-way call returns nil before its handler does, which is not cancelled then", oneWay},
		{"one-way call to nobody", "a one-way call to a service never heard of is ErrUnknownService", oneWayToNobody},
	}
}

// whoami joins an instance of name that answers with its id.
func (t *trial) whoami(name string) (id string, m broker.Member) {
	s := service(name)
	s.Serve = func(context.Context, string, *broker.Message) *broker.Message { return text(s.ID) }
	return s.ID, t.join(t.dial(), s)
}

// direct returns a request to one instance.
func direct(id, body string) *broker.Message {
	m := text(body)
	m.Instance = id
	return m
}

func callToInstance(t *trial) {
	name := t.name("svc.with.dots")
	got := make(chan *broker.Message, 1)
	s := service(name)
	s.Serve = func(_ context.Context, method string, req *broker.Message) *broker.Message {
		got <- req
		return text(method)
	}
	t.whoami(name)
	t.join(t.dial(), s)
	t.whoami(name)
	for i := range 10 {
		req := direct(s.ID, fmt.Sprint(i))
		req.Context = map[string]any{"k": "v"}
		reply, err := t.link.Call(t.ctx, name, "enoki_m", req)
		if err != nil || string(reply.Body) != "enoki_m" {
			t.Fatalf("call %d: got reply %v and error %v, want the method's name from instance %s", i, reply, err, s.ID)
		}
		arrived := wait(t, "the request", got)
		t.wantContent("request", arrived, req)
		t.wantContext(arrived.Context, req.Context)
		if arrived.Instance != s.ID {
			t.Errorf("the request arrived for instance %q, want %q", arrived.Instance, s.ID)
		}
	}
	seen := map[string]bool{}
	t.until("the others take calls to the service", func() error {
		reply, err := t.link.Call(t.ctx, name, "m", direct("", ""))
		if err != nil {
			t.Fatalf("Call: %v", err)
		}
		select {
		case req := <-got:
			if req.Instance != "" {
				t.Errorf("a request to any instance arrived for instance %q", req.Instance)
			}
		default:
		}
		seen[string(reply.Body)] = true
		if len(seen) < 3 {
			return fmt.Errorf("only %v have served", seen)
		}
		return nil
	})
}

func instanceGone(t *trial) {
	name := t.name("svc")
	t.whoami(name)
	id, m := t.whoami(name)
	gone := func(what, id string) {
		t.Helper()
		start := time.Now()
		_, err := t.link.Call(t.ctx, name, "m", direct(id, ""))
		t.wantError(what, err, broker.ErrUnknownService)
		if d := time.Since(start); d > patience/6 {
			t.Errorf("%s: it took %v to say so, want at once", what, d)
		}
	}
	gone("Call to an instance never heard of", newID())
	t.leave(m)
	gone("Call to an instance that has left", id)
	t.call(t.link, name, "m", "the other one serves")
}

func cancelledDirect(t *trial) {
	stuck := newStuck(t)
	s := service(t.name("svc"))
	s.Serve = stuck.serve
	t.join(t.dial(), s)
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	ended := make(chan error, 1)
	t.others.Go(func() {
		_, err := t.link.Call(ctx, s.Name, "m", direct(s.ID, "x"))
		ended <- err
	})
	wait(t, "the handler", stuck.started)
	cancel()
	t.wantError("cancelled Call", wait(t, "the call to end", ended), context.Canceled)
	wait(t, "the context of the handler to end", stuck.cancelled)
}

func drain(t *trial) {
	name := t.name("svc")
	other, _ := t.whoami(name)
	running := newStuck(t)
	draining, release := make(chan struct{}), make(chan struct{})
	s := service(name)
	s.Serve = func(ctx context.Context, method string, req *broker.Message) *broker.Message {
		if method == "slow" {
			return running.serve(ctx, method, req)
		}
		return text(s.ID)
	}
	s.Drain = func(ctx context.Context) {
		close(draining)
		select {
		case <-release:
		case <-ctx.Done():
		}
	}
	m := t.join(t.dial(), s)
	var slow <-chan outcome
	t.until("the instance has a call", func() error {
		slow = t.calling(t.ctx, t.link, name, "slow", "x")
		select {
		case <-running.started:
			return nil
		case got := <-slow:
			return fmt.Errorf("the other instance has it: %v", got)
		}
	})
	left := t.leaving(t.ctx, m)
	t.until("calls go to the other instance only", func() error {
		for range 10 {
			if got := t.call(t.link, name, "m", ""); got != other {
				return fmt.Errorf("%q has served, want %q", got, other)
			}
		}
		return nil
	})
	select {
	case <-draining:
		t.Fatal("Drain was called while a handler was running")
	default:
	}
	running.free()
	t.wantReply("the call that was running", wait(t, "it to end", slow), "late:x")
	wait(t, "Drain", draining)
	for range 3 {
		reply, err := t.link.Call(t.ctx, name, "m", direct(s.ID, ""))
		if err != nil || string(reply.Body) != s.ID {
			t.Fatalf("Call to the instance that drains: got %v and error %v, want a reply", reply, err)
		}
	}
	select {
	case err := <-left:
		t.Fatalf("Leave returned %v before Drain did", err)
	default:
	}
	close(release)
	if err := wait(t, "Leave", left); err != nil {
		t.Errorf("Leave: %v", err)
	}
	_, err := t.link.Call(t.ctx, name, "m", direct(s.ID, ""))
	t.wantError("Call to the instance that has left", err, broker.ErrUnknownService)
}

func drainCutShort(t *trial) {
	draining, told := make(chan struct{}), make(chan struct{})
	s := service(t.name("svc"))
	s.Serve = echo
	s.Drain = func(ctx context.Context) {
		close(draining)
		<-ctx.Done()
		close(told)
	}
	m := t.join(t.dial(), s)
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	left := t.leaving(ctx, m)
	wait(t, "Drain", draining)
	cancel()
	t.wantError("Leave", wait(t, "Leave", left), context.Canceled)
	wait(t, "the context of Drain to end", told)
}

func oneWay(t *trial) {
	stuck := newStuck(t)
	flags := make(chan bool, 1)
	s := service(t.name("svc"))
	s.Serve = func(ctx context.Context, method string, req *broker.Message) *broker.Message {
		flags <- req.OneWay
		return stuck.serve(ctx, method, req)
	}
	t.join(t.dial(), s)
	for _, id := range []string{"", s.ID} {
		req := direct(id, "x")
		req.OneWay = true
		ctx, cancel := context.WithCancel(t.ctx)
		if reply, err := t.link.Call(ctx, s.Name, "m", req); reply != nil || err != nil {
			t.Fatalf("one-way Call: got %v and error %v, want nil and nil", reply, err)
		}
		cancel()
		wait(t, "the handler", stuck.started)
		if !wait(t, "the request", flags) {
			t.Error("the request did not arrive as a one-way one")
		}
	}
	t.meanwhile()
	if len(stuck.cancelled) > 0 {
		t.Error("the handler of a one-way call was cancelled")
	}
}

func oneWayToNobody(t *trial) {
	req := text("x")
	req.OneWay = true
	_, err := t.link.Call(t.ctx, t.name("nobody"), "m", req)
	t.wantError("one-way Call to nobody", err, broker.ErrUnknownService)
}

func deadCall(t *trial) {
	bodies := make(chan string, 2)
	s := service(t.name("svc"))
	s.Serve = func(_ context.Context, _ string, req *broker.Message) *broker.Message {
		body := string(req.Body)
		bodies <- body
		if body == "good" {
			return text("unread")
		}
		return &broker.Message{Reject: "it failed", RejectKind: "unknown"}
	}
	t.join(t.dial(), s)
	req := text("bad")
	req.OneWay = true
	if _, err := t.link.Call(t.ctx, s.Name, "m", req); err != nil {
		t.Fatalf("one-way Call: %v", err)
	}
	wait(t, "the call", bodies)
	t.untilDead(1)
	t.each(t.link, broker.DeadLetterFilter{Service: s.Name}, func(l *broker.HeldLetter) {
		if l.Handler != "m" || l.Reason != "it failed" || l.Kind != "unknown" || string(l.Message.Body) != "bad" {
			t.Errorf("got the dead letter %+v of %q, want one of m with reason, kind and payload", l.DeadLetter, l.Message.Body)
		}
		l.Message.Body = []byte("good")
		if err := l.Retry(t.ctx); err != nil {
			t.Errorf("Retry: %v", err)
		}
	})
	if body := wait(t, "the retried call", bodies); body != "good" {
		t.Errorf("the retried call has the body %q, want %q", body, "good")
	}
}
