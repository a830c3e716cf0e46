package growth

import (
	"context"
	"errors"
	"fmt"
	"path"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/testserver"
)

const (
	leakCallers = 64
	warmCalls   = 25_000 // after which pools, maps and stacks have their size

	// mostMore is by how much what is held may differ after all calls.
	mostMore = 0.20

	// detectors is what the race detector may add: 10 bytes for each call of
	// the normal suite.
	detectors = 500e3
)

// TestCallsLeaveNothing makes calls that succeed, that fail and that their
// caller gives up, from one process to itself over the broker, and looks what
// they leave. ENOKI_LEAK_CALLS sets how many on each broker.
func TestCallsLeaveNothing(t *testing.T) {
	calls := testserver.Count(t, "ENOKI_LEAK_CALLS", 50_000)
	table := "\n| broker | calls | memory in use before and after | of the process | goroutines |\n|---|---|---|---|---|\n"
	everyBroker(t, func(t *testing.T, dial func() broker.Broker) {
		run(t, dial(), leaky())
		var s leakyContract
		if err := enoki.NewClient(dial(), &enoki.Options{Logger: quiet}).Bind("leaky", &s); err != nil {
			t.Fatal(err)
		}
		callMany(t, &s, warmCalls)
		before := settle(held{})
		began := time.Now()
		callMany(t, &s, calls)
		t.Logf("%d calls in %v", calls, time.Since(began).Round(time.Millisecond))
		after := settle(before)
		table += fmt.Sprintf("| %s | %d | %s | %s | %d, %d |\n", path.Base(t.Name()), calls,
			change(before.bytes, after.bytes), change(before.resident, after.resident), before.goroutines, after.goroutines)
		if !after.within(before) {
			t.Errorf("held before the calls: %+v, after them: %+v; want no more goroutines and at most %.0f %% more memory", before, after, 100*mostMore)
		}
	})
	t.Log(table)
}

func change(before, after uint64) string {
	if before == 0 {
		return "–"
	}
	return fmt.Sprintf("%d kB, %d kB (%+.0f %%)", before>>10, after>>10, 100*(float64(after)/float64(before)-1))
}

// within tells whether h is about the same as before.
func (h held) within(before held) bool {
	most := func(n uint64) uint64 {
		if raced() {
			n += detectors
		}
		return n + uint64(float64(n)*mostMore)
	}
	return h.goroutines <= before.goroutines && h.bytes <= most(before.bytes) && h.resident <= most(before.resident)
}

// settle waits until what the calls started has ended, which idle workers do
// after a while, and returns what is held then. It returns at once when about
// the same is held as before.
func settle(before held) held {
	last := hold()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline) && !last.within(before); {
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
