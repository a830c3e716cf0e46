package brokertest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/enoki-go/enoki/broker"
)

func exitCases() []testCase {
	return []testCase{
		{"call that ends its goroutine", "a handler that ends its goroutine, or panics, is a failure for its caller at once, and its worker serves on", exitedCall},
		{"event that ends its goroutine", "a handler of an event that ends its goroutine, or panics, is settled as Fail says, in every mode, and its worker handles on", exitedEvent},
		{"reply too large", "a reply over the limit is a failure for its caller at once, the handler runs once, and the link lives on", replyTooLarge},
	}
}

// breakOff ends a handler without an outcome, in the way that how names.
func breakOff(how string) {
	if how == "panic" {
		panic("it went off")
	}
	runtime.Goexit()
}

// failing makes the failure of a request a text that begins with "failed:".
func failing(method string, req *broker.Message, err error) *broker.Message {
	return text(fmt.Sprintf("failed:%s:%s:%v", method, req.Body, err))
}

func exitedCall(t *trial) {
	s := service(t.name("svc"))
	s.Workers = 2
	s.Fail = failing
	s.Serve = func(ctx context.Context, method string, req *broker.Message) *broker.Message {
		if method == "break" {
			breakOff(string(req.Body))
		}
		return echo(ctx, method, req)
	}
	t.join(t.dial(), s)
	for how, want := range map[string]error{"exit": broker.ErrExited, "panic": broker.ErrPanic} {
		for range 2 * s.Workers {
			begins := fmt.Sprintf("failed:break:%s:%v", how, want)
			if got := t.call(t.link, s.Name, "break", how); len(got) < len(begins) || got[:len(begins)] != begins {
				t.Fatalf("got reply %q, want one that begins with %q", got, begins)
			}
			direct := text(how)
			direct.Instance = s.ID
			reply, err := t.link.Call(t.ctx, s.Name, "break", direct)
			if err != nil || len(reply.Body) < len(begins) || string(reply.Body[:len(begins)]) != begins {
				t.Fatalf("of a call to one instance: got reply %v and error %v, want one that begins with %q", reply, err, begins)
			}
		}
		if got := t.call(t.link, s.Name, "fine", how); got != "fine:"+how {
			t.Fatalf("got reply %q after it, want %q", got, "fine:"+how)
		}
	}
}

func exitedEvent(t *trial) {
	byBody := func(m *broker.Message) string { return string(m.Body) }
	for _, sub := range []broker.Subscription{
		{Handler: "pool"},
		{Handler: "broadcast", Mode: broker.Broadcast},
		{Handler: "singleton", Mode: broker.Singleton},
		{Handler: "ordered", OrderBy: byBody},
	} {
		sub.Source, sub.Event = t.name("source-"+sub.Handler), "e"
		failed, handled := make(chan error, 100), make(chan string, 100)
		sub.Fail = func(m *broker.Message, err error) broker.Settlement {
			failed <- err
			if m.Attempt == 1 {
				return broker.Settlement{Verdict: broker.Retry}
			}
			return broker.Settlement{}
		}
		sub.Handle = func(_ context.Context, m *broker.Message) broker.Settlement {
			if how := string(m.Body); how == "exit" || how == "panic" {
				breakOff(how)
			}
			handled <- string(m.Body)
			return broker.Settlement{}
		}
		s := service(t.name("svc"))
		s.Workers = 2
		s.Subscriptions = []broker.Subscription{sub}
		m := t.join(t.dial(), s)
		for how, want := range map[string]error{"exit": broker.ErrExited, "panic": broker.ErrPanic} {
			for range 2 * s.Workers {
				if err := t.link.Emit(t.ctx, sub.Source, sub.Event, text(how)); err != nil {
					t.Fatalf("Emit: %v", err)
				}
			}
			for range 2 * 2 * s.Workers { // each of them is tried twice
				if err := wait(t, sub.Handler+": the failure of each attempt", failed); !errors.Is(err, want) {
					t.Fatalf("%s: it failed with %v, want %v", sub.Handler, err, want)
				}
			}
			t.emit(t.link, sub.Source, sub.Event, "fine-"+newID())
			wait(t, sub.Handler+": the event after them", handled)
		}
		t.leave(m)
	}
}

func replyTooLarge(t *trial) {
	if t.fixture.TooLarge == 0 {
		t.Log("not applicable: this driver refuses no reply for its size")
		return
	}
	s := service(t.name("svc"))
	s.Fail = failing
	var ran atomic.Int64
	s.Serve = func(ctx context.Context, method string, req *broker.Message) *broker.Message {
		if method == "large" {
			ran.Add(1)
			return &broker.Message{ID: newID(), Body: make([]byte, t.fixture.TooLarge)}
		}
		return echo(ctx, method, req)
	}
	t.join(t.dial(), s)
	for n := range 3 { // the first one learns what else the service takes
		begins := "failed:large:x:" + broker.ErrTooLarge.Error()
		if got := t.call(t.link, s.Name, "large", "x"); len(got) < len(begins) || got[:len(begins)] != begins {
			t.Fatalf("got reply %.200q, want one that begins with %q", got, begins)
		}
		if got := ran.Load(); got != int64(n)+1 {
			t.Fatalf("the handler ran %d times for %d calls", got, n+1)
		}
		t.call(t.link, s.Name, "small", "the link lives on")
	}
}
