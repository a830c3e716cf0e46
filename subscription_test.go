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
	"github.com/enoki-go/enoki/inbox"
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

func TestImpossibleSubscriptions(t *testing.T) {
	type subscription = enoki.Subscription[string]
	var noInbox *inbox.Memory
	for _, test := range []struct {
		want string
		sub  subscription
	}{
		{"", subscription{Delivery: enoki.Broadcast{}}},
		{"", subscription{Delivery: enoki.Pool{Ephemeral: true}}},
		{"", subscription{Delivery: &enoki.Pool{}, OnError: &enoki.Retry{}}},
		{"", subscription{Delivery: enoki.Singleton{Ephemeral: true}, OnError: enoki.Requeue{}}},
		{"", subscription{Delivery: enoki.Broadcast{ID: "host-1.example"}, OnError: enoki.Drop{}}},
		{"", subscription{Delivery: enoki.Broadcast{}, OrderBy: strings.ToLower}},
		{"", subscription{Delivery: enoki.Broadcast{ID: "host-1"}, Once: inbox.NewMemory(0), OnError: enoki.Retry{Attempts: 7, First: time.Second, Last: time.Minute}}},
		{"", subscription{OnError: enoki.Retry{First: time.Hour}}},
		{"", subscription{OnError: enoki.Retry{Last: time.Millisecond}}},
		{`broadcast id "a b": give 1 to 100`, subscription{Delivery: enoki.Broadcast{ID: "a b"}}},
		{`broadcast id "ü"`, subscription{Delivery: enoki.Broadcast{ID: "ü"}}},
		{"Retry{Attempts: -1}", subscription{OnError: enoki.Retry{Attempts: -1}}},
		{"Retry{First: 1m0s, Last: 1s}", subscription{OnError: enoki.Retry{First: time.Minute, Last: time.Second}}},
		{"Retry{First: -1s, Last: 0s}", subscription{OnError: enoki.Retry{First: -time.Second}}},
		{`handler name "on posted"`, subscription{Name: "on posted"}},
		{"Once is a nil *inbox.Memory", subscription{Once: noInbox}},
		{"give the Broadcast an ID", subscription{Delivery: enoki.Broadcast{}, Once: inbox.NewMemory(0)}},
	} {
		test.sub.Event, test.sub.Handle = posted, func(context.Context, string) error { return nil }
		err := enoki.NewService("push", test.sub).Check()
		if (err == nil) != (test.want == "") || !strings.Contains(fmt.Sprint(err), test.want) {
			t.Errorf("got error %v, want %q", err, test.want)
		}
	}
	all := enoki.NewService("push", subscription{Name: "on posted", Delivery: enoki.Broadcast{ID: "a b"}, OnError: enoki.Retry{Attempts: -1}}).Check()
	for _, want := range []string{"service name is empty", "event name is empty", "no handler function", `"on posted"`, `"a b"`, "Attempts: -1"} {
		if !strings.Contains(fmt.Sprint(all), want) {
			t.Errorf("got error %v, want one with %q", all, want)
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
