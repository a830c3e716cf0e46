package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/entrypoint"
	"github.com/enoki-go/enoki/internal/testserver"
)

func greeter() *enoki.Service {
	return enoki.NewService("greeter", enoki.Method("hello", func(_ context.Context, name string) (string, error) {
		return "hello " + name, nil
	}, "name"))
}

func only(services ...*enoki.Service) func() ([]*enoki.Service, error) {
	return func() ([]*enoki.Service, error) { return services, nil }
}

// running is an App.Run in the background.
type running struct {
	log  *logLines
	stop context.CancelFunc
	done chan error
}

// start runs on a broker in memory, unless args say otherwise.
func start(t *testing.T, a *App, build func() ([]*enoki.Service, error), args ...string) *running {
	t.Helper()
	return startWith(t, a, build, append([]string{"--broker=memory:"}, args...)...)
}

func startWith(t *testing.T, a *App, build func() ([]*enoki.Service, error), args ...string) *running {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r, w := io.Pipe()
	run := &running{log: readLog(r), stop: stop, done: make(chan error, 1)}
	args = append([]string{"--log-format=json", "--admin=127.0.0.1:0"}, args...)
	go func() {
		err := a.Run(ctx, args, io.Discard, w, build)
		_ = w.Close()
		run.done <- err
		close(run.done)
	}()
	t.Cleanup(func() { stop(); <-run.done })
	return run
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	resp, err := http.Get(url) //nolint:noctx // of a test on loopback
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestRunFromStartToStop(t *testing.T) {
	var app App
	greeting := app.String("greeting", "hello", "what to say")
	run := start(t, &app, func() ([]*enoki.Service, error) {
		if *greeting != "hi" {
			t.Errorf("greeting is %q when build is called", *greeting)
		}
		return []*enoki.Service{greeter()}, nil
	}, "--greeting=hi", "--memory=64MiB")

	if line := run.log.wait(t, "serves "); line["service"] != "greeter" || line["msg"] != "serves rpc hello(name)" {
		t.Errorf("start-up line is %v", line)
	}
	ready := run.log.wait(t, "ready in ")
	if ready["broker"] != "memory:" {
		t.Errorf("ready line is %v", ready)
	}
	admin := fmt.Sprint(ready["admin"])
	for path, want := range map[string]string{
		"/livez": "ok\n", "/healthz": "ok\n", "/readyz": "ok\n", "/livez?verbose": "ok\n",
		"/readyz?verbose": "[+] broker: ok\n[+] services: ok\n[+] drain: ok\n[=] enoki_broker_blocked 0\n[=] enoki_memory_bytes 67108864\n[=] enoki_memory_used_bytes 0\nready\n",
	} {
		if status, body := get(t, admin+path); status != 200 || body != want {
			t.Errorf("%s: %d %q, want %q", path, status, body, want)
		}
	}
	if _, body := get(t, admin+"/metrics"); !strings.Contains(body, "enoki_ready 1") || !strings.Contains(body, "go_goroutines") {
		t.Errorf("metrics are\n%s", body)
	}
	if status, _ := get(t, admin+"/"); status != http.StatusNotFound {
		t.Errorf("/: %d", status)
	}

	run.stop()
	run.log.wait(t, "stopping")
	run.log.wait(t, "stopped")
	if err := <-run.done; err != nil {
		t.Error(err)
	}
	if _, err := http.Get(admin + "/livez"); err == nil { //nolint:noctx,bodyclose // there is no answer
		t.Error("the admin address answers after the end")
	}
}

func TestSecondProcessTakesAnotherAdminPort(t *testing.T) {
	l, err := net.Listen("tcp", defaultAdmin)
	taken := err == nil // else another process has it, which may give it up at any time
	if taken {
		defer l.Close()
	}
	run := start(t, new(App), only(greeter()), "--admin="+defaultAdmin)
	if admin := run.log.wait(t, "ready in ")["admin"]; taken && admin == "http://"+defaultAdmin {
		t.Error("two listen on", admin)
	} else if status, _ := get(t, fmt.Sprint(admin, "/livez")); status != 200 {
		t.Error(status)
	}
}

func TestAdminOff(t *testing.T) {
	run := start(t, new(App), only(greeter()), "--admin=off")
	if line := run.log.wait(t, "ready in "); line["admin"] != "off" {
		t.Error(line)
	}
}

func TestWaitingForABrokerThatIsNotThere(t *testing.T) {
	address := testserver.Address(t)
	run := start(t, new(App), only(greeter()), "--broker=nats://u:hush@"+address)
	line := run.log.wait(t, "waiting for the broker")
	if line["broker"] != "nats://u:xxxxx@"+address {
		t.Errorf("the log line is %v", line)
	}
	admin := fmt.Sprint(line["admin"])
	strange, _ := http.NewRequestWithContext(t.Context(), "GET", admin+"/metrics", nil)
	strange.Host = "evil.example" // a page's own name, that leads to this machine
	if res, err := http.DefaultClient.Do(strange); err != nil || res.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("a stranger's name: %v, %v", res, err)
	} else {
		res.Body.Close()
	}
	if status, body := get(t, admin+"/readyz"); status != 503 || !strings.Contains(body, "[-] broker: not connected yet") {
		t.Errorf("/readyz: %d %s", status, body)
	}
	if status, _ := get(t, admin+"/livez"); status != 200 {
		t.Errorf("/livez: %d", status)
	}
	run.stop()
	if err := <-run.done; err != nil {
		t.Errorf("stopped while it waits: %v", err)
	}
}

func TestReadiness(t *testing.T) {
	var r readiness
	steps := []struct {
		do   func()
		want error
	}{
		{func() {}, errNotConnected},
		{func() { r.connected(func() error { return errors.New("link to\namqp://u:hush@h lost") }) }, errors.New("link to\namqp://u:hush@h lost")},
		{func() { r.connected(func() error { return nil }) }, errStarting},
		{r.start, nil},
		{r.drain, errDraining},
	}
	for i, s := range steps {
		s.do()
		if got := r.err(); fmt.Sprint(got) != fmt.Sprint(s.want) {
			t.Errorf("step %d: %v, want %v", i, got, s.want)
		}
	}
	r.connected(func() error { return errors.New("link to\namqp://u:hush@h lost") })
	page := httptest.NewRecorder()
	answerReady(page, httptest.NewRequest("GET", "/readyz?verbose", nil), &r, new(survey))
	want := "[-] broker: link to amqp://u:xxxxx@h lost\n[+] services: ok\n[-] drain: stopping: no new work, please\nnot ready\n"
	if page.Code != http.StatusServiceUnavailable || page.Body.String() != want {
		t.Errorf("%d %q, want %q", page.Code, page.Body, want)
	}
}

func TestMetricsOfHandlersAndCalls(t *testing.T) {
	var hello func(ctx context.Context, name string) (string, error)
	type contract struct {
		Hello func(ctx context.Context, name string) (string, error) `rpc:"hello" args:"name"`
		Fail  func(ctx context.Context) error                        `rpc:"fail"`
	}
	var needs contract
	callee := enoki.NewService("callee", enoki.RPC(contract{
		Hello: func(_ context.Context, name string) (string, error) { return name, nil },
		Fail:  func(context.Context) error { return enoki.NotFound },
	}))
	called := make(chan struct{})
	caller := enoki.NewService("caller", enoki.Needs("callee", &needs), enoki.Extend(onStart(func(ctx context.Context) {
		hello = needs.Hello
		_, _ = hello(ctx, "x")
		_ = needs.Fail(ctx)
		close(called)
	})))
	run := start(t, new(App), only(callee, caller))
	admin := fmt.Sprint(run.log.wait(t, "ready in ")["admin"])
	<-called
	_, body := get(t, admin+"/metrics")
	for _, want := range []string{
		`enoki_handled_total{code="ok",kind="rpc",method="hello",service="callee"} 1`,
		`enoki_handled_total{code="not_found",kind="rpc",method="fail",service="callee"} 1`,
		`enoki_called_total{code="ok",kind="rpc",method="hello",service="callee"} 1`,
		`enoki_called_total{code="not_found",kind="rpc",method="fail",service="callee"} 1`,
		`enoki_handle_seconds_count{kind="rpc",method="hello",service="callee"} 1`,
		`enoki_handling{service="callee"} 0`,
		`enoki_calling{service="callee"} 0`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestDeadLettersAreCountedAndLogged(t *testing.T) {
	sold := enoki.NewEvent[string]("shop", "sold")
	var emit enoki.Emit[string]
	release := make(chan struct{}) // so that the letter comes after the line that is waited for first
	shop := enoki.NewService("shop", enoki.Emits(sold, &emit),
		enoki.On(sold, func(context.Context, string) error {
			<-release
			return enoki.Permanent(errors.New("no stock"))
		}),
		enoki.Extend(onStart(func(ctx context.Context) { _ = emit(ctx, "pen") })))
	run := start(t, new(App), only(shop))
	admin := fmt.Sprint(run.log.wait(t, "ready in ")["admin"])
	close(release)
	line := run.log.wait(t, "dead letter kept")
	if line["reason"] != "no stock" || line["failure"] != "unknown" || line["handler"] != "on_sold" || line["letter"] == "" {
		t.Errorf("the log says %v", line)
	}
	if _, body := get(t, admin+"/metrics"); !strings.Contains(body, `enoki_dead_letters_total{handler="on_sold",service="shop"} 1`) {
		t.Errorf("it is not counted in\n%s", body)
	}
}

// onStart is an entrypoint that does something once, at start.
type onStart func(ctx context.Context)

func (f onStart) Start(ctx context.Context, _ *entrypoint.Scope) error { f(ctx); return nil }
func (onStart) Stop(context.Context) error                             { return nil }
func (onStart) Describe() []entrypoint.Description                     { return nil }
func (onStart) Check() error                                           { return nil }

func TestMiddlewareCountsAPanicAsInternal(t *testing.T) {
	var code string
	mw := measure(func(string, string, string) func(string) { return func(c string) { code = c } })
	func() {
		defer func() { _ = recover() }()
		_ = mw(func(context.Context, *enoki.Call) error { panic("x") })(context.Background(), &enoki.Call{})
	}()
	if code != string(enoki.Internal) {
		t.Errorf("counted as %q", code)
	}
}

func TestErrorsAndTheirExitCodes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, c := range map[string]struct {
		args  []string
		build func() ([]*enoki.Service, error)
		code  int
		say   string
	}{
		"unknown flag":     {[]string{"--nope"}, only(greeter()), 2, "prog: unknown flag --nope"},
		"bad setting":      {[]string{"--workers=0"}, only(greeter()), 2, "prog: --workers: want 1 or more, have 0"},
		"no service":       {nil, only(), 1, "no service to run; give Main at least one"},
		"bad service":      {nil, only(enoki.NewService("1")), 1, `service \"1\" cannot start`},
		"build fails":      {nil, func() ([]*enoki.Service, error) { return nil, errors.New("no store") }, 1, "no store"},
		"build has a code": {nil, func() ([]*enoki.Service, error) { return nil, enoki.Errorf(enoki.PermissionDenied, "no") }, 6, "no"},
		"no broker":        {[]string{"--broker=embedded:?port=0&dir=" + dir}, only(greeter()), 7, dir},
		"admin taken":      {[]string{"--admin=" + taken.Addr().String()}, only(greeter()), 1, "choose another --admin address, or off"},
		"no TLS file":      {[]string{"--tls-ca=/not/there"}, only(greeter()), 1, "tls-ca: open /not/there"},
		"empty TLS file":   {[]string{"--tls-ca=" + dir}, only(greeter()), 1, "tls-ca: no certificate (PEM) in " + dir},
	} {
		t.Run(name, func(t *testing.T) {
			var out, log bytes.Buffer
			args := append([]string{"--log-format=json", "--broker=memory:", "--admin=127.0.0.1:0"}, c.args...)
			err := (&App{Name: "prog"}).Run(context.Background(), args, &out, &log, c.build)
			if got := ExitCode(err); got != c.code {
				t.Errorf("exit code %d, want %d (%v)", got, c.code, err)
			}
			if !strings.Contains(log.String(), c.say) || out.Len() > 0 {
				t.Errorf("it says %q and %q, want %q", log.String(), out.String(), c.say)
			}
		})
	}
	if ExitCode(nil) != 0 || ExitCode(context.DeadlineExceeded) != 124 {
		t.Error("exit codes of nil and of an exceeded grace")
	}
}

func TestHelpAndVersion(t *testing.T) {
	app := App{Name: "prog", Version: "v1.2.3"}
	app.String("store", "bolt:x.db", "`URL` of the store")
	var help, version, log bytes.Buffer
	if err := app.Run(context.Background(), []string{"--help"}, &help, &log, nil); err != nil {
		t.Fatal(err)
	}
	if err := app.Run(context.Background(), []string{"--version"}, &version, &log, nil); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"  --store URL, $ENOKI_STORE\n      URL of the store (default bolt:x.db)\n", "  --drain-delay duration, $ENOKI_DRAIN_DELAY\n", "(default 127.0.0.1:9464)"} {
		if !strings.Contains(help.String(), want) {
			t.Errorf("no %q in\n%s", want, help.String())
		}
	}
	for line := range strings.Lines(help.String()) {
		if len(line) > helpWidth+1 {
			t.Errorf("line of %d bytes: %s", len(line), line)
		}
	}
	for _, s := range newLayers(nil).settings {
		if !strings.Contains(help.String(), "--"+s.name) || !strings.Contains(help.String(), "$"+s.env()) {
			t.Errorf("--help does not show %s", s.name)
		}
	}
	if !strings.HasPrefix(version.String(), "prog v1.2.3 ") || log.Len() > 0 {
		t.Errorf("version %q, log %q", version.String(), log.String())
	}
}

func TestAppMayRunTwice(t *testing.T) {
	var app App
	n := app.Int("n", 1, "a number")
	var seen []int
	for _, args := range [][]string{{"--n=2"}, {}} {
		_ = app.Run(context.Background(), args, io.Discard, io.Discard, func() ([]*enoki.Service, error) {
			seen = append(seen, *n)
			return nil, errors.New("enough")
		})
	}
	if len(seen) != 2 || seen[0] != 2 || seen[1] != 1 {
		t.Errorf("n was %v", seen)
	}
}

func TestLoggerFollowsTheSettings(t *testing.T) {
	var app App
	if app.Logger() != slog.Default() {
		t.Error("before a run there is another logger than the default one")
	}
	var log bytes.Buffer
	_ = app.Run(context.Background(), []string{"--log-format=json", "--log-level=warn"}, io.Discard, &log, func() ([]*enoki.Service, error) {
		app.Logger().Info("not this")
		app.Logger().Warn("but this")
		return nil, errors.New("enough")
	})
	if text := log.String(); strings.Contains(text, "not this") || !strings.Contains(text, `"but this"`) {
		t.Errorf("the log is %s", text)
	}
}
