package nats_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/nats"
)

// TestMoreSubscriptionsThanTheServersDefault has more subscriptions than the
// server allows a stream that asks for nothing.
func TestMoreSubscriptionsThanTheServersDefault(t *testing.T) {
	o := &natsserver.Options{JetStream: true}
	o.JetStreamLimits.DefaultMaxConsumers = 2
	if err := subscribe(t, newServer(t, o), 5); err != nil {
		t.Errorf("5 subscriptions where the default is 2: %v", err)
	}
}

// TestSubscriptionsWithinTheAccountsLimit keeps to the limit of an operator.
func TestSubscriptionsWithinTheAccountsLimit(t *testing.T) {
	server := newServer(t, &natsserver.Options{JetStream: true})
	limits := natsserver.JetStreamAccountLimits{MaxMemory: -1, MaxStore: -1, MaxStreams: -1, MaxConsumers: 20}
	if err := server.GlobalAccount().UpdateJetStreamLimits(map[string]natsserver.JetStreamAccountLimits{"": limits}); err != nil {
		t.Fatal(err)
	}
	if err := subscribe(t, server, 5); err != nil {
		t.Errorf("5 subscriptions where the account may have 20: %v", err)
	}
	if err := subscribe(t, server, 30); err == nil || !strings.Contains(err.Error(), "maximum consumers") {
		t.Errorf("30 subscriptions where the account may have 20: got error %v", err)
	}
}

// subscribe joins with n subscriptions.
func subscribe(t *testing.T, server *natsserver.Server, n int) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	link, err := nats.Dial(ctx, nats.Config{URL: "nats://" + server.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { link.Close() })
	s := broker.Service{Instance: broker.Instance{Name: "many", ID: fmt.Sprint("of", n)}, Workers: 1}
	for i := range n {
		s.Subscriptions = append(s.Subscriptions, broker.Subscription{
			Source: "news", Event: fmt.Sprint("event", i), Handler: fmt.Sprint("on_event", i),
			Handle: func(context.Context, *broker.Message) broker.Settlement { return broker.Settlement{} },
		})
	}
	_, err = link.Join(ctx, s)
	return err
}
