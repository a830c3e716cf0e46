package host

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/internal/testserver"
)

func TestRabbitMQ(t *testing.T) {
	server := testserver.RabbitMQ(t)
	t.Run("with a file of Nameko's", func(t *testing.T) { testNamekoFile(t, server) })
	t.Run("with flags of Nameko's", func(t *testing.T) { testNamekoFlags(t, server) })
	t.Run("refuses us", func(t *testing.T) { testRefused(t, server) })
}

// testNamekoFile runs a service with nothing but a file of Nameko's and calls
// it through another exchange than the usual one.
func testNamekoFile(t *testing.T, server *testserver.Server) {
	u, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TEST_RABBIT_HOST", u.Host)
	path := filepath.Join(t.TempDir(), "config.yaml")
	file := "AMQP_URI: pyamqp://" + u.User.String() + "@${TEST_RABBIT_HOST}" + u.Path + "\nrpc_exchange: shop-rpc\nmax_workers: 3\nLOGGING: {version: 1}\n"
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	run := startWith(t, new(App), only(greeter()), "--config", path)
	if line := run.log.wait(t, "key of the config file is ignored"); !strings.HasPrefix(line["key"].(string), "LOGGING: ") {
		t.Error(line)
	}
	run.log.wait(t, "ready in ")
	for exchange, want := range map[string]enoki.Code{"shop-rpc": "", "": enoki.UnknownService} {
		b, err := (&Dialer{Logger: silent, RPCExchange: exchange}).Dial(t.Context(), server.URL())
		if err != nil {
			t.Fatal(err)
		}
		result, err := call(t, enoki.NewClient(b, nil))
		if enoki.CodeOf(err) != want || want == "" && result != `"hello Ada"` {
			t.Errorf("through exchange %q: %s, %v", exchange, result, err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// testNamekoFlags looks for what the broker has seen of the settings.
func testNamekoFlags(t *testing.T, server *testserver.Server) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	file := "AMQP_URI: " + server.URL() + "\nLOGIN_METHOD: AMQPLAIN\nAUTO_DELETE_EVENT_EXCHANGES: true\n"
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	posted := enoki.NewEvent[string]("comments", "posted")
	push := enoki.NewService("push", enoki.On(posted, func(context.Context, string) error { return nil }))
	run := startWith(t, new(App), only(push), "--config", path)
	run.log.wait(t, "ready in ")
	for _, look := range []struct {
		at   []string
		want string
	}{
		{[]string{"list_connections", "auth_mechanism"}, "AMQPLAIN"},
		{[]string{"list_exchanges", "name", "auto_delete"}, "comments.events\ttrue"},
	} {
		if out, err := server.Ctl(look.at...); err != nil || !strings.Contains(out, look.want) {
			t.Errorf("%v: no %q (%v) in\n%s", look.at, look.want, err, out)
		}
	}

	// The exchange is there with that flag, so another program needn't declare it.
	other := startWith(t, new(App), only(enoki.NewService("mail", enoki.On(posted, func(context.Context, string) error { return nil }))),
		"--broker", server.URL(), "--declare-event-exchanges=false")
	other.log.wait(t, "ready in ")

	wrong := startWith(t, new(App), only(greeter()), "--broker", server.URL(), "--login-method", "KERBEROS")
	if code := ExitCode(<-wrong.done); code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
}

func testRefused(t *testing.T, server *testserver.Server) {
	u, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("nobody", "hush")
	run := startWith(t, new(App), only(greeter()), "--broker", u.String())
	if code := ExitCode(<-run.done); code != 7 {
		t.Errorf("exit code %d, want 7", code)
	}
	run.log.wait(t, "stopped by an error")
	if strings.Contains(run.log.all(), "hush") {
		t.Errorf("the log shows the password:\n%s", run.log.all())
	}
}

func TestNATSServer(t *testing.T) {
	server := testserver.NATS(t)
	run := startWith(t, new(App), only(greeter()), "--broker", server.URL())
	run.log.wait(t, "ready in ")
	b, err := Dial(t.Context(), server.URL(), silent)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if result, err := call(t, enoki.NewClient(b, nil)); result != `"hello Ada"` {
		t.Error(result, err)
	}
}

func call(t *testing.T, c *enoki.Client) (string, error) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	result, err := c.Call(ctx, "greeter", "hello", []any{"Ada"}, nil)
	return string(result), err
}
