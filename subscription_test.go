package enoki_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/memory"
)

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
				enoki.On(posted, fails("requeued", func(try int) error {
					switch {
					case try == 2:
						panic("once")
					case try < often:
						return errors.New("down")
					}
					return nil
				}), enoki.RequeueOnError(), enoki.Named("requeued")),
				enoki.On(numbers, never, enoki.RequeueOnError(), enoki.Named("unread_kept")),
				enoki.On(posted, fails("dropped", func(int) error { return errors.New("down") }), enoki.DropOnError(), enoki.Named("dropped")),
				enoki.On(posted, fails("panics", func(int) error { panic("always") }), enoki.DropOnError(), enoki.Named("panics")),
				enoki.On(numbers, never, enoki.DropOnError(), enoki.Named("unread_dropped"))))
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

func TestImpossibleSubscriptions(t *testing.T) {
	handle := func(context.Context, string) error { return nil }
	for _, test := range []struct {
		want    string
		options []enoki.SubscribeOption
	}{
		{"", []enoki.SubscribeOption{enoki.Broadcast(), enoki.Ephemeral()}},
		{"", []enoki.SubscribeOption{enoki.Singleton(), enoki.Ephemeral(), enoki.RequeueOnError()}},
		{"", []enoki.SubscribeOption{enoki.Broadcast(), enoki.BroadcastID("host-1.example"), enoki.DropOnError()}},
		{"enoki.Broadcast and enoki.Singleton exclude each other", []enoki.SubscribeOption{enoki.Singleton(), enoki.BroadcastID("a")}},
		{"enoki.DropOnError and enoki.RequeueOnError exclude each other", []enoki.SubscribeOption{enoki.RequeueOnError(), enoki.DropOnError()}},
		{"enoki.RequeueOnError and enoki.Retry exclude each other", []enoki.SubscribeOption{enoki.RequeueOnError(), enoki.Retry(3)}},
		{"enoki.BroadcastID keeps events", []enoki.SubscribeOption{enoki.BroadcastID("a"), enoki.Ephemeral()}},
		{`broadcast id "": give 1 to 100`, []enoki.SubscribeOption{enoki.BroadcastID("")}},
		{`broadcast id "a b"`, []enoki.SubscribeOption{enoki.BroadcastID("a b")}},
		{`broadcast id "ü"`, []enoki.SubscribeOption{enoki.BroadcastID("ü")}},
		{"Retry(0)", []enoki.SubscribeOption{enoki.Retry(0)}},
		{`handler name "on posted"`, []enoki.SubscribeOption{enoki.Named("on posted")}},
	} {
		err := enoki.NewService("push", enoki.On(posted, handle, test.options...)).Check()
		if (err == nil) != (test.want == "") || !strings.Contains(fmt.Sprint(err), test.want) {
			t.Errorf("got error %v, want %q", err, test.want)
		}
	}
}

// deadLetters returns all dead letters on b, oldest first.
func deadLetters(t *testing.T, b broker.Broker) ([]broker.DeadLetter, error) {
	t.Helper()
	var letters []broker.DeadLetter
	for l, err := range b.DeadLetters(t.Context(), broker.DeadLetterFilter{}) {
		if err != nil {
			return nil, err
		}
		letters = append(letters, l.DeadLetter)
	}
	return letters, nil
}
