package found

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp"
	"github.com/enoki-go/enoki/internal/testserver"
)

// TestRightsThatPermsPrints: a service whose user has the rights that enoki
// perms prints, and no others, serves calls, retries events, buries them and
// runs crons.
func TestRightsThatPermsPrints(t *testing.T) {
	if rabbit == nil {
		testserver.Skip(t, "RabbitMQ is not installed")
	}
	letters, ran := make(chan broker.DeadLetter, 10), make(chan struct{}, 10)
	o := enoki.Options{OnDeadLetter: func(l broker.DeadLetter) { letters <- l }}
	event := enoki.NewEvent[int]("strict", "happened")
	service := func() *enoki.Service {
		return enoki.NewService("strict",
			enoki.Method("m", func(context.Context) (int, error) { return 1, nil }),
			enoki.Emits(event, new(enoki.Emit[int])),
			enoki.Subscription[int]{Event: event, Handle: func(context.Context, int) error { return errors.New("fails") }, OnError: enoki.Retry{Attempts: 2, First: 100 * time.Millisecond, Last: 100 * time.Millisecond}},
			enoki.Cron("@every 1s", func(context.Context) error { ran <- struct{}{}; return nil }, enoki.TimerName("tick")))
	}
	asking := dialRabbitMQ(t)
	stop := run(t, dialRabbitMQ(t), enoki.Options{}, service()) // by an operator, to be asked
	instances, err := asking.Services(t.Context())
	if err != nil || len(instances) == 0 {
		t.Fatalf("%v, %v", instances, err)
	}
	stop()
	rights := amqp.RightsOf(amqp.Config{}, instances...)
	for _, args := range [][]string{{"add_user", "strict", "secret"}, {"set_permissions", "strict", rights.Configure, rights.Write, rights.Read}} {
		if _, err := rabbit.Ctl(args...); err != nil {
			t.Fatal(err)
		}
	}
	u, err := url.Parse(rabbit.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("strict", "secret")
	b := dialRabbitMQAt(t, u.String())
	run(t, b, o, service())
	c := client(t, b)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	if _, err := c.Call(ctx, "strict", "m", nil, nil); err != nil {
		t.Errorf("a call: %v", err)
	}
	if err := c.Emit(ctx, "strict", "happened", 1); err != nil {
		t.Errorf("an event: %v", err)
	}
	for what, came := range map[string]func() bool{
		"a dead letter": func() bool {
			select {
			case <-letters:
				return true
			case <-ctx.Done():
				return false
			}
		},
		"the cron": func() bool {
			select {
			case <-ran:
				return true
			case <-ctx.Done():
				return false
			}
		},
	} {
		if !came() {
			t.Errorf("%s does not come", what)
		}
	}
}
