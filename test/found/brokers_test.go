package found

import (
	"context"
	"testing"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
)

// TestEveryBrokerServes shows that the brokers of this package work at all.
func TestEveryBrokerServes(t *testing.T) {
	onEveryBroker(t, func(t *testing.T, dial func() broker.Broker) {
		hello := func(context.Context) (string, error) { return "hello", nil }
		run(t, dial(), enoki.Options{}, enoki.NewService("found", enoki.Method("hello", hello)))
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		said, err := client(t, dial()).Call(ctx, "found", "hello", nil, nil)
		if err != nil || string(said) != `"hello"` {
			t.Errorf("said %s, %v", said, err)
		}
	})
}
