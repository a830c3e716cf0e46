package adaptive_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/enoki-go/enoki/resilience"
	"github.com/enoki-go/enoki/resilience/adaptive"
)

func TestAdaptive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := adaptive.Limit(adaptive.Options{Most: 2, Begin: 2})
		release := make(chan struct{})
		for range 2 {
			go limit(t.Context(), func(context.Context) error { <-release; return nil })
		}
		synctest.Wait()
		if err := limit(t.Context(), func(context.Context) error { return nil }); !errors.Is(err, resilience.ErrFull) {
			t.Errorf("got error %v, want ErrFull", err)
		}
		close(release)
		synctest.Wait()
		if err := limit(t.Context(), func(context.Context) error { return nil }); err != nil {
			t.Errorf("with room: %v", err)
		}
	})
}

func BenchmarkLimit(b *testing.B) {
	limit := adaptive.Limit(adaptive.Options{})
	b.ReportAllocs()
	for b.Loop() {
		if err := limit(b.Context(), func(context.Context) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
