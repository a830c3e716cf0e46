package enoki_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/memory"
)

// TestAYearPasses: delayed events work in virtual time. What is said of one
// event is not said of what its handler emits or calls, and a call does not show
// the event that its caller has in hand.
func TestAYearPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var emit enoki.Emit[Comment]
		var near Greeter
		handled := make(chan time.Time, 10)
		ready, ended := make(chan struct{}), make(chan error, 1)
		start := time.Now()
		services := []*enoki.Service{
			enoki.NewService("comments", enoki.Emits(Posted, &emit), enoki.RPC(Greeter{Hello: func(ctx context.Context, text string) (string, error) {
				if enoki.MessageID(ctx) != "" || enoki.Attempt(ctx) != 0 {
					t.Errorf("a call shows the event %q of its caller", enoki.MessageID(ctx))
				}
				return "", emit(ctx, Comment{Text: text})
			}})),
			enoki.NewService("push", enoki.Needs("comments", &near), enoki.On(Posted, func(ctx context.Context, c Comment) error {
				handled <- time.Now()
				if enoki.MessageID(ctx) == "" || enoki.Attempt(ctx) != 1 {
					t.Errorf("got id %q and attempt %d", enoki.MessageID(ctx), enoki.Attempt(ctx))
				}
				if c.Text != "first" {
					return nil
				}
				_, err := near.Hello(ctx, "second")
				return err
			})),
		}
		go func() {
			ended <- enoki.Run(ctx, memory.New(), &enoki.Options{Logger: quiet, OnReady: func() { close(ready) }}, services...)
		}()
		<-ready
		if err := emit(ctx, Comment{Text: "first"}, enoki.After(365*24*time.Hour)); err != nil {
			t.Error(err)
		}
		for range 2 { // the second at once
			if d := (<-handled).Sub(start); d != 365*24*time.Hour {
				t.Errorf("handled after %v", d)
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestEmitOptionsThatCannotBeMeant: all of them are told at once, and nothing is
// emitted.
func TestEmitOptionsThatCannotBeMeant(t *testing.T) {
	b := &countingEmits{Broker: memory.New()}
	c := enoki.NewClient(b, nil)
	due := time.Now().Add(400 * 24 * time.Hour)
	for _, test := range []struct {
		options []enoki.EmitOption
		want    []string
	}{
		{[]enoki.EmitOption{enoki.After(time.Hour), enoki.At(due)}, []string{"After(1h0m0s) and At(" + due.Format(time.RFC3339) + ")", "due in 400 days"}},
		{[]enoki.EmitOption{enoki.After(time.Hour), enoki.After(0)}, []string{"After(1h0m0s) and After(0s)"}},
		{[]enoki.EmitOption{nil, enoki.WithMessageID("")}, []string{"option 1 of 2 is nil", `message id ""`}},
	} {
		for _, err := range []error{
			enoki.Emitter(c, Posted)(t.Context(), Comment{}, test.options...),
			c.Emit(t.Context(), "comments", "posted", Comment{}, test.options...),
		} {
			if !errors.Is(err, enoki.InvalidArgument) {
				t.Errorf("got error %v, want invalid_argument", err)
			}
			for _, want := range test.want {
				if !strings.Contains(fmt.Sprint(err), want) {
					t.Errorf("got error %v, want one with %q", err, want)
				}
			}
		}
	}
	if b.emits.Load() != 0 {
		t.Errorf("%d events were emitted", b.emits.Load())
	}
}

// countingEmits counts the events that it gets.
type countingEmits struct {
	broker.Broker
	emits atomic.Int64
}

func (c *countingEmits) Emit(ctx context.Context, source, event string, m *broker.Message) error {
	c.emits.Add(1)
	return c.Broker.Emit(ctx, source, event, m)
}

// TestEmitOptionsAreReused: one option serves many emits, a delay counts from
// each of them.
func TestEmitOptionsAreReused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		later := enoki.After(time.Hour)
		for range 2 {
			if m := emitted(t.Context(), t, nil, later); !m.Due.Equal(time.Now().Add(time.Hour)) {
				t.Errorf("at %v an event is due %v", time.Now(), m.Due)
			}
			time.Sleep(time.Minute)
		}
	})
}

func TestMessageIDIsChecked(t *testing.T) {
	emit := enoki.Emitter(enoki.NewClient(memory.New(), nil), Posted)
	for _, id := range []string{"two\nlines", strings.Repeat("x", 201)} {
		if err := emit(t.Context(), Comment{}, enoki.WithMessageID(id)); !errors.Is(err, enoki.InvalidArgument) {
			t.Errorf("id %.10q: got error %v", id, err)
		}
	}
}
