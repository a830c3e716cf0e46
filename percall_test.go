package enoki_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker/memory"
)

// ledger notes what becomes of the things that it opens.
type ledger struct {
	mu       sync.Mutex
	notes    []string
	refusing error // of end
}

func (l *ledger) note(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notes = append(l.notes, text)
}

func (l *ledger) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	notes := l.notes
	l.notes = nil
	return notes
}

func (l *ledger) perCall() *enoki.PerCall[*ledger] {
	return enoki.NewPerCall(
		func(context.Context) (*ledger, error) { l.note("open"); return l, nil },
		func(ctx context.Context, _ *ledger, outcome error) error {
			switch {
			case ctx.Err() != nil:
				l.note("ended too late")
			case outcome != nil:
				l.note("roll back: " + outcome.Error())
			default:
				l.note("commit")
			}
			return l.refusing
		})
}

type till struct {
	Sell func(ctx context.Context, how string) error `rpc:"sell" args:"how"`
}

func TestPerCall(t *testing.T) {
	l := &ledger{}
	tx := l.perCall()
	var kept context.Context
	sell := func(ctx context.Context, how string) error {
		kept = ctx
		if how == "nothing" {
			return nil
		}
		first, err := tx.Get(ctx)
		second, err2 := tx.Get(ctx)
		if first != second || errors.Join(err, err2) != nil {
			t.Errorf("Get gave %p, %v and then %p, %v", first, err, second, err2)
		}
		switch how {
		case "panic":
			panic("on purpose")
		case "late":
			<-ctx.Done()
			return ctx.Err()
		case "":
			return nil
		}
		return errors.New(how)
	}
	b := memory.New()
	defer b.Close()
	running(t, b, nil, enoki.NewService("till", tx, enoki.RPC(till{Sell: sell})))
	var remote till
	if err := enoki.NewClient(b, nil).Bind("till", &remote); err != nil {
		t.Fatal(err)
	}
	for how, want := range map[string][]string{
		"nothing":  nil, // what nobody asks for is not made
		"":         {"open", "commit"},
		"sold out": {"open", "roll back: sold out"},
		"panic":    {"open", "roll back: panic: on purpose"},
	} {
		err := remote.Sell(t.Context(), how)
		if got := l.take(); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", how, got, want)
		}
		if (err == nil) != (how == "" || how == "nothing") {
			t.Errorf("%q: the call returns %v", how, err)
		}
	}
	if _, err := tx.Get(kept); !errors.Is(err, enoki.Internal) {
		t.Errorf("after the work: %v, want %v", err, enoki.Internal)
	}
	if _, err := tx.Get(t.Context()); !errors.Is(err, enoki.Internal) {
		t.Errorf("outside a handler: %v, want %v", err, enoki.Internal)
	}

	l.refusing = enoki.Errorf(enoki.Unavailable, "the disk is full")
	if err := remote.Sell(t.Context(), ""); !errors.Is(err, enoki.Unavailable) {
		t.Errorf("commit fails: the call returns %v, want %v", err, enoki.Unavailable)
	}
	if err := remote.Sell(t.Context(), "sold out"); err == nil || !strings.Contains(err.Error(), "sold out") {
		t.Errorf("roll back fails: the call returns %v, want the handler's error first", err)
	}
}

// TestPerCallAfterDeadline: what was opened can still be closed.
func TestPerCallAfterDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		tx := l.perCall()
		handled := make(chan struct{})
		wait := func(ctx context.Context) error {
			_, err := tx.Get(ctx)
			<-ctx.Done()
			return errors.Join(err, ctx.Err())
		}
		watch := enoki.Use(func(next enoki.Handler) enoki.Handler {
			return func(ctx context.Context, c *enoki.Call) error {
				defer close(handled)
				return next(ctx, c)
			}
		})
		b := memory.New()
		defer b.Close()
		running(t, b, nil, enoki.NewService("slow", watch, tx, enoki.Method("wait", wait)))
		var slow struct {
			Wait func(ctx context.Context) error `timeout:"20ms"`
		}
		if err := enoki.NewClient(b, nil).Bind("slow", &slow); err != nil {
			t.Fatal(err)
		}
		if err := slow.Wait(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the call returns %v", err)
		}
		<-handled
		if got := l.take(); len(got) != 2 || !strings.HasPrefix(got[1], "roll back") {
			t.Errorf("after the deadline: %q", got)
		}
	})
}

func TestPerCallThatDoesNotOpen(t *testing.T) {
	broken := enoki.NewPerCall(
		func(context.Context) (int, error) { return 0, enoki.Errorf(enoki.Unavailable, "no database") },
		func(context.Context, int, error) error { t.Error("what was not opened is ended"); return nil })
	sell := func(ctx context.Context, _ string) error {
		_, err := broken.Get(ctx)
		return err
	}
	b := memory.New()
	defer b.Close()
	running(t, b, nil, enoki.NewService("till", broken, enoki.RPC(till{Sell: sell})))
	var remote till
	if err := enoki.NewClient(b, nil).Bind("till", &remote); err != nil {
		t.Fatal(err)
	}
	if err := remote.Sell(t.Context(), ""); !errors.Is(err, enoki.Unavailable) {
		t.Errorf("the call returns %v, want %v", err, enoki.Unavailable)
	}
	if err := enoki.NewService("till", enoki.NewPerCall[int](nil, nil)).Check(); err == nil {
		t.Error("one without functions is accepted")
	}
}

func TestResources(t *testing.T) {
	l := &ledger{}
	part := func(name string, err error) enoki.Part {
		return enoki.Resource(
			func(context.Context) error { l.note("open " + name); return err },
			func(context.Context) error { l.note("close " + name); return nil })
	}
	ask := func(context.Context) error { l.note("work"); return nil }
	b := memory.New()
	defer b.Close()
	stop := running(t, b, nil, enoki.NewService("till", part("pool", nil), part("cache", nil),
		enoki.Resource(nil, func(context.Context) error { return nil }), enoki.Method("ask", ask)))
	if _, err := enoki.NewClient(b, nil).Call(t.Context(), "till", "ask", nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got, want := l.take(), []string{"open pool", "open cache", "work", "close cache", "close pool"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}

	err := enoki.Run(t.Context(), b, &enoki.Options{Logger: quiet},
		enoki.NewService("till", part("pool", nil), part("cache", errors.New("no cache"))))
	if err == nil || !strings.Contains(err.Error(), "no cache") {
		t.Errorf("Run returns %v", err)
	}
	if got, want := l.take(), []string{"open pool", "open cache", "close pool"}; !slices.Equal(got, want) {
		t.Errorf("after a failed start: %q, want %q", got, want)
	}
	if err := enoki.NewService("till", enoki.Resource(nil, nil)).Check(); err == nil {
		t.Error("a resource without functions is accepted")
	}
}
