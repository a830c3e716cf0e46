package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker/nats/embedded"
	"github.com/enoki-go/enoki/host"
	"github.com/enoki-go/enoki/internal/testserver"
)

// testTimeout ends a test that waits for something that does not come. A
// build of a program on a busy machine takes the longest of it.
const testTimeout = 3 * time.Minute

// transcript is output that a test can wait for.
type transcript struct {
	mu      sync.Mutex
	text    bytes.Buffer
	written chan struct{} // closed and replaced at each write

	ended <-chan struct{} // closed once nothing more is written
}

func newTranscript(ended <-chan struct{}) *transcript {
	return &transcript{written: make(chan struct{}), ended: ended}
}

func (s *transcript) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.written)
	s.written = make(chan struct{})
	return s.text.Write(text)
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// await waits until the n-th want has been written.
func (s *transcript) await(t *testing.T, want string, n int) {
	t.Helper()
	deadline := time.After(testTimeout)
	for {
		s.mu.Lock()
		text, written := s.text.String(), s.written
		s.mu.Unlock()
		if strings.Count(text, want) >= n {
			return
		}
		select {
		case <-written:
		case <-s.ended:
			if s.String() == text {
				t.Fatalf("it ended, and %q did not come %d times in:\n%s", want, n, text)
			}
		case <-deadline:
			t.Fatalf("%q did not come %d times in:\n%s", want, n, text)
		}
	}
}

// session is a run of the command in this process.
type session struct {
	stdout, stderr *transcript
	interrupt      func() // Ctrl-C
	kill           func() // the second one
	code           chan int
}

// start runs the command with what change sets, and returns while it runs.
func start(t *testing.T, change func(*cli), args ...string) *session {
	t.Helper()
	soft, interrupt := context.WithCancel(context.Background())
	hard, kill := context.WithCancel(context.Background())
	done := make(chan struct{})
	s := &session{stdout: newTranscript(done), stderr: newTranscript(done), interrupt: interrupt, kill: kill, code: make(chan int, 1)}
	c := newCLI(hard, strings.NewReader(""), s.stdout, s.stderr)
	c.completing = testTimeout
	if change != nil {
		change(c)
	}
	go func() {
		defer close(done)
		s.code <- c.run(soft, args)
	}()
	t.Cleanup(func() {
		interrupt()
		kill()
		<-done
	})
	return s
}

// wait returns the exit code once the command has ended.
func (s *session) wait(t *testing.T) int {
	t.Helper()
	select {
	case code := <-s.code:
		return code
	case <-time.After(testTimeout):
		t.Fatalf("it does not end\nstdout: %s\nstderr: %s", s.stdout, s.stderr)
		return 0
	}
}

// run runs the command to its end.
func run(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	s := start(t, func(c *cli) { c.stdin = strings.NewReader(stdin) }, args...)
	code = s.wait(t)
	return s.stdout.String(), s.stderr.String(), code
}

// must is run of what has to succeed.
func must(t *testing.T, args ...string) (stdout string) {
	t.Helper()
	stdout, stderr, code := run(t, "", args...)
	if code != 0 {
		t.Fatalf("enoki %s ends with %d: %s", strings.Join(args, " "), code, stderr)
	}
	return stdout
}

// brokers are those that commands must work with.
var brokers = map[string]func(*testing.T) string{
	"embedded": startEmbedded,
	"nats":     func(t *testing.T) string { return testserver.NATS(t).URL() },
	"rabbitmq": func(t *testing.T) string { return testserver.RabbitMQ(t).URL() },
}

func startEmbedded(t *testing.T) string {
	t.Helper()
	server, err := embedded.Start(embedded.Options{Dir: t.TempDir(), Port: -1, Logger: quietLogger()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	return server.URL()
}

func quietLogger() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

type profile struct {
	Name    string `json:"name"`
	Country string `json:"country"`
}

type comment struct {
	ArticleID int    `json:"article_id"`
	Content   string `json:"content"`
}

var posted = enoki.NewEvent[comment]("comments", "posted")

// withoutBroker has commands find what runs for a user of the test's own.
func withoutBroker(t *testing.T) {
	t.Helper()
	for _, name := range []string{brokerVariable, storeDirVariable} {
		t.Setenv(name, "") // restored in the end
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("XDG_STATE_HOME", t.TempDir())
}

// serve runs services to call, until the test ends, and returns once they
// take work.
func serve(t *testing.T, url string) {
	t.Helper()
	serveThese(t, url, demoServices()...)
}

// serveThese is serve with services of the test's own.
func serveThese(t *testing.T, url string, services ...*enoki.Service) {
	t.Helper()
	t.Cleanup(serveUntil(t, url, services...))
}

// serveUntil runs services until stop is called.
func serveUntil(t *testing.T, url string, services ...*enoki.Service) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b, err := host.Dial(ctx, url, quietLogger())
	if err != nil {
		t.Fatal(err)
	}
	ready, ended := make(chan struct{}), make(chan error, 1)
	options := &enoki.Options{Logger: quietLogger(), OnReady: func() { close(ready) }}
	go func() { ended <- enoki.Run(ctx, b, options, services...) }()
	stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("services: %v", err)
		}
		if err := b.Close(); err != nil {
			t.Errorf("close the broker: %v", err)
		}
	}
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		stop()
		t.Fatalf("services did not start: %v", err)
	}
	return stop
}

func demoServices() []*enoki.Service {
	var emit enoki.Emit[comment]
	return []*enoki.Service{
		enoki.NewService("register",
			enoki.Method("check_registered", checkRegistered, "u_id"),
			enoki.Method("count", func(context.Context) (int64, error) { return 9007199254740993, nil })),
		enoki.NewService("push",
			enoki.Method("push", push, "u_id", "content", "urgent?"),
			enoki.On(posted, func(context.Context, comment) error { return nil })),
		enoki.NewService("comments", enoki.Emits(posted, &emit)),
	}
}

func checkRegistered(_ context.Context, id string) (*profile, error) {
	switch id {
	case "7434029":
		return &profile{Name: "Ada", Country: "GB"}, nil
	case "":
		return nil, enoki.Errorf(enoki.InvalidArgument, "u_id is empty")
	}
	return nil, nil
}

func push(_ context.Context, id, _ string, _ bool) (bool, string, error) {
	if id == "7434029" {
		return true, "push success.", nil
	}
	return false, "not registered.", nil
}

// awaitAnswer calls greeter.hello until it answers as wanted: the old process
// may still answer, or none.
func awaitAnswer(t *testing.T, url, want string) {
	t.Helper()
	var where []string // the broker of this project without a URL
	if url != "" {
		where = []string{"--broker", url}
	}
	must(t, append(where, "services", "greeter", "--wait", testTimeout.String())...)
	for deadline := time.Now().Add(testTimeout); ; {
		stdout, stderr, _ := run(t, "", append(where, "call", "greeter.hello", "name=Ada", "--timeout", "2s")...)
		if strings.TrimSpace(stdout) == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("greeter.hello answers %q %q, want %q", stdout, stderr, want)
		}
	}
}
