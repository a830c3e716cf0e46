package found

import (
	"context"
	"math"
	"testing"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
)

// TestNaNInContextData: it arrives, on every broker, and a call that is under
// way on the same link at that moment does not suffer.
func TestNaNInContextData(t *testing.T) {
	onEveryBroker(t, func(t *testing.T, dial func() broker.Broker) {
		begun, free := make(chan struct{}), make(chan struct{})
		got := make(chan any, 2)
		slow := func(context.Context) (int, error) { close(begun); <-free; return 1, nil }
		ratio := func(ctx context.Context) (int, error) { got <- enoki.ContextData(ctx)["ratio"]; return 2, nil }
		happened := func(ctx context.Context, _ int) error { got <- enoki.ContextData(ctx)["ratio"]; return nil }
		run(t, dial(), enoki.Options{}, enoki.NewService("nanny",
			enoki.Method("slow", slow), enoki.Method("ratio", ratio), enoki.On(enoki.NewEvent[int]("nanny", "happened"), happened)))
		client := client(t, dial())
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		innocent := make(chan error, 1)
		go func() { _, err := client.Call(ctx, "nanny", "slow", nil, nil); innocent <- err }()
		<-begun
		for _, v := range []float64{math.NaN(), math.Inf(-1)} {
			with := enoki.WithContextData(ctx, "ratio", v)
			if _, err := client.Call(with, "nanny", "ratio", nil, nil); err != nil {
				t.Fatalf("a call with %v: %v", v, err)
			}
			if f, ok := (<-got).(float64); !ok || math.Float64bits(f) != math.Float64bits(v) && !math.IsNaN(v) {
				t.Errorf("the call with %v had %v", v, f)
			}
			if err := client.Emit(with, "nanny", "happened", 1); err != nil {
				t.Fatalf("an event with %v: %v", v, err)
			}
			if f, ok := (<-got).(float64); !ok || math.IsNaN(f) != math.IsNaN(v) {
				t.Errorf("the event with %v had %v", v, f)
			}
		}
		close(free)
		if err := <-innocent; err != nil {
			t.Errorf("the call that was under way: %v", err)
		}
	})
}

// TestContextDataThatCannotTravel: it is refused as the sender's mistake.
func TestContextDataThatCannotTravel(t *testing.T) {
	onEveryBroker(t, func(t *testing.T, dial func() broker.Broker) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		b := dial()
		err := client(t, b).Emit(enoki.WithContextData(ctx, "user", struct{ Name string }{"x"}), "nanny", "happened", 1)
		if enoki.CodeOf(err) != enoki.InvalidArgument {
			t.Errorf("got %v, code %s, want %s", err, enoki.CodeOf(err), enoki.InvalidArgument)
		}
		if err := b.Ready(); err != nil {
			t.Errorf("the link: %v", err)
		}
	})
}
