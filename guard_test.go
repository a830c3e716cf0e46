package enoki_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/resilience"
)

type fragile struct {
	Safe func(ctx context.Context) error `rpc:"safe" idempotent:"true"`
	Once func(ctx context.Context) error `rpc:"once"`
}

// flaky is a broker whose calls fail by a plan.
type flaky struct {
	broker.Broker
	fail  func() error
	calls atomic.Int64
}

func (f *flaky) Call(ctx context.Context, service, method string, m *broker.Message) (*broker.Message, error) {
	f.calls.Add(1)
	if err := f.fail(); err != nil {
		return nil, err
	}
	return &broker.Message{Body: []byte(`{"result":null,"error":null}`)}, nil
}

func TestRetriedWhereSafe(t *testing.T) {
	for _, c := range []struct {
		err        error
		idempotent bool
		off        bool
		calls      int64
	}{
		{err: broker.ErrNotDelivered, calls: 3},
		{err: broker.ErrNotDelivered, idempotent: true, calls: 3},
		{err: broker.ErrNotDelivered, off: true, calls: 1},
		{err: broker.ErrUnknownOutcome, calls: 1},
		{err: broker.ErrUnknownOutcome, idempotent: true, calls: 3},
		{err: broker.ErrUnknownService, idempotent: true, calls: 1},
		{err: enoki.Errorf(enoki.Unavailable, "down"), idempotent: true, calls: 3},
		{err: enoki.Errorf(enoki.NotFound, "none"), idempotent: true, calls: 1},
		{err: nil, idempotent: true, calls: 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := &flaky{fail: func() error { return c.err }}
			var told int64
			client := enoki.NewClient(b, &enoki.Options{Logger: quiet, Retries: new(!c.off), OnRetry: func(string, string) { told++ }})
			var f fragile
			if err := client.Bind("svc", &f); err != nil {
				t.Fatal(err)
			}
			call := f.Once
			if c.idempotent {
				call = f.Safe
			}
			if err := call(t.Context()); enoki.CodeOf(err) != enoki.CodeOf(c.err) {
				t.Errorf("%+v: got error %v", c, err)
			}
			if n := b.calls.Load(); n != c.calls || told != c.calls-1 {
				t.Errorf("%+v: the broker was called %d times, and OnRetry %d times", c, n, told)
			}
		})
	}
}

// TestRetriesDoNotMultiply has three services in a row, each of which may try
// three times, and the last one always fail.
func TestRetriesDoNotMultiply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := memory.New()
		var runs atomic.Int64
		last := fragile{
			Safe: func(context.Context) error { runs.Add(1); return enoki.Errorf(enoki.Unavailable, "down") },
			Once: func(context.Context) error { return nil },
		}
		stop := []func() error{running(t, hub.Link(), nil, enoki.NewService("third", enoki.RPC(last)))}
		for service, next := range map[string]string{"first": "second", "second": "third"} {
			var further fragile
			stop = append(stop, running(t, hub.Link(), nil, enoki.NewService(service, enoki.Needs(next, &further), enoki.RPC(fragile{
				Safe: func(ctx context.Context) error { return further.Safe(ctx) },
				Once: func(ctx context.Context) error {
					if data := enoki.ContextData(ctx); len(data) > 0 {
						return fmt.Errorf("context data %v", data)
					}
					return nil
				},
			}))))
		}
		var f fragile
		if err := enoki.NewClient(hub, nil).Bind("first", &f); err != nil {
			t.Fatal(err)
		}
		if err := f.Safe(t.Context()); !errors.Is(err, enoki.Unavailable) {
			t.Errorf("got error %v, want Unavailable", err)
		}
		if n := runs.Load(); n < 3 || n > 7 {
			t.Errorf("the last service was tried %d times, want 3 to 7 and not 27", n)
		}
		if err := f.Once(t.Context()); err != nil {
			t.Errorf("the budget shows among the user's context data: %v", err)
		}
		for _, s := range stop {
			s()
		}
	})
}

func TestRetriesAreAShareOfCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &flaky{fail: func() error { return broker.ErrNotDelivered }}
		var f fragile
		if err := enoki.NewClient(b, &enoki.Options{Logger: quiet}).Bind("svc", &f); err != nil {
			t.Fatal(err)
		}
		const calls = 100
		for range calls {
			_ = f.Once(t.Context())
		}
		if retries := b.calls.Load() - calls; retries > calls/5+10 {
			t.Errorf("%d calls were retried %d times, want a fifth of them and 10 at most", calls, retries)
		}
	})
}

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failure := error(enoki.Errorf(enoki.Unavailable, "down"))
		b := &flaky{fail: func() error { return failure }}
		states := make(chan resilience.State, 10)
		var f fragile
		client := enoki.NewClient(b, &enoki.Options{Logger: quiet, OnBreaker: func(service, method string, s resilience.State) {
			if service != "svc" || method != "once" {
				t.Errorf("told of %s.%s", service, method)
			}
			states <- s
		}})
		if err := client.Bind("svc", &f); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			_ = f.Once(t.Context())
		}
		if n := b.calls.Load(); n != 20 {
			t.Errorf("%d calls were sent, want 20 until the breaker opens", n)
		}
		if err := f.Once(t.Context()); !errors.Is(err, resilience.ErrOpen) || !errors.Is(err, enoki.Unavailable) {
			t.Errorf("got error %v, want one of the open breaker, Unavailable", err)
		}
		failure = nil
		time.Sleep(7 * time.Second) // virtual
		for range 4 {
			if err := f.Once(t.Context()); err != nil {
				t.Errorf("after the pause: %v", err)
			}
		}
		if got := fmt.Sprintf("%s %s %s", <-states, <-states, <-states); got != "open half-open closed" {
			t.Errorf("got the states %s, want open, half-open, closed", got)
		}
	})
}

// TestBreakerStaysClosed shows what does not open it: a caller's mistakes and
// impatience.
func TestBreakerStaysClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			err error
			off bool
		}{
			{err: enoki.Errorf(enoki.InvalidArgument, "wrong")},
			{err: enoki.Errorf(enoki.NotFound, "none")},
			{err: broker.ErrUnknownService},
			{err: context.Canceled},
			{err: context.DeadlineExceeded}, // at once: the caller's was nearly over
			{err: enoki.Errorf(enoki.Unavailable, "down"), off: true},
		} {
			b := &flaky{fail: func() error { return c.err }}
			var f fragile
			if err := enoki.NewClient(b, &enoki.Options{Logger: quiet, Breakers: new(!c.off)}).Bind("svc", &f); err != nil {
				t.Fatal(err)
			}
			for range 50 {
				if err := f.Once(t.Context()); errors.Is(err, resilience.ErrOpen) {
					t.Fatalf("%v opened the breaker (switched off: %v)", c.err, c.off)
				}
			}
		}
	})
}

func TestGuarded(t *testing.T) {
	refuse := func(context.Context, func(context.Context) error) error { return resilience.ErrFull }
	seen := map[string]bool{}
	each := enoki.GuardedEach(func(service, method string) resilience.Policy {
		seen[service+"."+method] = true
		return refuse
	})
	b := newBroker(t)
	running(t, b, nil, enoki.NewService("svc", enoki.Use(each), enoki.Method("one", func(context.Context) error { return nil })))
	for range 2 {
		_, err := enoki.NewClient(b, nil).Call(t.Context(), "svc", "one", nil, nil)
		if !errors.Is(err, enoki.ResourceExhausted) {
			t.Errorf("got error %v, want ResourceExhausted", err)
		}
	}
	if len(seen) != 1 || !seen["svc.one"] {
		t.Errorf("policies were made for %v, want svc.one once", seen)
	}
}
