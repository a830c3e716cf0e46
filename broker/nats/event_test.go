package nats_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/nats"
	"github.com/enoki-go/enoki/broker/nats/embedded"
)

func echo(_ context.Context, _ string, req *broker.Message) *broker.Message { return req }

func done(context.Context, *broker.Message) broker.Settlement { return broker.Settlement{} }

// client returns a plain connection.
func client(t testing.TB, server *embedded.Server) *natsgo.Conn {
	t.Helper()
	nc, err := natsgo.Connect(server.URL(), natsgo.InProcessServer(server), natsgo.Timeout(30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// connect returns a plain connection to the server at url.
func connect(t testing.TB, url string) *natsgo.Conn {
	t.Helper()
	nc, err := natsgo.Connect(url, natsgo.Timeout(30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func jetStream(t testing.TB, server *embedded.Server) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(client(t, server), jetstream.WithDefaultTimeout(30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// open returns a link that is closed when the test ends.
func open(t testing.TB, c nats.Config) *nats.Driver {
	t.Helper()
	link := dial(t, c)
	t.Cleanup(func() { link.Close() })
	return link
}

// join attaches a service with the id "1".
func join(t testing.TB, link *nats.Driver, s broker.Service) broker.Member {
	t.Helper()
	if s.ID == "" {
		s.ID = "1"
	}
	if s.Workers == 0 {
		s.Workers = 4
	}
	m, err := link.Join(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// handles is a service that handles comments.posted.
func handles(fn func(context.Context, *broker.Message) broker.Settlement) broker.Service {
	return broker.Service{
		Instance:      broker.Instance{Name: "push"},
		Subscriptions: []broker.Subscription{{Source: "comments", Event: "posted", Handler: "on_posted", Handle: fn}},
	}
}

func emit(t testing.TB, link *nats.Driver, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := link.Emit(ctx, "comments", "posted", &broker.Message{ID: id, Body: []byte(id)}); err != nil {
		t.Fatalf("Emit %s: %v", id, err)
	}
}

// receive returns what comes, or fails the test after a long time.
func receive[T any](t testing.TB, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(30 * time.Second):
		t.Fatalf("waited in vain for %s", what)
		panic("not reached")
	}
}

// eventually looks until look returns nil. It is for what sends no signal.
func eventually(t testing.TB, look func() error) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := look()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		<-tick.C
	}
}

func TestFullStore(t *testing.T) {
	server := startEmbedded(t, embedded.Options{})
	link := open(t, nats.Config{InProcess: server, EventBytes: 1 << 20})
	if err := join(t, link, handles(done)).Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, 100<<10)
	stored := 0
	var err error
	for ; err == nil; stored++ {
		if stored > 20 {
			t.Fatal("2 MB went into a stream of 1 MiB")
		}
		err = link.Emit(t.Context(), "comments", "posted", &broker.Message{ID: fmt.Sprint(stored), Body: body})
	}
	if !errors.Is(err, broker.ErrNotDelivered) || errors.Is(err, broker.ErrUnknownOutcome) {
		t.Errorf("Emit to a full stream: got error %v, want ErrNotDelivered", err)
	}
	for _, word := range []string{"push.on_posted", "comments.posted", fmt.Sprintf("holds back %d events", stored-1), "no instance"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("got error %v, want %q in it", err, word)
		}
	}
	if err := link.Emit(t.Context(), "comments", "unheard", &broker.Message{}); err != nil {
		t.Logf("a small event to a full stream: %v", err) // fits or not, both are right
	}

	got := make(chan string, 100)
	join(t, link, handles(func(_ context.Context, m *broker.Message) broker.Settlement {
		got <- m.ID
		return broker.Settlement{}
	}))
	for range stored - 1 {
		receive(t, "a stored event", got)
	}
	eventually(t, func() error { // the last acknowledgements may be on their way
		return link.Emit(t.Context(), "comments", "posted", &broker.Message{ID: "room again", Body: body})
	})
}

// TestFullDeadLetters: without room for a dead letter the event stays, and is a
// dead letter for the same reason when there is room. A handler has half of all
// the room, while it is the only one with dead letters.
func TestFullDeadLetters(t *testing.T) {
	server := startEmbedded(t, embedded.Options{})
	link := open(t, nats.Config{InProcess: server, DeadBytes: 4 << 20})
	deliveries := make(chan string, 1000)
	join(t, link, handles(func(_ context.Context, m *broker.Message) broker.Settlement {
		deliveries <- m.ID
		return broker.Settlement{Verdict: broker.Reject, Reason: "no"}
	}))
	body := make([]byte, 900<<10)
	for i := range 6 {
		if err := link.Emit(t.Context(), "comments", "posted", &broker.Message{ID: fmt.Sprint(i), Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	for times := map[string]int{}; ; { // the third comes again and again, or one that is later on a slow machine
		id := receive(t, "the event that finds no room", deliveries)
		if times[id]++; times[id] == broker.AttemptsBeside+broker.AttemptsAlone+1 {
			break
		}
	}
	if letters, err := deadLetters(t, link); err != nil || len(letters) < 2 || len(letters) > 4 {
		t.Fatalf("DeadLetters: got %d and error %v, want 2, or as many as fit", len(letters), err)
	}
	stream, err := jetStream(t, server).Stream(t.Context(), "ENOKI_DEAD")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		letters, err := deadLetters(t, link)
		if err == nil && (len(letters) == 0 || letters[0].Reason != "no") {
			err = fmt.Errorf("got dead letters %+v after the purge, want those that had no room, with reason no", letters)
		}
		return err
	})
}

func TestSameIDForTwoEvents(t *testing.T) {
	link := open(t, nats.Config{InProcess: startEmbedded(t, embedded.Options{})})
	got := make(chan string, 10)
	s := handles(func(_ context.Context, m *broker.Message) broker.Settlement {
		got <- "posted " + m.ID
		return broker.Settlement{}
	})
	s.Subscriptions = append(s.Subscriptions, broker.Subscription{Source: "comments", Event: "removed", Handler: "on_removed",
		Handle: func(_ context.Context, m *broker.Message) broker.Settlement {
			got <- "removed " + m.ID
			return broker.Settlement{}
		}})
	join(t, link, s)
	emit(t, link, "x")
	emit(t, link, "x") // again, as after ErrUnknownOutcome: dropped
	if err := link.Emit(t.Context(), "comments", "removed", &broker.Message{ID: "x"}); err != nil {
		t.Fatal(err)
	}
	emit(t, link, "y")
	count := map[string]int{}
	for range 3 {
		count[receive(t, "an event", got)]++
	}
	if count["posted x"] != 1 || count["removed x"] != 1 || count["posted y"] != 1 {
		t.Errorf("got events %v, want each once", count)
	}
}

func TestForeignEvent(t *testing.T) {
	server := startEmbedded(t, embedded.Options{})
	link := open(t, nats.Config{InProcess: server})
	got := make(chan *broker.Message, 1)
	join(t, link, handles(func(_ context.Context, m *broker.Message) broker.Settlement {
		got <- m
		return broker.Settlement{}
	}))
	nc := client(t, server)
	for _, header := range []natsgo.Header{nil, {"Enoki-Context": {"{broken"}}, {"Status": {"404"}}} {
		if err := nc.PublishMsg(&natsgo.Msg{Subject: "enoki.events.comments.posted", Header: header}); err != nil {
			t.Fatal(err)
		}
		if m := receive(t, "the foreign event", got); m.ID == "" || len(m.Context) > 0 || m.Attempt != 1 {
			t.Errorf("header %v: got id %q, context %v, attempt %d", header, m.ID, m.Context, m.Attempt)
		}
	}
}

func TestLostConsumer(t *testing.T) {
	server := startEmbedded(t, embedded.Options{})
	js := jetStream(t, server)
	for name, lose := range map[string]func() error{
		"consumer": func() error {
			return js.DeleteConsumer(t.Context(), "ENOKI_EVENTS_comments", "evt+comments+posted+push+on_posted")
		},
		"stream": func() error { return js.DeleteStream(t.Context(), "ENOKI_EVENTS_comments") },
	} {
		t.Run(name, func(t *testing.T) {
			link := open(t, nats.Config{InProcess: server})
			got := make(chan string, 100)
			m := join(t, link, handles(func(_ context.Context, m *broker.Message) broker.Settlement {
				got <- m.ID
				return broker.Settlement{}
			}))
			emit(t, link, name+" before")
			receive(t, "the event before", got)
			if err := lose(); err != nil {
				t.Fatal(err)
			}
			// The consumer is made again a moment later: events from then on come.
			for i := 0; ; i++ {
				emit(t, link, fmt.Sprint(name, " after ", i))
				select {
				case <-got:
				case <-time.After(100 * time.Millisecond):
					if i > 300 {
						t.Fatal("no event comes any more")
					}
					continue
				}
				break
			}
			eventually(t, m.Ready)
		})
	}
}

// TestLongHandler: an event whose handler runs longer than AckWait does not
// come a second time.
func TestLongHandler(t *testing.T) {
	t.Parallel()
	const ackWait = 3 * time.Second // of which a busy machine may stand still for some
	link := open(t, nats.Config{InProcess: startEmbedded(t, embedded.Options{}), AckWait: ackWait})
	started, release := make(chan int, 10), make(chan struct{})
	m := join(t, link, handles(func(_ context.Context, m *broker.Message) broker.Settlement {
		started <- m.Attempt
		<-release
		return broker.Settlement{}
	}))
	emit(t, link, "long")
	receive(t, "the handler", started)
	select {
	case <-started:
		t.Error("the event came again while its handler was running")
	case <-time.After(2 * ackWait):
	}
	close(release)
	if err := m.Leave(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestDeadInstance: an event whose instance has died goes to another one, and
// no attempt is counted.
func TestDeadInstance(t *testing.T) {
	server := startEmbedded(t, embedded.Options{})
	dying := open(t, nats.Config{InProcess: server, AckWait: time.Second})
	started := make(chan struct{}, 10)
	join(t, dying, handles(func(ctx context.Context, _ *broker.Message) broker.Settlement {
		started <- struct{}{}
		<-ctx.Done()
		return broker.Settlement{}
	}))
	link := open(t, nats.Config{InProcess: server, AckWait: time.Second})
	emit(t, link, "x")
	receive(t, "the handler", started)
	dying.Cut()

	got := make(chan *broker.Message, 1)
	s := handles(func(_ context.Context, m *broker.Message) broker.Settlement {
		got <- m
		return broker.Settlement{}
	})
	s.ID = "2"
	join(t, link, s)
	if m := receive(t, "the event", got); m.ID != "x" || m.Attempt != 1 || !m.Redelivered {
		t.Errorf("got event %q, attempt %d, redelivered %v, want x, 1, true", m.ID, m.Attempt, m.Redelivered)
	}
}

// TestRequestsExpire: a consumer that had nothing to do for long still gets
// the next event, and has not lost its readiness meanwhile.
func TestRequestsExpire(t *testing.T) {
	server := startEmbedded(t, embedded.Options{})
	link := open(t, nats.ShortRequests(nats.Config{InProcess: server}))
	got := make(chan string, 1)
	m := join(t, link, handles(func(_ context.Context, m *broker.Message) broker.Settlement {
		got <- m.ID
		return broker.Settlement{}
	}))
	idle := time.NewTimer(4 * time.Second) // three times the age of a request
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for waiting := true; waiting; {
		select {
		case <-tick.C:
			if err := m.Ready(); err != nil {
				t.Fatalf("while nothing happened: %v", err)
			}
		case <-idle.C:
			waiting = false
		}
	}
	consumer, err := jetStream(t, server).Consumer(t.Context(), "ENOKI_EVENTS_comments", "evt+comments+posted+push+on_posted")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { // one may end just now, and the next be on its way
		info, err := consumer.Info(t.Context())
		if err == nil && info.NumWaiting != 1 {
			err = fmt.Errorf("%d requests are open, want 1", info.NumWaiting)
		}
		return err
	})
	emit(t, link, "x")
	receive(t, "the event", got)
}
