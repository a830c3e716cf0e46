package solo

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New()
		enter := func(patience time.Duration) (func(), bool) { return l.Enter(t.Context(), patience) }
		leave, ok := enter(0)
		if !ok {
			t.Fatal("nobody enters an empty lane")
		}
		if _, ok := enter(hold / 2); ok {
			t.Error("two are in the lane")
		}
		leave()
		leave()
		if leave, ok = enter(0); !ok {
			t.Fatal("nobody enters after the first one has left")
		}
		begun := time.Now()
		next, ok := enter(time.Hour)
		if took := time.Since(begun); !ok || took != hold {
			t.Errorf("one who waits entered (%v) after %v, want after %v", ok, took, hold)
		}
		leave() // is not that of the next one
		if _, ok := enter(0); ok {
			t.Error("two are in the lane after the first one has left late")
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, ok := l.Enter(ended, time.Hour); ok {
			t.Error("one whose context has ended is in the lane")
		}
		next()
	})
}
