package web_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/testserver"
	"github.com/enoki-go/enoki/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noBroker lets a service join that has nothing but HTTP.
type noBroker struct{ broker.Broker }

func (noBroker) Join(context.Context, broker.Service) (broker.Member, error) { return noMember{}, nil }

type noMember struct{}

func (noMember) Ready() error                { return nil }
func (noMember) Leave(context.Context) error { return nil }

// syncBuffer is a log that several goroutines write.
type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// running is a service that serves HTTP on a port of its own.
type running struct {
	addr string
	log  *syncBuffer
	stop context.CancelFunc
	done chan error // receives what Run returned
}

func (r *running) url(path string) string { return "http://" + r.addr + path }

// run runs a service of these routes and stops it at the test's end.
func run(t *testing.T, o web.Options, eo enoki.Options, routes ...web.Route) *running {
	t.Helper()
	if o.Listener == nil {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		o.Listener = listener
	}
	r := &running{addr: o.Listener.Addr().String(), log: &syncBuffer{}, done: make(chan error, 1)}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	ready := make(chan struct{})
	eo.OnReady = func() { close(ready) }
	eo.Logger = slog.New(slog.NewTextHandler(r.log, nil))
	go func() {
		r.done <- enoki.Run(ctx, noBroker{}, &eo, enoki.NewService("api", web.Serve(&o, routes...)))
		close(r.done)
	}()
	t.Cleanup(func() {
		stop()
		<-r.done
		http.DefaultClient.CloseIdleConnections()
	})
	select {
	case <-ready:
	case err := <-r.done:
		t.Fatalf("the service did not start: %v", err)
	}
	return r
}

func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

type text struct{ Body string }

func TestHandlerRunsInService(t *testing.T) {
	var calls []string
	record := func(next enoki.Handler) enoki.Handler {
		return func(ctx context.Context, c *enoki.Call) error {
			calls = append(calls, fmt.Sprintf("%s %s %s %d", c.Kind, c.Service, c.Method, len(c.Args())))
			return next(ctx, c)
		}
	}
	r := run(t, web.Options{Timeout: time.Hour}, enoki.Options{Middleware: []enoki.Middleware{record}},
		web.Get("/id/{n}", func(ctx context.Context, in *struct {
			N int `path:"n"`
		}) (*text, error) {
			deadline, ok := ctx.Deadline()
			return &text{fmt.Sprintf("%d %s %v %v", in.N, enoki.CallID(ctx), ok, time.Until(deadline) > time.Minute)}, nil
		}),
		web.Handle("GET /plain", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, enoki.CallID(r.Context()))
		})),
	)
	res, body := get(t, r.url("/id/7"))
	want := fmt.Sprintf("\"7 api.GET /id/{n}.%s true true\"\n", res.Header.Get("X-Request-Id"))
	if body != want {
		t.Errorf("body %q, want %q", body, want)
	}
	res, body = get(t, r.url("/plain"))
	if want := "api.GET /plain." + res.Header.Get("X-Request-Id"); body != want {
		t.Errorf("body %q, want %q", body, want)
	}
	get(t, r.url("/id/x")) // refused before it takes a worker
	if want := []string{"http api GET /id/{n} 0", "http api GET /plain 0"}; !slices.Equal(calls, want) {
		t.Errorf("middleware saw %q, want %q", calls, want)
	}
}

func TestMiddlewareRefuses(t *testing.T) {
	refuse := func(enoki.Handler) enoki.Handler {
		return func(context.Context, *enoki.Call) error { return enoki.Errorf(enoki.Unauthenticated, "who are you?") }
	}
	reached := false
	r := run(t, web.Options{}, enoki.Options{Middleware: []enoki.Middleware{refuse}},
		web.Get("/typed", func(context.Context, *nothing) (*nothing, error) { reached = true; return nil, nil }),
		web.Handle("GET /plain", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true })),
	)
	for _, path := range []string{"/typed", "/plain"} {
		res, body := get(t, r.url(path))
		if p := wantProblem(t, res, body, 401); p.Detail != "who are you?" || reached {
			t.Errorf("%s: problem %+v, handler reached %v", path, p, reached)
		}
	}
}

func TestTimeout(t *testing.T) {
	wait := func(ctx context.Context, _ *nothing) (*text, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	unlimited := func(ctx context.Context, _ *nothing) (*text, error) {
		_, limited := ctx.Deadline()
		return &text{fmt.Sprint(limited)}, nil
	}
	r := run(t, web.Options{Timeout: time.Millisecond}, enoki.Options{},
		web.Get("/standard", wait),
		web.Get("/own", wait, web.Timeout(2*time.Millisecond)),
		web.Get("/none", unlimited, web.Timeout(-1)),
	)
	for _, path := range []string{"/standard", "/own"} {
		res, body := get(t, r.url(path))
		wantProblem(t, res, body, http.StatusGatewayTimeout)
	}
	if _, body := get(t, r.url("/none")); body != "\"false\"\n" {
		t.Errorf("deadline set: %s, want none", body)
	}
}

func TestTimeoutByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := web.NewHandler(nil, web.Get("/x", func(ctx context.Context, _ *nothing) (*text, error) {
			deadline, _ := ctx.Deadline()
			return &text{time.Until(deadline).String()}, nil
		}))
		if _, body := exchange(t, h, "GET", "/x", ""); body != "\"10s\"\n" {
			t.Errorf("a handler has %s, want 10s", body)
		}
	})
}

// A request that runs when the service has to stop is answered; a new one is
// not taken.
func TestStopDrains(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	r := run(t, web.Options{Timeout: -1}, enoki.Options{Grace: time.Hour}, web.Get("/slow", func(context.Context, *nothing) (*text, error) {
		close(entered)
		<-release
		return &text{"done"}, nil
	}))
	type outcome struct {
		status int
		body   string
		err    error
	}
	answered := make(chan outcome, 1)
	go func() {
		res, err := http.Get(r.url("/slow"))
		if err != nil {
			answered <- outcome{err: err}
			return
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		answered <- outcome{res.StatusCode, string(body), err}
	}()
	<-entered
	r.stop()
	eventually(t, "connections are refused", func() bool {
		c, err := net.Dial("tcp", r.addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	select {
	case err := <-r.done:
		t.Fatalf("Run returned (%v) before the request was answered", err)
	default:
	}
	close(release)
	if got := <-answered; got.err != nil || got.status != 200 || got.body != "\"done\"\n" {
		t.Errorf("the running request got %+v, want 200 done", got)
	}
	if err := <-r.done; err != nil {
		t.Errorf("Run: %v, want a clean stop", err)
	}
}

// What doesn't end within the grace period is cut off, and Run says so.
func TestStopCutsOff(t *testing.T) {
	entered, cancelled, release := make(chan struct{}), make(chan struct{}), make(chan struct{})
	r := run(t, web.Options{}, enoki.Options{Grace: 20 * time.Millisecond}, web.Get("/slow", func(ctx context.Context, _ *nothing) (*text, error) {
		close(entered)
		<-ctx.Done()
		close(cancelled)
		<-release
		return nil, ctx.Err()
	}))
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if res, err := http.Get(r.url("/slow")); err == nil {
			res.Body.Close()
		}
	}()
	<-entered
	r.stop()
	if err := <-r.done; err == nil || !strings.Contains(err.Error(), "requests were cut off") {
		t.Errorf("Run: %v, want that requests were cut off", err)
	}
	<-cancelled
	close(release)
	<-answered
}

func TestClientThatLeavesCancelsHandler(t *testing.T) {
	entered, cancelled := make(chan struct{}), make(chan struct{})
	r := run(t, web.Options{}, enoki.Options{}, web.Post("/slow", func(ctx context.Context, _ *textInput) (*text, error) {
		close(entered)
		<-ctx.Done()
		close(cancelled)
		return nil, ctx.Err()
	}))
	ctx, cancel := context.WithCancel(context.Background())
	req, _ := http.NewRequestWithContext(ctx, "POST", r.url("/slow"), strings.NewReader(`"x"`))
	req.Header.Set("Content-Type", "application/json")
	go func() {
		<-entered
		cancel()
	}()
	if res, err := http.DefaultClient.Do(req); err == nil {
		res.Body.Close()
	}
	<-cancelled
	eventually(t, "the log has status 499", func() bool { return strings.Contains(r.log.String(), "status=499") })
}

// slow opens a connection and sends the beginning of a request, then no more.
// It returns what the server says until it closes the connection.
func slow(t *testing.T, p *testserver.Pipes, beginning string) string {
	t.Helper()
	c, err := p.Dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, beginning); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("the server did not close the connection: %v", err)
	}
	return string(answer)
}

func TestSlowClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reached, p := make(chan struct{}, 1), testserver.NewPipes()
		run(t, web.Options{Listener: p, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, IdleTimeout: 5 * time.Second}, enoki.Options{},
			web.Post("/x", func(_ context.Context, in *textInput) (*text, error) {
				reached <- struct{}{}
				return &text{in.Body}, nil
			}))
		if got := slow(t, p, "POST /x HTTP/1.1\r\nHost: x\r\nX-Slow: "); strings.Contains(got, " 200 ") {
			t.Errorf("half a header got %q", got)
		}
		got := slow(t, p, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n\"half")
		if !strings.HasPrefix(got, "HTTP/1.1 408 ") || !strings.Contains(got, `"detail":"the body did not arrive in time"`) {
			t.Errorf("half a body got %q, want 408", got)
		}
		select {
		case <-reached:
			t.Error("the handler ran for half a request")
		default:
		}
		got = slow(t, p, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n\"x\"")
		if !strings.HasPrefix(got, "HTTP/1.1 200 ") { // and then is closed as idle
			t.Errorf("a whole request got %q", got)
		}
	})
}

// The time that a request may take to arrive is not the handler's.
func TestReadTimeoutSparesHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const readTimeout = time.Second
		late := func(ctx context.Context, _ *struct{ Body *string }) (*text, error) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(5 * readTimeout):
				return &text{"late"}, nil
			}
		}
		p := testserver.NewPipes()
		r := run(t, web.Options{Listener: p, ReadTimeout: readTimeout}, enoki.Options{}, web.Post("/x", late))
		client := &http.Client{Transport: &http.Transport{DialContext: p.Dial}}
		defer client.CloseIdleConnections()
		for _, body := range []string{`"x"`, ``} {
			res, err := client.Post(r.url("/x"), "application/json", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != 200 {
				t.Errorf("body %q: status %d, want 200", body, res.StatusCode)
			}
		}
	})
}

// Neither is the time for which a request waits for a worker, or its handler
// does something else, before it reads on.
func TestReadTimeoutSparesWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const readTimeout = time.Second
		p, entered := testserver.NewPipes(), make(chan struct{}, 1)
		r := run(t, web.Options{Listener: p, ReadTimeout: readTimeout, Timeout: -1}, enoki.Options{Workers: 1},
			web.Get("/busy", func(context.Context, *nothing) (*nothing, error) {
				entered <- struct{}{}
				time.Sleep(5 * readTimeout)
				return nil, nil
			}),
			web.Handle("POST /handle", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				half, err := io.ReadAll(io.LimitReader(r.Body, 10_000))
				time.Sleep(5 * readTimeout)
				rest, err2 := io.ReadAll(r.Body)
				fmt.Fprint(w, len(half)+len(rest), cmp.Or(err, err2))
			})),
			web.Plain("POST", "/plain", func(_ context.Context, r *http.Request) (*web.Text, error) {
				body, err := io.ReadAll(r.Body)
				return &web.Text{Body: fmt.Sprint(len(body), err)}, nil
			}))
		client := &http.Client{Transport: &http.Transport{DialContext: p.Dial}}
		defer client.CloseIdleConnections()
		for _, path := range []string{"/handle", "/plain"} {
			go func() {
				if res, err := client.Get(r.url("/busy")); err == nil {
					res.Body.Close()
				}
			}()
			<-entered
			res, err := client.Post(r.url(path), "text/plain", strings.NewReader(strings.Repeat("x", 20_000)))
			if err != nil {
				t.Fatal(err)
			}
			answer, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if got := strings.Join(strings.Fields(string(answer)), " "); got != "20000 <nil>" {
				t.Errorf("%s: %q, want the whole body", path, got)
			}
		}
	})
}

func TestMaxHeader(t *testing.T) {
	r := run(t, web.Options{}, enoki.Options{}, web.Get("/x", func(context.Context, *nothing) (*nothing, error) { return nil, nil }))
	for size, want := range map[int]int{60 << 10: 204, 80 << 10: http.StatusRequestHeaderFieldsTooLarge} {
		req, _ := http.NewRequest("GET", r.url("/x"), nil)
		req.Header.Set("X-Large", strings.Repeat("x", size))
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("header of %d bytes: %d, want %d", size, res.StatusCode, want)
		}
	}
}

// A client that does not read what it asked for is given up.
func TestWriteTimeout(t *testing.T) {
	ended := make(chan error, 1)
	r := run(t, web.Options{WriteTimeout: 50 * time.Millisecond}, enoki.Options{},
		web.Handle("GET /flood", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			block := make([]byte, 1<<20)
			for {
				if _, err := w.Write(block); err != nil {
					ended <- err
					return
				}
			}
		})))
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /flood HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !os.IsTimeout(err) {
		t.Errorf("write failed with %v, want a timeout", err)
	}
}

// A stream is sent as it is written, and may go on after its first write.
func TestStream(t *testing.T) {
	next := make(chan struct{})
	r := run(t, web.Options{}, enoki.Options{}, web.Handle("GET /stream", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "one")
		w.(http.Flusher).Flush()
		<-next
		fmt.Fprintln(w, "two")
	}), web.Timeout(-1)))
	res, err := http.Get(r.url("/stream"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	if line, err := lines.ReadString('\n'); line != "one\n" {
		t.Fatalf("first line %q (%v)", line, err)
	}
	close(next)
	if line, err := lines.ReadString('\n'); line != "two\n" {
		t.Fatalf("second line %q (%v)", line, err)
	}
	if res.Header.Get("X-Request-Id") == "" {
		t.Error("no X-Request-Id")
	}
}

func TestBusyPort(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.Addr().String()
	service := enoki.NewService("api", web.Serve(nil))
	err = enoki.Run(context.Background(), noBroker{}, &enoki.Options{HTTPAddress: addr, Logger: slog.New(slog.DiscardHandler)}, service)
	for _, want := range []string{`service "api"`, addr, "address already in use", "web.Options.Addr"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
}

func TestMistakeStopsStart(t *testing.T) {
	service := enoki.NewService("api", web.Serve(nil, web.Get("/x/{id}", func(context.Context, *nothing) (*nothing, error) { return nil, nil })))
	err := enoki.Run(context.Background(), noBroker{}, &enoki.Options{Logger: slog.New(slog.DiscardHandler)}, service)
	if err == nil || !strings.Contains(err.Error(), "route GET /x/{id} can't be served") {
		t.Errorf("Run: %v, want the route named", err)
	}
}

// A service holds no state of a run, so it can run again.
func TestRunTwice(t *testing.T) {
	service := enoki.NewService("api", web.Serve(&web.Options{Addr: "127.0.0.1:0"}))
	for range 2 {
		ctx, stop := context.WithCancel(context.Background())
		o := &enoki.Options{OnReady: stop, Logger: slog.New(slog.DiscardHandler)}
		if err := enoki.Run(ctx, noBroker{}, o, service); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDescribe(t *testing.T) {
	none := func(context.Context, *nothing) (*nothing, error) { return nil, nil }
	routes := []web.Route{web.Post("/a", none), web.Delete("/a", none), web.Patch("/b", none), web.Handle("/c/", http.NotFoundHandler())}
	service := enoki.NewService("api", web.Serve(nil, routes...))
	if got, want := lines(service), []string{"POST /a", "DELETE /a", "PATCH /b", "/c/", "GET /apidocs/"}; !slices.Equal(got, want) {
		t.Errorf("Describe() = %q, want %q", got, want)
	}
	service = enoki.NewService("api", web.Serve(&web.Options{NoDocs: true}, routes[0]))
	if got, want := lines(service), []string{"POST /a"}; !slices.Equal(got, want) {
		t.Errorf("Describe() = %q, want %q", got, want)
	}
}

// lines are what a service says of itself to people.
func lines(s *enoki.Service) []string {
	var all []string
	for _, d := range s.Describe() {
		all = append(all, d.Text)
	}
	return all
}

// eventually polls until ok, for what gives no event to wait for.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
