package budget_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enoki-go/enoki/internal/budget"
)

func TestTakeWaitsInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := budget.New(200) // 100 each
		first, large, small := b.Work(), b.Work(), b.Work()
		if err := first.Take(t.Context(), 60); err != nil {
			t.Fatal(err)
		}
		order := make(chan string, 2)
		go func() {
			if large.Take(t.Context(), 80) == nil {
				order <- "large"
			}
		}()
		synctest.Wait()
		go func() {
			if small.Take(t.Context(), 10) == nil {
				order <- "small"
			}
		}()
		synctest.Wait()
		if late := b.Work(); late.TryTake(1) {
			t.Error("one who does not wait overtakes")
		}
		first.Release()
		first.Release() // again is nothing
		if got := <-order + <-order; got != "largesmall" && got != "smalllarge" {
			t.Error(got)
		}
		if b.Used() != 90 {
			t.Errorf("%d bytes are taken, want 90", b.Used())
		}
		large.Release()
		small.Release()
		if b.Used() != 0 {
			t.Errorf("%d bytes are left taken", b.Used())
		}
	})
}

func TestTakeEndsWithContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := budget.New(200)
		all, behind := b.Work(), b.Work()
		if err := all.Take(t.Context(), 90); err != nil {
			t.Fatal(err)
		}
		got := make(chan error, 2)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			large := b.Work()
			got <- large.Take(ctx, 50)
		}()
		synctest.Wait()
		go func() { got <- behind.Take(t.Context(), 10) }()
		if err := <-got; !errors.Is(err, budget.ErrFull) || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := <-got; err != nil { // whom the first one held up
			t.Error(err)
		}
		all.Release()
		behind.Release()
		if b.Used() != 0 {
			t.Errorf("%d bytes are left taken", b.Used())
		}
	})
}

// What can't wait counts all the same.
func TestAddMakesOthersWait(t *testing.T) {
	t.Parallel()
	b := budget.New(200)
	first, second := b.Work(), b.Work()
	if err := first.Take(t.Context(), 90); err != nil {
		t.Fatal(err)
	}
	second.Add(60)
	second.Add(1000)
	if used, total := b.Used(), b.Total(); used != 190 || total != 200 {
		t.Errorf("%d of %d bytes are taken, want 90 and all there is of 200", used, total)
	}
	first.Release()
	if first.TryTake(1) {
		t.Error("there was room")
	}
	second.Release()
	if !first.TryTake(100) || b.Used() != 100 {
		t.Errorf("%d bytes are taken, want 100", b.Used())
	}
}

// What is larger than all there is gets all there is, and is alone.
func TestTakeOfMoreThanThereIs(t *testing.T) {
	t.Parallel()
	b := budget.New(200)
	huge := b.Work()
	for range 3 {
		if err := huge.Take(t.Context(), 1000); err != nil {
			t.Fatal(err)
		}
	}
	late, other := b.Work(), b.Wait()
	if late.TryTake(1) || !other.TryTake(100) {
		t.Error("the halves are not 100 each")
	}
	huge.Release()
	if !late.TryTake(100) {
		t.Error("not all was given back")
	}
}

// Bodies that come in pieces, and together are more than there is, become whole
// one after the other.
func TestPiecesBecomeWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := budget.New(200)
		start := time.Now()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				s, patience := b.Arrive(), budget.Patience
				defer s.Release()
				for range 50 {
					if err := s.TakeWithin(t.Context(), 1, &patience); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Millisecond) // the others come as far
				}
			})
		}
		all.Wait()
		if waited := time.Since(start); waited >= budget.Patience || b.Used() != 0 {
			t.Errorf("it took %v, and %d bytes are left taken", waited, b.Used())
		}
	})
}

// Who leads and has not been told so in time does not lead for ever.
func TestLeadIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := budget.New(200)
		first, second, third := b.Arrive(), b.Arrive(), b.Arrive()
		if err := first.Take(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
		if err := second.Take(t.Context(), 1); err != nil { // leads
			t.Fatal(err)
		}
		patience := budget.Patience
		if err := third.TakeWithin(t.Context(), 1, &patience); !errors.Is(err, budget.ErrFull) || patience > 0 {
			t.Errorf("%v, %v are left of its patience", err, patience)
		}
		second.Release()
		if err := third.Take(t.Context(), 1); err != nil { // leads now
			t.Error(err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		third.Release()
		_ = second.Take(ended, 1) // may come through or not
		second.Release()
		if err := third.Take(t.Context(), 1); err != nil {
			t.Error(err)
		}
	})
}

func TestNoBudgetHasNoBound(t *testing.T) {
	t.Parallel()
	var none *budget.Budget
	for _, s := range []budget.Share{none.Wait(), none.Work()} {
		if s.Take(t.Context(), 1<<50) != nil || !s.TryTake(1<<50) {
			t.Error("nothing has a bound")
		}
		s.Release()
	}
	if none.Used() != 0 || none.Total() != 0 {
		t.Error(none.Used())
	}
}
