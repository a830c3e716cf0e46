package amqp

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/brokertest"
)

// TestQuorumQueues has quorum queues keep the promises of a driver.
func TestQuorumQueues(t *testing.T) {
	rabbit(t)
	brokertest.Run(t, brokertest.Fixture{
		Dial: func(t testing.TB) broker.Broker {
			t.Helper()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			d, err := Dial(ctx, Config{URL: node.URL(), QueueType: Quorum, Owner: "quorum"})
			if err != nil {
				t.Fatal(err)
			}
			return d
		},
		Doomed: func(t testing.TB) (broker.Broker, func()) {
			return doomed(t, Config{QueueType: Quorum, Owner: "quorum"})
		},
		CallsWait:    true,
		BacklogIsOwn: true,
		KeepsNoIDs:   true,
		TooLarge:     maxMessage + 1,
	})
}

// A queue that exists keeps its type, and who asks for another one is told how
// to change it.
func TestQueueOfAnotherTypeStays(t *testing.T) {
	classic, s := dial(t, Config{}), newSniffer(t)
	svc, src := name("svc"), name("src")
	got := make(chan string, 2)
	service := broker.Service{Instance: broker.Instance{Name: svc}, Serve: echo, Subscriptions: []broker.Subscription{
		{Source: src, Event: "e", Handler: "h", Handle: func(_ context.Context, m *broker.Message) broker.Settlement {
			got <- string(m.Body)
			return broker.Settlement{}
		}}}}
	join(t, classic, service)
	var log lines
	quorum := dial(t, Config{QueueType: Quorum, Logger: log.logger()})
	join(t, quorum, service)
	for _, queue := range []string{"rpc-" + svc, "evt-" + src + "-e--" + svc + ".h"} {
		if want := "delete_queue " + queue; !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, log.String())
		}
	}
	if err := quorum.Emit(within(t, patience), src, "e", text("x")); err != nil {
		t.Fatal(err)
	}
	next(t, "the event", got)

	// A new one is a quorum queue, which RabbitMQ refuses to who has it otherwise.
	other := name("svc")
	join(t, quorum, broker.Service{Instance: broker.Instance{Name: other}, Serve: echo})
	if types := ctl(t, "list_queues name type"); !slices.ContainsFunc(types, func(line string) bool {
		return strings.Join(strings.Fields(line), " ") == "rpc-"+other+" quorum"
	}) {
		t.Errorf("got %q, want rpc-%s as a quorum queue", types, other)
	}
	_, err := classic.Join(within(t, patience), broker.Service{Instance: broker.Instance{Name: other, ID: "2"}, Workers: 1, Serve: echo})
	wantText(t, err, "x-queue-type", "quorum", "delete_queue rpc-"+other)
	_, err = s.ch.QueueDeclare("rpc-"+other, true, false, false, false, amqp091.Table{"x-queue-type": "quorum"})
	s.must(err)
}
