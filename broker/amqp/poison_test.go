package amqp

import (
	"context"
	"testing"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/uuid"
)

// TestProcessThatLives: an event whose handler ends each time after the link was
// lost is not charged, for its process lives.
func TestProcessThatLives(t *testing.T) {
	for name, orderBy := range map[string]func(*broker.Message) string{
		"pool": nil, "ordered": func(m *broker.Message) string { return m.ID },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const losses = broker.AttemptsBeside + broker.AttemptsAlone + 2
			d := dial(t, Config{})
			source := "lives-" + uuid.Short()
			times := 0 // touched by one handler at a time
			done := make(chan int, 10)
			handle := func(_ context.Context, m *broker.Message) broker.Settlement {
				if times++; times <= losses {
					d.consuming.now().close()
				} else {
					done <- m.Attempt
				}
				return broker.Settlement{}
			}
			buried := make(chan broker.DeadLetter, 10)
			_, err := d.Join(within(t, patience), broker.Service{
				Instance: broker.Instance{Name: "lives", ID: uuid.New()}, Workers: 1,
				Subscriptions: []broker.Subscription{{Source: source, Event: "e", Handler: name, OrderBy: orderBy, Handle: handle}},
				Buried:        func(l broker.DeadLetter) { buried <- l },
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Emit(within(t, patience), source, "e", &broker.Message{ID: "e", Body: []byte("e")}); err != nil {
				t.Fatal(err)
			}
			select {
			case attempt := <-done:
				if attempt != 1 {
					t.Errorf("after %d lost links the attempt is %d, want 1", losses, attempt)
				}
			case l := <-buried:
				t.Errorf("after %d handlers whose link was lost there is a dead letter: %+v", times, l)
			case <-within(t, 2*patience).Done():
				t.Errorf("the event was handled %d times and has not come again", times)
			}
		})
	}
}
