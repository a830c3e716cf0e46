package resilience_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enoki-go/enoki/resilience"
)

var (
	errFlaky = errors.New("flaky")
	ok       = func(context.Context) error { return nil }
	fails    = func(context.Context) error { return errFlaky }
)

func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			fail, attempts, made int
			again                func(error) bool
			want                 error
		}{
			{fail: 0, made: 1},
			{fail: 2, made: 3},
			{fail: 9, made: 3, want: errFlaky},
			{fail: 9, attempts: 1, made: 1, want: errFlaky},
			{fail: 9, made: 1, again: func(error) bool { return false }, want: errFlaky},
		} {
			made := 0
			retry := resilience.Retry(resilience.RetryOptions{Attempts: c.attempts, Again: c.again})
			err := retry(t.Context(), func(context.Context) error {
				if made++; made <= c.fail {
					return errFlaky
				}
				return nil
			})
			if made != c.made || !errors.Is(err, c.want) || (err != nil) != (c.want != nil) {
				t.Errorf("%+v: got %d attempts and error %v", c, made, err)
			}
		}
	})
}

func TestRetryAsksOncePerRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		retry := resilience.Retry(resilience.RetryOptions{Attempts: 4, Again: func(error) bool { asked++; return true }})
		_ = retry(t.Context(), fails)
		if asked != 3 {
			t.Errorf("Again was asked %d times for 3 retries", asked)
		}
	})
}

func TestRetryEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		retry := resilience.Retry(resilience.RetryOptions{First: time.Hour})
		if err := retry(ctx, fails); !errors.Is(err, errFlaky) {
			t.Errorf("got error %v, want that of the attempt", err)
		}
		if took := time.Since(begun); took != time.Second {
			t.Errorf("it took %v, want 1s", took)
		}
	})
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := resilience.Timeout(time.Second)(t.Context(), func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got error %v, want DeadlineExceeded", err)
		}
	})
}

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var states []resilience.State
		b := resilience.NewBreaker(resilience.BreakerOptions{Calls: 4, OnState: func(s resilience.State) { states = append(states, s) }})
		do := func(work func(context.Context) error, want error) {
			t.Helper()
			if err := b.Do(t.Context(), work); !errors.Is(err, want) || (err != nil) != (want != nil) {
				t.Fatalf("got error %v, want %v; breaker is %s", err, want, b.State())
			}
		}
		do(ok, nil)
		for range 3 {
			do(fails, errFlaky)
		}
		do(ok, resilience.ErrOpen)
		time.Sleep(7 * time.Second) // virtual; more than 5 s and a quarter
		do(fails, errFlaky)         // a probe
		time.Sleep(7 * time.Second)
		for range 3 {
			do(ok, nil)
		}
		if s := b.State(); s != resilience.Closed {
			t.Errorf("after 3 good probes the breaker is %s, want closed", s)
		}
		if len(states) < 4 || states[0] != resilience.Open || states[len(states)-1] != resilience.Closed {
			t.Errorf("got the changes %v, want them to begin with open and to end with closed", states)
		}
	})
}

func TestBreakerCountsWhatItIsTold(t *testing.T) {
	b := resilience.NewBreaker(resilience.BreakerOptions{Calls: 2, Failed: func(err error, _ time.Duration) bool { return !errors.Is(err, errFlaky) }})
	for range 10 {
		if err := b.Do(t.Context(), fails); !errors.Is(err, errFlaky) {
			t.Fatalf("got error %v, want that of the work", err)
		}
	}
	b = resilience.NewBreaker(resilience.BreakerOptions{Calls: 2})
	for range 2 {
		func() {
			defer func() { _ = recover() }()
			_ = b.Do(t.Context(), func(context.Context) error { panic("on purpose") })
		}()
	}
	if s := b.State(); s != resilience.Open {
		t.Errorf("after work that panicked the breaker is %s, want open", s)
	}
}

func TestBulkhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := resilience.Bulkhead(1, time.Second)
		release := make(chan struct{})
		go full(t.Context(), func(context.Context) error { <-release; return nil })
		synctest.Wait()
		begun := time.Now()
		if err := full(t.Context(), ok); !errors.Is(err, resilience.ErrFull) || time.Since(begun) != time.Second {
			t.Errorf("got error %v after %v, want ErrFull after 1s", err, time.Since(begun))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := full(ctx, ok); !errors.Is(err, context.Canceled) {
			t.Errorf("with an ended context: got error %v, want Canceled", err)
		}
		close(release)
		synctest.Wait()
		if err := full(t.Context(), ok); err != nil {
			t.Errorf("with a free place: %v", err)
		}
	})
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := resilience.Rate(2, time.Second, 0)
		for i, want := range []error{nil, nil, resilience.ErrLimited} {
			if err := limit(t.Context(), ok); !errors.Is(err, want) || (err != nil) != (want != nil) {
				t.Errorf("work %d: got error %v, want %v", i, err, want)
			}
		}
		time.Sleep(time.Second) // virtual
		if err := limit(t.Context(), ok); err != nil {
			t.Errorf("in the next second: %v", err)
		}
	})
}

// TestRateWaits has work wait for the next periods, as long as it may.
func TestRateWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit, begun := resilience.Rate(2, time.Second, 1500*time.Millisecond), time.Now()
		var at []time.Duration
		var all sync.WaitGroup
		var mu sync.Mutex
		refused := 0
		for range 6 {
			all.Go(func() {
				err := limit(t.Context(), func(context.Context) error {
					mu.Lock()
					defer mu.Unlock()
					at = append(at, time.Since(begun))
					return nil
				})
				if errors.Is(err, resilience.ErrLimited) {
					mu.Lock()
					defer mu.Unlock()
					refused++
				}
			})
		}
		all.Wait()
		if want := []time.Duration{0, 0, time.Second, time.Second}; !slices.Equal(at, want) || refused != 2 {
			t.Errorf("work began at %v and %d were refused, want %v and 2", at, refused, want)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := limit(ctx, ok); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("its context ended while it waited: %v", err)
		}
	})
}

// TestBreakerForgets has failures that lie too long apart to speak against
// anybody.
func TestBreakerForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := resilience.NewBreaker(resilience.BreakerOptions{Calls: 4, Window: 10 * time.Second})
		for range 40 {
			_ = b.Do(t.Context(), fails)
			time.Sleep(4 * time.Second)
		}
		if s := b.State(); s != resilience.Closed {
			t.Errorf("the breaker is %s, want closed", s)
		}
	})
}

// TestBreakerSurvivesGoexit has a probe that ends its goroutine: it counts as
// failed, and its place is free again.
func TestBreakerSurvivesGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := resilience.NewBreaker(resilience.BreakerOptions{Calls: 2, Probes: 1})
		for range 2 {
			_ = b.Do(t.Context(), fails)
		}
		time.Sleep(7 * time.Second)
		go b.Do(t.Context(), func(context.Context) error { runtime.Goexit(); return nil })
		synctest.Wait()
		if s := b.State(); s != resilience.Open {
			t.Errorf("after a probe that ended its goroutine the breaker is %s, want open", s)
		}
		time.Sleep(7 * time.Second)
		if err := b.Do(t.Context(), ok); err != nil || b.State() != resilience.Closed {
			t.Errorf("the next probe: %v, the breaker is %s", err, b.State())
		}
	})
}

func TestBudget(t *testing.T) {
	b := resilience.NewBudget(0.2, 2)
	for i, want := range []bool{true, true, false} {
		if got := b.Retry(); got != want {
			t.Errorf("retry %d is allowed: %v, want %v", i, got, want)
		}
	}
	for range 5 {
		b.Call()
	}
	if !b.Retry() || b.Retry() {
		t.Error("five calls should have paid for one retry and no more")
	}
}

func TestChain(t *testing.T) {
	var order []string
	note := func(name string) resilience.Policy {
		return func(ctx context.Context, do func(context.Context) error) error {
			order = append(order, name)
			return do(ctx)
		}
	}
	if err := resilience.Chain(note("a"), note("b"))(t.Context(), fails); !errors.Is(err, errFlaky) || len(order) != 2 || order[0] != "a" {
		t.Errorf("got error %v in the order %v, want that of the work, a outside b", err, order)
	}
}

func BenchmarkPolicies(b *testing.B) {
	for name, p := range map[string]resilience.Policy{
		"breaker":  resilience.NewBreaker(resilience.BreakerOptions{}).Do,
		"bulkhead": resilience.Bulkhead(100, 0),
		"rate":     resilience.Rate(1<<31, time.Second, 0),
		"retry":    resilience.Retry(resilience.RetryOptions{}),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := p(b.Context(), ok); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
