package amqp

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/rabbitmq/amqp091-go"

	"github.com/enoki-go/enoki/broker"
)

// TestRefusedJoinLeavesNoQueues has events come all the time, and the broker
// refuse one queue or exchange of several.
func TestRefusedJoinLeavesNoQueues(t *testing.T) {
	rabbit(t)
	for _, queueType := range []string{"", Quorum} {
		t.Run("type "+queueType, func(t *testing.T) {
			d, s := dial(t, Config{QueueType: queueType}), newSniffer(t)
			good, bad, svc := name("good"), name("bad"), name("svc")
			emitting, stop := context.WithCancel(t.Context())
			stopped := make(chan struct{})
			other := dial(t, Config{})
			go func() {
				defer close(stopped)
				for emitting.Err() == nil {
					_ = other.Emit(emitting, good, "e", text("x"))
				}
			}()
			defer func() { stop(); <-stopped }()

			sub := func(source, event string, mode broker.Mode) broker.Subscription {
				return broker.Subscription{Source: source, Event: event, Handler: "on_" + event, Mode: mode,
					Handle: func(context.Context, *broker.Message) broker.Settlement { return broker.Settlement{} }}
			}
			service := broker.Service{Instance: broker.Instance{Name: svc, ID: "1"}, Workers: 1, Serve: echo, AtMostOnce: true, Subscriptions: []broker.Subscription{
				sub(good, "e", broker.Pool), sub(good, "f", broker.Singleton), sub(good, "g", broker.Pool), sub(bad, "e", broker.Pool)}}
			kept := "evt-" + good + "-g--" + svc + ".on_g"
			args := amqp091.Table{}
			if queueType != "" {
				args[amqp091.QueueTypeArg] = queueType
			}
			_, err := s.ch.QueueDeclare(kept, true, false, false, false, args)
			s.must(err)
			left := func() []string {
				return slices.DeleteFunc(ctl(t, "list_queues -q --no-table-headers name"), func(q string) bool {
					return !strings.Contains(q, svc) && !strings.Contains(q, good) || strings.HasPrefix(q, "enoki.direct")
				})
			}

			refusals := map[string]func() (undo func()){
				"queue": func() func() {
					q := "evt-" + bad + "-e--" + svc + ".on_e"
					_, err := s.ch.QueueDeclare(q, false, false, false, false, nil)
					s.must(err)
					return func() { _, err := s.ch.QueueDelete(q, false, false, false); s.must(err) }
				},
				"exchange": func() func() {
					s.must(s.ch.ExchangeDeclare(bad+".events", "direct", true, false, false, false, nil))
					return func() { s.must(s.ch.ExchangeDelete(bad+".events", false, false)) }
				},
			}
			for what, refuse := range refusals {
				_ = s.ch.ExchangeDelete(bad+".events", false, false)
				undo := refuse()
				_, err := d.Join(within(t, patience), service)
				wantText(t, err, "is needed", bad)
				undo()
				if got := left(); !slices.Equal(got, []string{kept}) {
					t.Errorf("after a refused %s there are %q, want %q alone, which was there before", what, got, kept)
				}
			}
			if err := d.Ready(); err != nil {
				t.Errorf("the link has suffered: %v", err)
			}
			join(t, d, service)
			if got := left(); len(got) < 5 {
				t.Errorf("after a Join there are %q", got)
			}
		})
	}
}
