package turns_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enoki-go/enoki/internal/turns"
)

// TestOrder: the jobs of a key run in order, those that run again included,
// and those of other keys meanwhile.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var ran []string
		l := turns.New(10)
		for i := range 3 {
			for _, key := range []string{"a", "b"} {
				tries := 0
				l.Do(key, func() time.Duration {
					mu.Lock()
					defer mu.Unlock()
					ran = append(ran, fmt.Sprint(key, i))
					if tries++; key == "a" && tries < 3 {
						return time.Hour
					}
					return turns.Done
				})
			}
		}
		time.Sleep(time.Minute)
		mu.Lock()
		slices.Sort(ran) // a and b run side by side
		if want := []string{"a0", "b0", "b1", "b2"}; !slices.Equal(ran, want) {
			t.Errorf("at first ran %q, want %q", ran, want)
		}
		ran = nil
		mu.Unlock()
		time.Sleep(24 * time.Hour)
		l.Stop()
		l.Wait()
		if want := []string{"a0", "a0", "a1", "a1", "a1", "a2", "a2", "a2"}; !slices.Equal(ran, want) {
			t.Errorf("then ran %q, want %q", ran, want)
		}
	})
}

func TestWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		l := turns.New(3)
		for i := range 50 {
			l.Do(fmt.Sprint(i), func() time.Duration {
				n := now.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				time.Sleep(time.Second)
				now.Add(-1)
				return turns.Done
			})
		}
		start := time.Now()
		synctest.Wait()
		time.Sleep(17 * time.Second) // 50 jobs by threes
		synctest.Wait()
		if now.Load() != 0 || most.Load() != 3 {
			t.Errorf("%d run %v after the start, at most %d ran at once, want 0 and 3", now.Load(), time.Since(start), most.Load())
		}
		l.Stop()
		l.Wait()
	})
}

// TestStop: a job that runs ends, one that waits to run again and those behind
// do not run.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := turns.New(10)
		var ran, ended atomic.Int64
		l.Do("runs", func() time.Duration { time.Sleep(time.Minute); ended.Add(1); return 0 })
		l.Do("waits", func() time.Duration { ran.Add(1); return time.Hour })
		l.Do("waits", func() time.Duration { ran.Add(1); return turns.Done })
		time.Sleep(time.Second)
		l.Stop()
		l.Stop()
		l.Do("late", func() time.Duration { ran.Add(1); return turns.Done })
		l.Wait()
		if ran.Load() != 1 || ended.Load() != 1 {
			t.Errorf("%d jobs ran beside the one that was running, want 1; that one ended %d times, want 1", ran.Load(), ended.Load())
		}
	})
}
