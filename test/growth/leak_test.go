package growth

import (
	"context"
	"errors"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
)

const (
	leakCallers = 64
	warmCalls   = 5_000 // after which pools, maps and stacks have their size

	// mostMore is by how much the memory in use may differ after all calls:
	// a fifth, or half a megabyte where a fifth is less than the runtime's own
	// ups and downs.
	mostMore  = 0.20
	mostBytes = 512 << 10
)

// TestCallsLeaveNothing makes calls that succeed, that fail and that their
// caller gives up, from one process to itself over the broker, and looks what
// they leave. ENOKI_LEAK_CALLS sets how many on each broker.
func TestCallsLeaveNothing(t *testing.T) {
	calls := 50_000
	if text := os.Getenv("ENOKI_LEAK_CALLS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("ENOKI_LEAK_CALLS is %q; want a number of calls", text)
		}
		calls = n
	}
	everyBroker(t, func(t *testing.T, dial func() broker.Broker) {
		run(t, dial(), leaky())
		var s leakyContract
		if err := enoki.Bind(enoki.NewClient(dial(), &enoki.Options{Logger: quiet}), "leaky", &s); err != nil {
			t.Fatal(err)
		}
		callMany(t, &s, warmCalls)
		before := settle(held{})
		began := time.Now()
		callMany(t, &s, calls)
		took := time.Since(began)
		after := settle(before)
		t.Logf("%d calls in %v: before %d kB and %d goroutines, after %d kB and %d",
			calls, took.Round(time.Millisecond), before.bytes>>10, before.goroutines, after.bytes>>10, after.goroutines)
		if after.goroutines > before.goroutines {
			t.Errorf("%d goroutines before the calls, %d after them", before.goroutines, after.goroutines)
		}
		if most := before.most(); after.bytes > most {
			t.Errorf("%d bytes in use before the calls, %d after them, more than %d", before.bytes, after.bytes, most)
		}
	})
}

func (h held) most() uint64 { return h.bytes + max(uint64(float64(h.bytes)*mostMore), mostBytes) }

// settle waits until what the calls started has ended, which idle workers do
// after a while, and returns what is held then. It returns at once when no
// more is held than before.
func settle(before held) held {
	last := hold()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if last.goroutines <= before.goroutines && last.bytes <= before.most() {
			return last
		}
		time.Sleep(settleStep)
		now := hold()
		if before.goroutines == 0 && now.goroutines == last.goroutines {
			return now
		}
		last = now
	}
	return last
}

// settleStep is longer than an idle worker waits for its next call.
const settleStep = 3 * time.Second

// leakyContract has a way to each outcome.
type leakyContract struct {
	Echo func(ctx context.Context, text string) (string, error) `rpc:"echo" args:"text"`
	Fail func(ctx context.Context) error                        `rpc:"fail"`
	Wait func(ctx context.Context) error                        `rpc:"wait"`
}

func leaky() *enoki.Service {
	return enoki.NewService("leaky", enoki.RPC(leakyContract{
		Echo: func(_ context.Context, text string) (string, error) { return text, nil },
		Fail: func(context.Context) error { return enoki.Errorf(enoki.NotFound, "nothing here") },
		Wait: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	}))
}

// callMany makes n calls: one of 16 fails, one of 512 is given up.
func callMany(t *testing.T, s *leakyContract, n int) {
	t.Helper()
	var begun atomic.Int64
	var group sync.WaitGroup
	for range leakCallers {
		group.Go(func() {
			for i := begun.Add(1); i <= int64(n) && !t.Failed(); i = begun.Add(1) {
				if err := callOnce(s, i); err != nil {
					t.Errorf("call %d: %v", i, err)
				}
			}
		})
	}
	group.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

func callOnce(s *leakyContract, i int64) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	switch {
	case i%512 == 0:
		ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		if err := s.Wait(ctx); err == nil {
			return errors.New("a call that waits for ever has succeeded")
		}
		return nil
	case i%16 == 0:
		if err := s.Fail(ctx); enoki.CodeOf(err) != enoki.NotFound {
			return errors.Join(errors.New("a call that fails did not"), err)
		}
		return nil
	}
	got, err := s.Echo(ctx, "text")
	if err == nil && got != "text" {
		err = errors.New("got " + got)
	}
	return err
}
