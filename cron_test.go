package enoki_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/entrypoint"
)

// runs records when a cron ran, and where. Of several instances each has a
// service of its own, which all write here.
type runs struct {
	mu    sync.Mutex
	times []string
}

func (r *runs) add(where string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.times = append(r.times, time.Now().UTC().Format("15:04:05")+" "+where)
}

// take returns what ran since it was called last.
func (r *runs) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	times := r.times
	r.times = nil
	return times
}

func (r *runs) want(t *testing.T, what string, want ...string) {
	t.Helper()
	if got := r.take(); !slices.Equal(got, want) {
		t.Errorf("%s: got runs %q, want %q", what, got, want)
	}
}

// books runs a service with one cron on b. stop ends it and waits.
func books(t *testing.T, b broker.Broker, cron enoki.Part) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- enoki.Run(ctx, b, &enoki.Options{Logger: slog.New(slog.DiscardHandler)}, enoki.NewService("books", cron))
	}()
	synctest.Wait()
	return func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// The clock of a synctest bubble begins at midnight UTC, 1 January 2000.

func TestCronRunsOnceForAllInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New()
		var r runs
		instance := func(name string) enoki.Part {
			return enoki.Cron("*/20 * * * *", func(context.Context) error { r.add(name); return nil }, enoki.TimerName("close"))
		}
		stopFirst := books(t, b, instance("first"))
		stopSecond := books(t, b.Link(), instance("second"))
		time.Sleep(61 * time.Minute)
		r.want(t, "with two instances", "00:20:00 first", "00:40:00 first", "01:00:00 first")

		stopFirst()
		time.Sleep(20 * time.Minute) // 01:21
		r.want(t, "after the first one left", "01:20:00 second")

		stopSecond()
		time.Sleep(2 * time.Hour) // 03:21
		defer books(t, b, instance("third"))()
		synctest.Wait()
		r.want(t, "after 6 were missed", "03:21:00 third")
		time.Sleep(time.Hour)
		r.want(t, "from then on", "03:40:00 third", "04:00:00 third", "04:20:00 third")
	})
}

func TestCronGoesOnWhenItsHolderIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New()
		var r runs
		instance := func(name string) enoki.Part {
			return enoki.Cron("@hourly", func(context.Context) error { r.add(name); return nil }, enoki.TimerName("close"))
		}
		link := b.Link()
		stop := books(t, link, instance("first"))
		defer books(t, b.Link(), instance("second"))()
		time.Sleep(59 * time.Minute)
		if err := link.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		r.want(t, "after the link of the holder was closed", "01:00:00 second")
		stop()
	})
}

func TestCronThatFailsPanicsOrTakesLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r runs
		n := 0
		cron := enoki.Cron("* * * * *", func(context.Context) error {
			r.add("here")
			switch n++; n {
			case 1:
				return errors.New("no")
			case 2:
				panic("no")
			case 3:
				time.Sleep(150 * time.Second)
			}
			return nil
		}, enoki.TimerName("close"))
		stop := books(t, memory.New(), cron)
		time.Sleep(7*time.Minute + time.Second)
		// The third runs until 00:05:30; what was due meanwhile is made up for once.
		r.want(t, "all in all", "00:01:00 here", "00:02:00 here", "00:03:00 here", "00:05:30 here", "00:06:00 here", "00:07:00 here")
		stop()
	})
}

func TestCronIsAHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New()
		var calls []string
		ctx, cancel := context.WithCancel(t.Context())
		started, finish, ended := make(chan string, 1), make(chan bool), make(chan error, 1)
		s := enoki.NewService("books",
			enoki.Use(func(next enoki.Handler) enoki.Handler {
				return func(ctx context.Context, c *enoki.Call) error {
					err := next(ctx, c)
					calls = append(calls, string(c.Kind)+" "+c.Method)
					return err
				}
			}),
			enoki.Cron("@daily", func(ctx context.Context) error {
				started <- enoki.CallID(ctx)
				<-finish
				return ctx.Err()
			}, enoki.TimerName("close")))
		go func() { ended <- enoki.Run(ctx, b, nil, s) }()
		if id := <-started; !strings.HasPrefix(id, "books.close.") {
			t.Errorf("got call id %q, want one of books.close", id)
		}
		cancel()
		synctest.Wait()
		select {
		case <-ended:
			t.Error("Run ended before the cron that was running")
		default:
		}
		close(finish)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if want := []string{string(entrypoint.Timer) + " close"}; !slices.Equal(calls, want) {
			t.Errorf("middleware saw %q, want %q", calls, want)
		}
	})
}

// lockState changes what the cron of service books keeps.
func lockState(t *testing.T, b broker.Broker, state string) {
	t.Helper()
	l, err := b.Lock(t.Context(), "cron.books.close")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	if err := l.Save(t.Context(), []byte(state)); err != nil {
		t.Fatal(err)
	}
}

func TestCronWithClocksThatDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New()
		var r runs
		cron := enoki.Cron("@hourly", func(context.Context) error { r.add("here"); return nil }, enoki.TimerName("close"))
		lockState(t, b, "2000-01-01T02:00:00.5Z") // by one whose clock is ahead
		stop := books(t, b, cron)
		time.Sleep(3*time.Hour + time.Minute)
		r.want(t, "what was run by a clock that is ahead is not run again", "03:00:00 here")
		stop()

		lockState(t, b, "2010-01-01T00:00:00Z")
		defer books(t, b, cron)()
		time.Sleep(time.Hour)
		r.want(t, "a clock that was years ahead stops nothing", "04:00:00 here")
	})
}

// unsure is a broker whose first Save is carried out and not confirmed.
type unsure struct {
	*memory.Broker
	once sync.Once
}

type unsureLock struct {
	broker.Lock
	b *unsure
}

func (u *unsure) Lock(ctx context.Context, name string) (broker.Lock, error) {
	l, err := u.Broker.Lock(ctx, name)
	return unsureLock{l, u}, err
}

func (l unsureLock) Save(ctx context.Context, state []byte) error {
	fresh := l.State() == nil
	err := l.Lock.Save(ctx, state)
	if !fresh {
		l.b.once.Do(func() { err = broker.ErrUnknownOutcome })
	}
	return err
}

func TestCronWhoseSaveWasNotConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r runs
		defer books(t, &unsure{Broker: memory.New()},
			enoki.Cron("@hourly", func(context.Context) error { r.add("here"); return nil }, enoki.TimerName("close")))()
		time.Sleep(2*time.Hour + time.Minute)
		r.want(t, "once each, and a little late", "01:00:01 here", "02:00:00 here")
	})
}

func TestCronInTimeZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r runs
		run := func(context.Context) error { r.add("here"); return nil }
		defer books(t, memory.New(), enoki.Cron("30 4 * * *", run, enoki.TimerName("close"), enoki.TimeZone("Asia/Kolkata")))()
		time.Sleep(24 * time.Hour)
		r.want(t, "half past four in India", "23:00:00 here")
	})
}

func nightly(context.Context) error { return nil }

func TestCronMistakes(t *testing.T) {
	for want, part := range map[string]enoki.Part{
		"4 fields":                  enoki.Cron("0 3 * *", nightly),
		`time zone "Mars" is`:       enoki.Cron("@daily", nightly, enoki.TimeZone("Mars")),
		"no function":               enoki.Cron("@daily", nil),
		"drop enoki.Eager":          enoki.Cron("@daily", nightly, enoki.Eager()),
		"drop enoki.TimeZone":       enoki.Every(time.Second, nightly, enoki.TimeZone("UTC")),
		"give it one with enoki.Ti": enoki.Cron("@daily", func(context.Context) error { return nil }),
		`"a b"`:                     enoki.Cron("@daily", nightly, enoki.TimerName("a b")),
	} {
		if err := enoki.NewService("books", part).Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one that says %q", err, want)
		}
	}
	twice := enoki.NewService("books", enoki.Cron("@daily", nightly), enoki.Cron("@hourly", nightly))
	if err := twice.Check(); err == nil || !strings.Contains(err.Error(), "two crons are named nightly") {
		t.Errorf("got error %v, want one about the name", err)
	}
}

func TestCronIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New()
		part := enoki.Cron("CRON_TZ=Europe/Berlin 0 3 * * *", nightly)
		defer books(t, b, part)()
		shown, err := b.Services(t.Context())
		want := broker.Cron{Name: "nightly", Schedule: "0 3 * * * Europe/Berlin"}
		if err != nil || len(shown) != 1 || !slices.Equal(shown[0].Crons, []broker.Cron{want}) {
			t.Errorf("Services: got %+v and error %v, want the cron %v", shown, err, want)
		}
		if got := enoki.NewService("books", part).Describe(); len(got) != 1 || got[0].Text != "cron nightly at 0 3 * * * Europe/Berlin" {
			t.Errorf("Describe: got %q", got)
		}
	})
}
