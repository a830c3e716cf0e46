package trail

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enoki-go/enoki/broker"
)

// TestDeadlineBehindAService has the time of a call handed on as it was by a
// service that knows nothing of it.
func TestDeadlineBehindAService(t *testing.T) {
	for name, c := range map[string]struct {
		later  time.Duration // until the message is received
		behind bool          // a service lies between
		skew   time.Duration // of the sender's clock
		want   time.Duration
	}{
		"direct":                  {later: 100 * time.Millisecond, want: 300 * time.Millisecond},
		"direct, clocks differ":   {skew: -time.Hour, want: 300 * time.Millisecond},
		"behind":                  {later: 100 * time.Millisecond, behind: true, want: 200 * time.Millisecond},
		"behind, at once":         {behind: true, want: 300 * time.Millisecond},
		"behind, clock is early":  {later: 100 * time.Millisecond, behind: true, skew: time.Hour, want: 300 * time.Millisecond},
		"behind, clock is late":   {later: 100 * time.Millisecond, behind: true, skew: -time.Hour, want: 300 * time.Millisecond},
		"behind, when it is over": {later: time.Second, behind: true, want: 300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				defer cancel()
				data := outside.Send(ctx, "client")
				if c.skew != 0 {
					end, _ := ctx.Deadline()
					data[deadlineKey] = mark(end.Add(c.skew), data[stackKey].([]any)[0])
				}
				if c.behind {
					data[stackKey] = append(data[stackKey].([]any), "python.relay.9f3c")
				}
				time.Sleep(c.later)
				var o Origin
				if left := o.Receive(&broker.Message{Context: data}); left != c.want {
					t.Errorf("%v are left, want %v", left, c.want)
				}
				if len(o.Trail.data) > 0 {
					t.Errorf("the handler sees %v", o.Trail.data)
				}
			})
		})
	}
}
