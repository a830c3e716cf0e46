package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/uuid"
)

func (c *cli) listenCommand() *cobra.Command {
	var count int
	cmd := &cobra.Command{
		Use:   "listen SOURCE.EVENT...",
		Short: "Print events as they are emitted",
		Long: `Print events as they are emitted, one a line, until Ctrl-C. It takes nothing
away from the services that handle them, and keeps nothing: an event that was
emitted before it listened is not shown.`,
		Example: example(
			`enoki listen comments.posted`,
			`enoki listen comments.posted register.registered --json | jq .payload`,
			`enoki listen comments.posted --count 1`),
		Args:              atLeast(1),
		ValidArgsFunction: c.completeEvent(-1),
		RunE: func(cmd *cobra.Command, words []string) error {
			return c.listen(cmd.Context(), words, count)
		},
	}
	cmd.Flags().IntVar(&count, "count", 0, "stop after this many events (default: never)")
	return cmd
}

// listenerName is the name of listeners among the services.
const listenerName = "enoki-listen"

// listenJoinTimeout is how long the broker may take to set up a subscription.
const listenJoinTimeout = 10 * time.Second

func (c *cli) listen(ctx context.Context, words []string, count int) error {
	l := &listener{cli: c, left: count, done: make(chan struct{})}
	service, err := l.service(words)
	if err != nil {
		return err
	}
	joining, cancel := withTimeout(ctx, listenJoinTimeout)
	defer cancel()
	b, err := c.connect(joining)
	if err != nil {
		return err
	}
	defer b.Close()
	member, err := b.Join(joining, service)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	c.say("listening; Ctrl-C ends it")
	asking, stopAsking := withTimeout(ctx, listTimeout)
	defer stopAsking()
	var asked sync.WaitGroup
	asked.Go(func() { c.tellOfUnknownEvents(asking, b, l.events) })
	defer asked.Wait()
	select {
	case <-ctx.Done():
	case <-l.done:
		stopAsking()
	}
	leaving, cancel := withTimeout(context.WithoutCancel(ctx), listenJoinTimeout)
	defer cancel()
	return member.Leave(leaving)
}

// listener prints events. Handlers of several events run at once.
type listener struct {
	cli    *cli
	events []string
	done   chan struct{} // closed after the last event of a limited number

	mu   sync.Mutex // guards left and the order of lines
	left int        // events still to print; 0 or less is without limit
}

// service describes the listener to the broker: an instance of its own that
// handles each event as everyone does, so that nobody misses it.
func (l *listener) service(words []string) (broker.Service, error) {
	host, _ := os.Hostname() // only for people who list the services
	s := broker.Service{
		Instance: broker.Instance{Name: listenerName, ID: uuid.New(), Host: host, Started: time.Now()},
		Workers:  1,
	}
	for i, word := range words {
		source, event, err := splitEvent(word)
		if err != nil {
			return s, err
		}
		l.events = append(l.events, source+"."+event)
		e := broker.Event{Source: source, Name: event, Mode: broker.Broadcast}
		s.Handles = append(s.Handles, e)
		s.Subscriptions = append(s.Subscriptions, broker.Subscription{
			Source: source, Event: event, Mode: broker.Broadcast, Handler: fmt.Sprintf("print%d", i),
			Handle: func(_ context.Context, m *broker.Message) broker.Settlement {
				l.print(e, m)
				return broker.Settlement{}
			},
		})
	}
	return s, nil
}

func (l *listener) print(e broker.Event, m *broker.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.done:
		return // the number is full
	default:
	}
	l.show(e, m, time.Now())
	l.left--
	if l.left == 0 {
		close(l.done)
	}
}

func (l *listener) show(e broker.Event, m *broker.Message, now time.Time) {
	payload := json.RawMessage(m.Body)
	if !json.Valid(payload) { // another content type: shown as text
		payload, _ = json.Marshal(string(m.Body))
	}
	if !l.cli.json {
		fmt.Fprintf(l.cli.stdout, "%s %s.%s %s\n", now.Format(time.TimeOnly), e.Source, e.Name, oneLine(payload))
		return
	}
	h := heard{Source: e.Source, Event: e.Name, ID: m.ID, Time: now, Context: m.Context, Payload: payload}
	if err := writeJSON(l.cli.stdout, h); err != nil {
		h.Context = nil // it holds a value that JSON can't, such as NaN; the payload matters more
		_ = writeJSON(l.cli.stdout, h)
	}
}

// heard is an event as --json shows it.
type heard struct {
	Source  string          `json:"source"`
	Event   string          `json:"event"`
	ID      string          `json:"id,omitempty"`
	Time    time.Time       `json:"time"` // of its arrival here
	Context map[string]any  `json:"context,omitempty"`
	Payload json.RawMessage `json:"payload"`
}
