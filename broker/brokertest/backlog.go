package brokertest

import (
	"context"
	"fmt"

	"github.com/enoki-go/enoki/broker"
)

func backlogCases() []testCase {
	return []testCase{
		{"backlog of a member", "Backlog counts what waits in the subscriptions of a link's members, and nothing once it is handled", backlogOfMember},
		{"backlog of others", "Backlog tells who emits of what waits for a service that is gone, unless this is declared to differ", backlogOfOthers},
		{"backlog of a closed link", "Backlog of a closed link is ErrClosed, and one with a context that has ended is its error", backlogClosed},
	}
}

// held is what link says of the subscription of service.
func (t *trial) held(link broker.Broker, service, source string) (events uint64, known bool) {
	t.Helper()
	b, err := link.Backlog(t.ctx)
	if err != nil {
		t.Fatalf("Backlog: %v", err)
	}
	want := broker.Waiting{Service: service, Handler: "handler", Source: source, Event: "event"}
	for _, w := range b.Waiting {
		if want.Events = w.Events; w == want {
			return w.Events, true
		}
	}
	return 0, false
}

func backlogOfMember(t *trial) {
	source, name, link := t.name("source"), t.name("service"), t.dial()
	free := make(chan struct{})
	s := service(name)
	s.Workers = 1
	s.Subscriptions = []broker.Subscription{{Source: source, Event: "event", Handler: "handler",
		Handle: func(ctx context.Context, _ *broker.Message) broker.Settlement {
			select {
			case <-free:
			case <-ctx.Done():
			}
			return broker.Settlement{}
		}}}
	t.join(link, s)
	for i := range 5 {
		t.emit(t.link, source, "event", fmt.Sprint(source, i))
	}
	count := func(least, most uint64) func() error {
		return func() error {
			if n, known := t.held(link, name, source); !known || n < least || n > most {
				return fmt.Errorf("got %d events (known: %v), want %d to %d", n, known, least, most)
			}
			return nil
		}
	}
	t.until("four or five of five events wait behind the first", count(4, 5))
	close(free)
	t.until("nothing waits once all are handled", count(0, 0))
}

func backlogOfOthers(t *trial) {
	source, name := t.name("source"), t.name("service")
	done := func(context.Context, *broker.Message) broker.Settlement { return broker.Settlement{} }
	m := t.subscribe(t.dial(), name, broker.Subscription{Source: source, Event: "event", Handler: "handler"}, done)
	t.leave(m)
	for i := range 3 {
		t.emit(t.link, source, "event", fmt.Sprint(source, i))
	}
	if t.fixture.BacklogIsOwn {
		if n, known := t.held(t.link, name, source); known {
			t.Errorf("got %d events of a subscription of others, want none told, as declared", n)
		}
		return
	}
	t.until("three events wait for a service that is gone", func() error {
		if n, known := t.held(t.link, name, source); n != 3 {
			return fmt.Errorf("got %d events (known: %v), want 3", n, known)
		}
		return nil
	})
}

func backlogClosed(t *trial) {
	ctx, cancel := context.WithCancel(t.ctx)
	cancel()
	_, err := t.link.Backlog(ctx)
	t.wantError("Backlog with a context that has ended", err, context.Canceled)
	link := t.fixture.Dial(t)
	if err := link.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = link.Backlog(t.ctx)
	t.wantError("Backlog of a closed link", err, broker.ErrClosed)
}
