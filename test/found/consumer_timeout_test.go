package found

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp"
	"github.com/enoki-go/enoki/internal/testserver"
)

// text is a log that can be read while it is written.
type text struct {
	mu sync.Mutex
	strings.Builder
}

func (l *text) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Builder.Write(b)
}

func (l *text) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(l.String(), "\n")
}

// TestHandlerThatHoldsAnEventForTooLong: RabbitMQ takes the event back, and with
// it what the subscription has in hand beside it. After some times it is a dead
// letter. What is beside it is handled and not charged, and no other consumer
// notices. RabbitMQ 4.3 does that to quorum queues alone.
func TestHandlerThatHoldsAnEventForTooLong(t *testing.T) {
	node := testserver.RabbitMQWith(t, testserver.RabbitMQSettings{Config: []string{"consumer_timeout = 4000"}})
	if _, err := node.Ctl("eval", "application:set_env(rabbit, channel_tick_interval, 500)."); err != nil { // 60 s otherwise
		t.Fatal(err)
	}
	for name, sub := range map[string]enoki.Subscription[string]{
		"waits":   {OnError: enoki.Retry{Attempts: 2}}, // for the end of its context
		"deaf":    {OnError: enoki.Retry{Attempts: 2}}, // for nothing of the kind
		"ordered": {OrderBy: func(s string) string { return s }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			holdsTooLong(t, node.URL(), name, sub)
		})
	}
}

func holdsTooLong(t *testing.T, url, name string, sub enoki.Subscription[string]) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	var log text
	b, err := amqp.Dial(ctx, amqp.Config{URL: url, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	linked(t, b, err)

	var mu sync.Mutex // guards what follows
	held, handled := 0, map[string]int{}
	letters := make(chan broker.DeadLetter, 100)
	event, other := enoki.NewEvent[string]("held", name), enoki.NewEvent[string]("held", name+"-other")
	over := make(chan struct{})
	handle := func(ctx context.Context, what string) error {
		if what == "held" {
			mu.Lock()
			held++
			mu.Unlock()
			if name == "deaf" {
				<-over
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}
		select { // so that some are in hand when the channel ends
		case <-time.After(300 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		mu.Lock()
		defer mu.Unlock()
		handled[what] = max(handled[what], enoki.Attempt(ctx))
		return nil
	}
	sub.Event, sub.Handle, sub.Name = event, handle, "on_event"
	o := enoki.Options{Workers: 20, OnDeadLetter: func(l broker.DeadLetter) { letters <- l }}
	run(t, b, o, enoki.NewService("holds-"+name,
		sub, enoki.Subscription[string]{Event: other, Handle: func(context.Context, string) error { return nil }, Name: "on_other"}))
	defer close(over)

	client := enoki.NewClient(b, &enoki.Options{Logger: quiet})
	emit := enoki.Emitter(client, event)
	if err := emit(ctx, "held"); err != nil {
		t.Fatal(err)
	}
	emitted := 0
	var letter broker.DeadLetter
	for tick := time.NewTicker(200 * time.Millisecond); letter.ID == ""; {
		select {
		case letter = <-letters:
			tick.Stop()
		case <-tick.C:
			emitted++
			if err := emit(ctx, fmt.Sprint("beside ", emitted)); err != nil {
				t.Fatal(err)
			}
		case <-ctx.Done():
			t.Fatalf("no dead letter; the event was held %d times", held)
		}
	}
	const want = broker.AttemptsBeside + broker.AttemptsAlone
	mu.Lock()
	if letter.Kind != broker.KindNoOutcome || letter.Attempts != want || string(letter.Message.Body) != `"held"` || held < want {
		t.Errorf("after it was held %d times: letter %+v of %s, want one of the kind %s after %d", held, letter, letter.Message.Body, broker.KindNoOutcome, want)
	}
	mu.Unlock()
	eventually(t, "all others are handled", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(handled) == emitted
	})
	for what, attempt := range handled {
		if attempt != 1 {
			t.Errorf("%s was handled at the attempt %d, want 1", what, attempt)
		}
	}
	select {
	case l := <-letters:
		t.Errorf("another dead letter: %+v of %s", l, l.Message.Body)
	default:
	}
	lost := 0
	for _, line := range log.lines() {
		if strings.Contains(line, "link lost") {
			t.Errorf("the link was lost: %s", line)
		}
		if !strings.Contains(line, "consumer lost") {
			continue
		}
		if lost++; !strings.Contains(line, "on_event") {
			t.Errorf("another consumer was lost: %s", line)
		}
	}
	if lost < want {
		t.Errorf("the consumer was lost %d times, want %d at least", lost, want)
	}
}
