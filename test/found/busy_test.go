package found

import (
	"context"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
)

// TestBusyInstance: of 20 calls to two instances with one worker each, one of
// them busy, none waits for the busy one.
func TestBusyInstance(t *testing.T) {
	onEveryBroker(t, func(t *testing.T, dial func() broker.Broker) {
		started, release := make(chan struct{}, 1), make(chan struct{})
		work := func(ctx context.Context, slow bool) (int, error) {
			if slow {
				started <- struct{}{}
				<-release
			}
			return 1, nil
		}
		for range 2 {
			run(t, dial(), enoki.Options{Workers: 1}, enoki.NewService("busy", enoki.Method("work", work, "slow")))
		}
		c := client(t, dial())
		ended := make(chan error, 1)
		go func() {
			_, err := c.Call(context.Background(), "busy", "work", []any{true}, nil)
			ended <- err
		}()
		select {
		case <-started:
		case <-time.After(patience):
			t.Fatal("the slow call does not begin")
		}
		for n := range 20 {
			if _, err := c.Call(t.Context(), "busy", "work", []any{false}, nil); err != nil {
				t.Errorf("call %d: %v", n, err)
			}
		}
		close(release)
		if err := <-ended; err != nil {
			t.Errorf("the slow call: %v", err)
		}
	})
}
