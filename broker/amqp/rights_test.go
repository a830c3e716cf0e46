package amqp

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/enoki-go/enoki/broker"
)

// restricted returns the address of a user with these rights and no others.
func restricted(t *testing.T, user string, r Rights) string {
	t.Helper()
	node := rabbit(t)
	for _, args := range [][]string{{"add_user", user, "secret"}, {"set_permissions", user, r.Configure, r.Write, r.Read}} {
		if _, err := node.Ctl(args...); err != nil {
			t.Fatal(err)
		}
	}
	u, err := url.Parse(node.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(user, "secret")
	return u.String()
}

// TestRestrictedUser: with the rights of RightsOf everything works that a
// service does.
func TestRestrictedUser(t *testing.T) {
	name := name("svc")
	about := broker.Instance{Name: name, ID: "1", Methods: []broker.Method{{Name: "m"}}, Emits: []broker.Event{{Source: name, Name: "e"}},
		Handles: []broker.Event{{Source: name, Name: "e"}, {Source: name, Name: "one", Mode: broker.Singleton}, {Source: name, Name: "all", Mode: broker.Broadcast}},
		Crons:   []broker.Cron{{Name: "nightly"}}}
	d := dial(t, Config{Owner: name, URL: restricted(t, name, RightsOf(Config{Owner: name}, about))})
	handled, buried := make(chan string, 10), make(chan broker.DeadLetter, 1)
	on := func(event string, mode broker.Mode) broker.Subscription {
		return broker.Subscription{Source: name, Event: event, Mode: mode, Handler: "on_" + event, Handle: func(_ context.Context, m *broker.Message) broker.Settlement {
			handled <- fmt.Sprintf("%s %d", m.Body, m.Attempt)
			switch {
			case m.Attempt == 1:
				return broker.Settlement{Verdict: broker.Retry, Delay: 200 * time.Millisecond}
			case event == "one":
				return broker.Settlement{Verdict: broker.Reject, Reason: "why"}
			}
			return broker.Settlement{}
		}}
	}
	m := join(t, d, broker.Service{Instance: about, Serve: echo, AtMostOnce: true, Buried: func(l broker.DeadLetter) { buried <- l },
		Subscriptions: []broker.Subscription{on("e", broker.Pool), on("one", broker.Singleton), on("all", broker.Broadcast)}})
	defer m.Leave(t.Context())
	ctx := within(t, patience)
	for _, req := range []*broker.Message{text("1"), {ContentType: jsonType, Instance: "1"}, {ContentType: jsonType, AtMostOnce: true}, {ContentType: jsonType, OneWay: true}} {
		if _, err := d.Call(ctx, name, "m", req); err != nil {
			t.Errorf("a call of %+v: %v", req, err)
		}
	}
	for _, event := range []string{"e", "one", "all"} {
		if err := d.Emit(ctx, name, event, &broker.Message{Body: []byte(event), Due: time.Now().Add(300 * time.Millisecond)}); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{event + " 1", event + " 2"} {
			if got := next(t, want, handled); got != want {
				t.Errorf("handled %s, want %s", got, want)
			}
		}
	}
	next(t, "a dead letter", buried)
	letters := heldLetters(t, d, broker.DeadLetterFilter{Service: name})
	if len(letters) != 1 {
		t.Errorf("there are %d dead letters, want 1", len(letters))
	}
	lock, err := d.Lock(ctx, "cron."+name+".nightly")
	if err != nil {
		t.Fatal(err)
	}
	lock.Release()
	instances, err := d.Services(ctx)
	if err != nil || !strings.Contains(fmt.Sprint(instances), name) {
		t.Errorf("Services: %v, %v", instances, err)
	}
	d.watcher.now(ctx)
	if err := d.Ready(); err != nil {
		t.Errorf("not ready: %v", err)
	}
	if err := d.Emit(ctx, "others", "e", text("1")); err == nil {
		t.Error("it may emit in the name of others")
	}
}

// TestControlRefused: a service whose user has no rights on the exchange
// enoki.control runs without it and says so.
func TestControlRefused(t *testing.T) {
	name := name("svc")
	about := broker.Instance{Name: name, ID: "1", Handles: []broker.Event{{Source: name, Name: "e"}}}
	r := RightsOf(Config{}, about)
	for _, expression := range []*string{&r.Configure, &r.Write, &r.Read} {
		*expression = strings.ReplaceAll(*expression, `enoki\.control`, "none")
	}
	var said syncBuffer
	d := dial(t, Config{URL: restricted(t, name, r), Logger: slog.New(slog.NewTextHandler(&said, nil))})
	m := join(t, d, broker.Service{Instance: about, Serve: echo, Subscriptions: []broker.Subscription{{Source: name, Event: "e", Handler: "h",
		Handle: func(context.Context, *broker.Message) broker.Settlement { return broker.Settlement{} }}}})
	if !strings.Contains(said.String(), "enoki.control") || !strings.Contains(said.String(), "enoki perms") {
		t.Errorf("the log does not say what is missing:\n%s", said.String())
	}
	if _, err := d.Call(within(t, patience), name, "m", text("1")); err != nil {
		t.Errorf("a call: %v", err)
	}
	if err := d.Emit(within(t, patience), name, "e", text("1")); err != nil {
		t.Errorf("an event: %v", err)
	}
	if err := d.Ready(); err != nil {
		t.Errorf("not ready: %v", err)
	}
	if err := m.Leave(within(t, patience)); err != nil {
		t.Error(err)
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
