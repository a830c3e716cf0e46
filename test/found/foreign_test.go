package found

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/testserver"
)

// TestNATSMessageWithoutHeaders: what a stranger puts where events wait, and
// where they are, ends no process. It is a dead letter of those who would
// handle it, and each of several is one.
func TestNATSMessageWithoutHeaders(t *testing.T) {
	letters := make(chan broker.DeadLetter, 10)
	o := enoki.Options{OnDeadLetter: func(l broker.DeadLetter) { letters <- l }}
	handled := make(chan int, 10)
	event := enoki.NewEvent[int]("strangers", "good")
	b := dialNATS(t, server.URL())
	run(t, b, o, enoki.NewService("stranger", enoki.On(event, func(_ context.Context, n int) error { handled <- n; return nil })))
	publishBare(t, "enoki.due.strangers.good", "enoki.due.strangers.good", "enoki.events.strangers.good", "enoki.due.x", "enoki.due.a.b.c")
	for n := range 3 {
		select {
		case l := <-letters:
			if l.Kind != broker.KindUnreadable || string(l.Message.Body) != "junk" {
				t.Errorf("letter of kind %q with the body %q", l.Kind, l.Message.Body)
			}
		case <-time.After(patience):
			t.Fatalf("%d dead letters, want 3", n)
		}
	}
	if err := client(t, b).Emit(t.Context(), event.Source, event.Name, 7); err != nil {
		t.Fatal(err)
	}
	select {
	case n := <-handled:
		if n != 7 {
			t.Errorf("handled %d, want 7", n)
		}
	case <-time.After(patience):
		t.Error("the event after them is not handled")
	}
}

// TestNATSReplyTooLarge: one final error at once, and an idempotent method runs
// once.
func TestNATSReplyTooLarge(t *testing.T) {
	replyTooLarge(t, 2<<20, func() broker.Broker { return dialNATS(t, server.URL()) })
}

// TestRabbitMQReplyTooLarge: the same, with our own limit and with a lower one
// of the broker.
func TestRabbitMQReplyTooLarge(t *testing.T) {
	t.Run("ours", func(t *testing.T) {
		replyTooLarge(t, 17<<20, func() broker.Broker { return dialRabbitMQ(t) })
	})
	t.Run("the broker's", func(t *testing.T) {
		if rabbit == nil {
			testserver.Skip(t, "RabbitMQ is not installed")
		}
		node := testserver.RabbitMQWith(t, testserver.RabbitMQSettings{Config: []string{"max_message_size = 1048576"}})
		replyTooLarge(t, 2<<20, func() broker.Broker { return dialRabbitMQAt(t, node.URL()) })
	})
}

func replyTooLarge(t *testing.T, size int, dial func() broker.Broker) {
	ran := make(chan struct{}, 10)
	run(t, dial(), enoki.Options{}, enoki.NewService("largereplies",
		enoki.Method("large", func(context.Context, int) (string, error) {
			ran <- struct{}{}
			return strings.Repeat("x", size), nil
		}, "n"),
		enoki.Method("takes", func(_ context.Context, s string) (int, error) { return len(s), nil }, "s")))
	var api struct {
		Large func(ctx context.Context, n int) (string, error) `rpc:"large" args:"n" idempotent:"true"`
		Takes func(ctx context.Context, s string) (int, error) `rpc:"takes" args:"s" idempotent:"true"`
	}
	if err := client(t, dial()).Bind("largereplies", &api); err != nil {
		t.Fatal(err)
	}
	for n := range 2 { // the first call learns what else the service takes
		_, err := api.Large(t.Context(), n)
		if enoki.CodeOf(err) != enoki.Internal || len(ran) != n+1 {
			t.Errorf("call %d ended with code %q, and the method ran %d times: %v", n+1, enoki.CodeOf(err), len(ran), err)
		}
		if _, err := api.Takes(t.Context(), strings.Repeat("x", size)); enoki.CodeOf(err) != enoki.InvalidArgument {
			t.Errorf("a request too large ended with code %q: %v", enoki.CodeOf(err), err)
		}
	}
}

// publishBare publishes junk without headers, as any program may, and returns
// when the server has it.
func publishBare(t *testing.T, subjects ...string) {
	t.Helper()
	u, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	said := "CONNECT {\"verbose\":false}\r\n"
	for _, subject := range subjects {
		said += "PUB " + subject + " 4\r\njunk\r\n"
	}
	if _, err := fmt.Fprint(conn, said, "PING\r\n"); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "PONG") {
			return
		}
	}
	t.Fatal("the server does not answer")
}
