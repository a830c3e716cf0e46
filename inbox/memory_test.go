package inbox_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enoki-go/enoki/inbox"
)

func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := inbox.NewMemory(0)
		runs := 0
		once := func(key string, result error) error {
			return box.Once(t.Context(), key, func(context.Context) error { runs++; return result })
		}
		failed := errors.New("no")
		for _, step := range []struct {
			key          string
			result, want error
			runs         int
		}{
			{"a", failed, failed, 1}, // is not remembered
			{"a", nil, nil, 2},
			{"a", failed, nil, 2},
			{"b", nil, nil, 3},
		} {
			if err := once(step.key, step.result); !errors.Is(err, step.want) || runs != step.runs {
				t.Errorf("%s: got error %v after %d runs, want %v after %d", step.key, err, runs, step.want, step.runs)
			}
		}
		time.Sleep(inbox.Keep - time.Second)
		if once("a", nil); runs != 3 {
			t.Errorf("it was forgotten after less than %v", inbox.Keep)
		}
		time.Sleep(2 * time.Second)
		if once("a", nil); runs != 4 {
			t.Errorf("it is still remembered after %v", inbox.Keep)
		}
	})
}

func TestMemoryAtOnce(t *testing.T) {
	box := inbox.NewMemory(0)
	var runs atomic.Int64
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			err := box.Once(t.Context(), "key", func(context.Context) error {
				if runs.Add(1) < 3 { // those that wait take over from one that fails
					return errors.New("not yet")
				}
				return nil
			})
			_ = err // of the two that fail
		})
	}
	all.Wait()
	if n := runs.Load(); n != 3 {
		t.Errorf("it ran %d times, want 3", n)
	}
}

func TestMemoryWaits(t *testing.T) {
	box := inbox.NewMemory(0)
	running, release, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- box.Once(t.Context(), "key", func(context.Context) error {
			close(running)
			<-release
			return nil
		})
	}()
	<-running
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := box.Once(ctx, "key", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v while another runs, want that of the context", err)
	}
	close(release)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestMemoryPanic(t *testing.T) {
	box := inbox.NewMemory(0)
	func() {
		defer func() { _ = recover() }()
		_ = box.Once(t.Context(), "key", func(context.Context) error { panic("oh") })
	}()
	ran := false
	if err := box.Once(t.Context(), "key", func(context.Context) error { ran = true; return nil }); err != nil || !ran {
		t.Errorf("after a panic: ran is %v, error %v", ran, err)
	}
}
