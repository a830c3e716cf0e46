package wire

import (
	"context"
	"net"
	"net/url"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/enoki-go/enoki/internal/testserver"
)

// patience bounds every wait: RabbitMQ and its tools take seconds on a busy
// machine.
const patience = time.Minute

// node is the RabbitMQ of all tests here; nil when none is installed.
var node *testserver.Server

func TestMain(m *testing.M) {
	testserver.Main(m, testserver.Started(&node, testserver.StartRabbitMQ))
}

// noLeaks fails a test that leaves a goroutine behind.
func noLeaks(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// next returns what comes from ch, or fails the test when nothing does.
func next[T any](t testing.TB, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("not reached")
	}
}

// address returns where RabbitMQ listens, or skips the test when there is none.
func address(t testing.TB) string {
	t.Helper()
	if node == nil {
		testserver.Skip(t, "RabbitMQ is not installed")
	}
	u, err := url.Parse(node.URL())
	must(t, err)
	return u.Host
}

func guest(c Config) Config {
	if c.Logins == nil {
		c.Logins = []Login{Plain("guest", "guest")}
	}
	c.VHost = "/"
	return c
}

func open(t testing.TB, c Config) *Conn {
	t.Helper()
	socket, err := net.Dial("tcp", address(t))
	must(t, err)
	conn, err := Open(within(t), socket, guest(c))
	must(t, err)
	t.Cleanup(func() { conn.Close(within(t)) })
	return conn
}

func channel(t testing.TB, c *Conn) *Channel {
	t.Helper()
	ch, err := c.Channel(within(t))
	must(t, err)
	return ch
}
