package enoki_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/memory"
)

// The kind of a dead letter and the number of attempts, by what a handler
// returned.
func TestWhatBecomesOfAFailedEvent(t *testing.T) {
	_, notThere := fs.Stat(noFiles{}, "x")
	for _, test := range []struct {
		err     error
		onError enoki.ErrorPolicy
		want    string // kind and attempts; empty when it is no dead letter
	}{
		{errors.New("down"), nil, "unknown 5"},
		{fmt.Errorf("read: %w", notThere), nil, "*fs.PathError 5"},
		{enoki.Errorf(enoki.NotFound, "no user"), nil, "not_found 5"},
		{enoki.Errorf(enoki.InvalidArgument, "bad"), nil, "invalid_argument 1"},
		{fmt.Errorf("deep: %w", enoki.Errorf(enoki.InvalidArgument, "bad")), nil, "invalid_argument 1"},
		{enoki.Permanent(errors.New("never")), nil, "unknown 1"},
		{fmt.Errorf("deep: %w", enoki.Permanent(enoki.Errorf(enoki.NotFound, "no user"))), nil, "not_found 1"},
		{enoki.Permanent(errors.New("never")), enoki.Requeue{}, "unknown 1"},
		{enoki.Permanent(errors.New("never")), enoki.Drop{}, ""},
		{enoki.Permanent(nil), nil, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := memory.New()
			defer b.Close()
			var told []string
			options := &enoki.Options{OnDeadLetter: func(l broker.DeadLetter) { told = append(told, l.ID) }}
			stop := running(t, b, options, enoki.NewService("push", enoki.Subscription[string]{Event: posted, Handle: func(context.Context, string) error { return test.err }, OnError: test.onError}))
			if err := enoki.NewClient(b, nil).Emit(t.Context(), "comments", "posted", "hi"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour) // of the bubble
			synctest.Wait()
			dead, err := deadLetters(t, b)
			got := ""
			if len(dead) > 0 {
				got = fmt.Sprint(dead[0].Kind, " ", dead[0].Attempts)
			}
			if err != nil || len(dead) > 1 || got != test.want || len(told) != len(dead) {
				t.Errorf("%v: got %d letters (%v), the first %q, told of %d, want %q", test.err, len(dead), err, got, len(told), test.want)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// noFiles is an empty file system.
type noFiles struct{}

func (noFiles) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// An event whose handler fails goes back without limit, or is forgotten, as the
// two settings of Nameko have it.
func TestFailedEventsAsNamekoHasThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New()
		defer b.Close()
		var log bytes.Buffer
		const often = 30 // beyond the attempts of Retry
		tries := map[string]int{}
		fails := func(name string, err func(try int) error) func(context.Context, string) error {
			return func(context.Context, string) error {
				tries[name]++
				return err(tries[name])
			}
		}
		never := func(context.Context, int) error { t.Error("got an event that it can't read"); return nil }
		numbers := enoki.NewEvent[int]("comments", "posted")
		ctx, stop := context.WithCancel(t.Context())
		ended, ready := make(chan error, 1), make(chan struct{})
		options := &enoki.Options{Workers: 1, OnReady: func() { close(ready) }, Logger: slog.New(slog.NewTextHandler(&log, nil))}
		go func() {
			ended <- enoki.Run(ctx, b, options, enoki.NewService("push",
				enoki.Subscription[string]{Event: posted, Handle: fails("requeued", func(try int) error {
					switch {
					case try == 2:
						panic("once")
					case try < often:
						return errors.New("down")
					}
					return nil
				}), Name: "requeued", OnError: enoki.Requeue{}},
				enoki.Subscription[int]{Event: numbers, Handle: never, Name: "unread_kept", OnError: enoki.Requeue{}},
				enoki.Subscription[string]{Event: posted, Handle: fails("dropped", func(int) error { return errors.New("down") }), Name: "dropped", OnError: enoki.Drop{}},
				enoki.Subscription[string]{Event: posted, Handle: fails("panics", func(int) error { panic("always") }), Name: "panics", OnError: enoki.Drop{}},
				enoki.Subscription[int]{Event: numbers, Handle: never, Name: "unread_dropped", OnError: enoki.Drop{}}))
		}()
		<-ready
		if err := enoki.NewClient(b, nil).Emit(t.Context(), "comments", "posted", "hi"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // of the bubble: over when all that waits has come
		synctest.Wait()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if got, want := fmt.Sprint(tries), "map[dropped:1 panics:1 requeued:30]"; got != want {
			t.Errorf("tries: got %s, want %s", got, want)
		}
		dead, err := deadLetters(t, b)
		if err != nil || len(dead) != 1 || dead[0].Handler != "unread_kept" {
			t.Errorf("dead letters %+v (%v), want the one of unread_kept", dead, err)
		}
		if n := strings.Count(log.String(), `level=ERROR msg="event dropped after its handler failed" service=push event=comments.posted`); n != 2 {
			t.Errorf("%d log lines of dropped events, want 2:\n%s", n, &log)
		}
	})
}

// TestRetryDelays: what a Retry leaves out has its default, which gives way to
// what it does say. The longest delay after an attempt is twice the one before.
func TestRetryDelays(t *testing.T) {
	for _, test := range []struct {
		retry    enoki.Retry
		attempts int
		longest  []time.Duration // after each attempt
	}{
		{enoki.Retry{}, 5, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}},
		{enoki.Retry{Attempts: 1}, 1, nil},
		{enoki.Retry{Attempts: 3, First: time.Hour}, 3, []time.Duration{time.Hour, time.Hour}},
		{enoki.Retry{Attempts: 3, Last: time.Millisecond}, 3, []time.Duration{time.Millisecond, time.Millisecond}},
		{enoki.Retry{Attempts: 4, First: time.Minute, Last: 3 * time.Minute}, 4, []time.Duration{time.Minute, 2 * time.Minute, 3 * time.Minute}},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := memory.New()
			defer b.Close()
			var begun []time.Time
			stop := running(t, b, &enoki.Options{}, enoki.NewService("push", enoki.Subscription[string]{
				Event: posted, OnError: test.retry,
				Handle: func(context.Context, string) error { begun = append(begun, time.Now()); return errors.New("down") },
			}))
			if err := enoki.NewClient(b, nil).Emit(t.Context(), "comments", "posted", "hi"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(24 * time.Hour) // of the bubble
			synctest.Wait()
			if err := stop(); err != nil {
				t.Error(err)
			}
			if len(begun) != test.attempts {
				t.Fatalf("%+v: %d attempts, want %d", test.retry, len(begun), test.attempts)
			}
			for n, longest := range test.longest {
				if delay := begun[n+1].Sub(begun[n]); delay > longest+10*time.Millisecond {
					t.Errorf("%+v: the delay after attempt %d is %v, want at most %v", test.retry, n+1, delay, longest)
				}
			}
		})
	}
}
