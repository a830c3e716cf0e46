package found

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/nats"
	"github.com/enoki-go/enoki/broker/nats/embedded"
	"github.com/enoki-go/enoki/internal/testserver"
)

// TestSentButNotConfirmed: an event that NATS may have stored, while its
// confirmation does not come, is of unknown outcome. It was deadline_exceeded,
// as if nothing had been stored.
func TestSentButNotConfirmed(t *testing.T) {
	deaf := newDeafProxy(t, strings.TrimPrefix(server.URL(), "nats://"))
	got := make(chan string, 1)
	posted := enoki.NewEvent[string]("unconfirmed", "posted")
	run(t, dialNATS(t, server.URL()), enoki.Options{}, enoki.NewService("unconfirmed-handler", enoki.On(posted, func(_ context.Context, s string) error {
		got <- s
		return nil
	})))
	link := dialNATS(t, "nats://"+deaf.address)
	emit := enoki.Emitter(client(t, link), posted)
	if err := emit(t.Context(), "before"); err != nil {
		t.Fatal(err)
	}
	<-got
	deaf.deaf.Store(true)
	heard := make(chan string, 1)
	late := &lateContext{Context: t.Context(), done: make(chan struct{})}
	go func() {
		select {
		case s := <-got: // it is stored
			heard <- s
		case <-time.After(patience):
		}
		close(late.done)
	}()
	err := emit(late, "unheard")
	if enoki.CodeOf(err) != enoki.UnknownOutcome || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got code %s of %v, want unknown_outcome, because of the deadline", enoki.CodeOf(err), err)
	}
	select {
	case s := <-heard:
		if s != "unheard" {
			t.Errorf("got event %q", s)
		}
	default:
		t.Error("the event was not stored, so this test shows nothing")
	}
}

// lateContext is a context whose deadline passes when done is closed.
type lateContext struct {
	context.Context
	done chan struct{}
}

func (c *lateContext) Deadline() (time.Time, bool) { return time.Now().Add(patience), true }

func (c *lateContext) Done() <-chan struct{} { return c.done }

func (c *lateContext) Err() error {
	select {
	case <-c.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// TestNATSWithoutItsStreams: a server that comes back with an empty store gets
// its streams and consumers again, within seconds. It never did: one deadline
// was for five streams, and each took a second of it.
func TestNATSWithoutItsStreams(t *testing.T) {
	var up *embedded.Server
	t.Cleanup(func() { up.Shutdown() }) // after the services have stopped
	start := func(port int) *embedded.Server {
		s, err := embedded.Start(embedded.Options{Dir: t.TempDir(), Port: port, Fast: true, Open: true, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		up = s
		return s
	}
	first := start(-1)
	address, err := url.Parse(first.URL())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(address.Port())
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 100)
	handle := func(_ context.Context, s string) error {
		got <- s
		return nil
	}
	var parts []enoki.Part
	var events []enoki.Event[string]
	for _, source := range []string{"orders", "stock", "mails"} {
		events = append(events, enoki.NewEvent[string](source, "changed"))
		parts = append(parts, enoki.Subscription[string]{Event: events[len(events)-1], Handle: handle, Name: "on_" + source})
	}
	link := dialNATS(t, first.URL())
	run(t, link, enoki.Options{}, enoki.NewService("shop", parts...))
	client := enoki.NewClient(link, &enoki.Options{Logger: quiet, Timeout: 2 * time.Second})
	reach := func(when string) {
		t.Helper()
		began := time.Now()
		for _, ev := range events {
			emit := enoki.Emitter(client, ev)
			for came := false; !came; {
				if time.Since(began) > patience {
					t.Fatalf("%s: no event comes of %v", when, ev)
				}
				if err := emit(t.Context(), when); err != nil {
					continue
				}
				select {
				case <-got:
					came = true
				case <-time.After(time.Second): // dropped, before its consumer was back
				}
			}
		}
		t.Logf("%s: all events come after %v", when, time.Since(began))
	}
	reach("before")
	first.Shutdown()
	start(port)
	reach("after")
	for began := time.Now(); link.Ready() != nil; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatal(link.Ready())
		}
	}
}

// TestForgottenSubscription: a service that subscribed once and never comes
// back stops the events of the one source it has subscribed to, by an error
// that names it. All events of all services were refused.
func TestForgottenSubscription(t *testing.T) {
	s, err := embedded.Start(embedded.Options{Dir: t.TempDir(), Port: -1, Fast: true, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	dial := func() broker.Broker {
		b, err := nats.Dial(t.Context(), nats.Config{URL: s.URL(), Logger: quiet, EventBytes: 1 << 20})
		return linked(t, b, err)
	}
	a, b := enoki.NewEvent[string]("a", "ev"), enoki.NewEvent[string]("b", "ev")
	got := make(chan string, 10)
	run(t, dial(), enoki.Options{}, enoki.NewService("forgotten", enoki.Subscription[string]{Event: a, Handle: func(context.Context, string) error { return nil }, Name: "on_ev"}))()
	run(t, dial(), enoki.Options{}, enoki.NewService("billing", enoki.On(b, func(_ context.Context, s string) error {
		got <- s
		return nil
	})))
	link := dial()
	client := client(t, link)
	emitA, emitB := enoki.Emitter(client, a), enoki.Emitter(client, b)
	text := strings.Repeat("x", 8000)
	stored := 0
	for ; err == nil && stored < 1000; stored++ {
		err = emitA(t.Context(), text)
	}
	stored--
	if enoki.CodeOf(err) != enoki.NotDelivered || !strings.Contains(err.Error(), "forgotten.on_ev") || !strings.Contains(err.Error(), strconv.Itoa(stored)) {
		t.Errorf("got error %v after %d events, want not_delivered that names forgotten.on_ev and how much waits for it", err, stored)
	}
	for range 5 {
		if err := emitB(t.Context(), text); err != nil {
			t.Fatalf("another source can't emit: %v", err)
		}
		<-got
	}
	backlog, err := link.Backlog(t.Context())
	want := broker.Waiting{Service: "forgotten", Handler: "on_ev", Source: "a", Event: "ev", Events: uint64(stored)}
	if err != nil || !slices.Contains(backlog.Waiting, want) {
		t.Errorf("the backlog is %+v, %v, want %+v in it", backlog, err, want)
	}
	room := func(s broker.Store) bool {
		return s.Name == "ENOKI_EVENTS_a" && s.Limit == 1<<20 && s.Used <= s.Limit && s.Used > s.Limit-10_000
	}
	if !slices.ContainsFunc(backlog.Stores, room) {
		t.Errorf("the stores are %+v, want a full ENOKI_EVENTS_a", backlog.Stores)
	}
}

// TestGreatestForeignMessage: an event of 1,048,576 bytes that can't be read
// becomes a dead letter. With what a dead letter says it was too large for one,
// and came again every second.
func TestGreatestForeignMessage(t *testing.T) {
	const size = 1 << 20
	s := testserver.NATS(t)
	link := dialNATS(t, s.URL())
	posted := enoki.NewEvent[string]("foreign", "posted")
	run(t, link, enoki.Options{}, enoki.NewService("reader", enoki.On(posted, func(context.Context, string) error { return nil })))
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "CONNECT {}\r\nPUB enoki.events.foreign.posted "+strconv.Itoa(size)+"\r\n"+strings.Repeat("{", size)+"\r\n"); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		for letter, err := range link.DeadLetters(t.Context(), broker.DeadLetterFilter{}) {
			if err != nil {
				t.Fatal(err)
			}
			if len(letter.Message.Body) != size {
				t.Errorf("the dead letter has %d bytes, want %d", len(letter.Message.Body), size)
			}
			return
		}
		if time.Since(began) > patience {
			t.Fatal("there is no dead letter")
		}
	}
}

// deafProxy stands between a client and a server. Once it is deaf, what the
// server says is lost.
type deafProxy struct {
	address string
	deaf    atomic.Bool
}

func newDeafProxy(t *testing.T, server string) *deafProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &deafProxy{address: l.Addr().String()}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go p.pass(client, server)
		}
	}()
	return p
}

func (p *deafProxy) pass(client net.Conn, address string) {
	defer client.Close()
	server, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(server, client) // until the client has gone
		server.Close()
	}()
	_, _ = io.Copy(hearing{client, &p.deaf}, server) // until one of them has gone
}

// hearing writes only while it is not deaf.
type hearing struct {
	io.Writer
	deaf *atomic.Bool
}

func (h hearing) Write(b []byte) (int, error) {
	if h.deaf.Load() {
		return len(b), nil
	}
	return h.Writer.Write(b)
}
