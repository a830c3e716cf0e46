package deadline

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

type key struct{}

func TestDeadlinePasses(t *testing.T) {
	for name, observe := range map[string]func(ctx context.Context) error{
		"Done": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"Err":  func(ctx context.Context) error { time.Sleep(time.Minute); return ctx.Err() },
		"Cause": func(ctx context.Context) error {
			time.Sleep(time.Minute)
			return context.Cause(context.WithValue(ctx, key{}, nil))
		},
		"a child": func(ctx context.Context) error {
			child, cancel := context.WithCancel(ctx)
			defer cancel()
			<-child.Done()
			return context.Cause(child)
		},
		"AfterFunc": func(ctx context.Context) error {
			done := make(chan error)
			context.AfterFunc(ctx, func() { done <- ctx.Err() })
			return <-done
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			ctx := In(t.Context(), time.Minute)
			defer ctx.End()
			if at, ok := ctx.Deadline(); !ok || at.Sub(begun) != time.Minute || ctx.Err() != nil {
				t.Errorf("%s: deadline %v, %v, error %v before it", name, at, ok, ctx.Err())
			}
			if err := observe(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Minute {
				t.Errorf("%s: %v after %v, want the deadline after 1m", name, err, time.Since(begun))
			}
		})
	}
}

func TestDeadlineEndsBefore(t *testing.T) {
	for name, observed := range map[string]bool{"unobserved": false, "observed": true} {
		parent, cancel := context.WithCancel(t.Context())
		defer cancel()
		byEnd, byParent := In(parent, time.Minute), In(parent, time.Minute)
		defer byParent.End()
		if observed {
			byEnd.Done()
			byParent.Done()
		}
		byEnd.End()
		if byEnd.Err() != context.Canceled || byParent.Err() != nil {
			t.Errorf("%s: after its end %v, the other one %v", name, byEnd.Err(), byParent.Err())
		}
		cancel()
		if byParent.Err() != context.Canceled || context.Cause(byParent) != context.Canceled {
			t.Errorf("%s: after its parent's end %v", name, byParent.Err())
		}
		<-byEnd.Done()
		<-byParent.Done()
	}
}

func TestDeadlineIsNeverLaterThanItsParents(t *testing.T) {
	parent, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	ctx := In(parent, time.Minute)
	defer ctx.End()
	want, _ := parent.Deadline()
	if got, _ := ctx.Deadline(); got != want {
		t.Errorf("deadline %v, want the parent's %v", got, want)
	}
}
