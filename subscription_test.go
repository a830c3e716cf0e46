package enoki_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/inbox"
)

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

// TestOnceFailed: an event whose handler failed is not remembered as handled,
// and one whose handler succeeded is so for its own handler only.
func TestOnceFailed(t *testing.T) {
	box := inbox.NewMemory(0)
	handled := make(chan string, 10)
	handler := func(name string) func(ctx context.Context, c Comment) error {
		return func(ctx context.Context, c Comment) error {
			if enoki.Attempt(ctx) == 1 {
				return errors.New("not yet")
			}
			handled <- name
			return nil
		}
	}
	once := func(name string) enoki.Part {
		return enoki.Subscription[Comment]{Event: Posted, Handle: handler(name), Name: name, Once: box,
			OnError: enoki.Retry{First: time.Millisecond, Last: time.Millisecond}}
	}
	c, stop := serve(enoki.NewService("push", once("one"), once("two")))
	defer stop()
	if err := c.Emit(t.Context(), "comments", "posted", Comment{}); err != nil {
		t.Fatal(err)
	}
	got := []string{<-handled, <-handled}
	if got[0] == got[1] {
		t.Errorf("handled by %q", got)
	}
}

// TestOrderBy: a thousand retries of one key hold back its events and no
// others, and a key that can't be told is the empty one.
func TestOrderBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var handled []string
		var failing atomic.Bool
		failing.Store(true)
		got := make(chan string, 100)
		push := enoki.NewService("push", enoki.Subscription[Comment]{Event: Posted, Handle: func(ctx context.Context, c Comment) error {
			if c.Text == "a0" && failing.Load() {
				return errors.New("not yet")
			}
			got <- c.Text
			return nil
		}, OnError: enoki.Retry{Attempts: 1000}, OrderBy: func(c Comment) string {
			if c.Text == "panic" {
				panic("no key")
			}
			return c.Text[:1]
		}})
		ready, ended := make(chan struct{}), make(chan error, 1)
		b := memory.New()
		go func() {
			ended <- enoki.Run(ctx, b, &enoki.Options{Logger: quiet, OnReady: func() { close(ready) }}, push)
		}()
		<-ready
		c := enoki.NewClient(b, nil)
		for _, text := range []string{"a0", "a1", "b0", "panic", "a2", "b1"} {
			if err := c.Emit(ctx, "comments", "posted", Comment{Text: text}); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(24 * time.Hour)
		for len(got) > 0 {
			handled = append(handled, <-got)
		}
		slices.Sort(handled)
		if want := []string{"b0", "b1", "panic"}; !slices.Equal(handled, want) {
			t.Errorf("while one failed, %q were handled, want %q", handled, want)
		}
		failing.Store(false)
		time.Sleep(time.Hour)
		handled = nil
		for len(got) > 0 {
			handled = append(handled, <-got)
		}
		if want := []string{"a0", "a1", "a2"}; !slices.Equal(handled, want) {
			t.Errorf("then %q were handled, want %q", handled, want)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
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
