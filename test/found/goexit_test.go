package found

import (
	"context"
	"errors"
	"io"
	"iter"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	coder "github.com/coder/websocket"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/web"
	"github.com/enoki-go/enoki/websocket"
)

// exits ends the goroutine of its caller, as t.FailNow does.
func exits() { runtime.Goexit() }

// wantFailure ends the test unless err is what a handler's panic would be.
func wantFailure(t *testing.T, what string, err error) {
	t.Helper()
	if enoki.CodeOf(err) != enoki.Internal || !strings.Contains(err.Error(), broker.ErrExited.Error()) {
		t.Fatalf("%s: got error %v with code %q, want %v with code internal", what, err, enoki.CodeOf(err), broker.ErrExited)
	}
}

// TestGoexitInAMethod: the caller has an error at once, the worker serves on,
// and so does one whose middleware exits.
func TestGoexitInAMethod(t *testing.T) {
	onEveryBroker(t, func(t *testing.T, dial func() broker.Broker) {
		var api struct {
			Numbers func(ctx context.Context) (iter.Seq2[int, error], error) `rpc:"numbers"`
			Opens   func(ctx context.Context) (iter.Seq2[int, error], error) `rpc:"opens"`
		}
		s := enoki.NewService("exits",
			enoki.Method("handler", func(context.Context) error { exits(); return nil }),
			enoki.Method("middle", func(context.Context) error { return nil }),
			enoki.Method("numbers", func(context.Context) (iter.Seq2[int, error], error) {
				return func(yield func(int, error) bool) { yield(1, nil); exits() }, nil
			}),
			enoki.Method("opens", func(context.Context) (iter.Seq2[int, error], error) { exits(); return nil, nil }),
			enoki.Method("fine", func(context.Context) (int, error) { return 1, nil }),
		)
		middle := func(next enoki.Handler) enoki.Handler {
			return func(ctx context.Context, c *enoki.Call) error {
				if c.Method == "middle" {
					exits()
				}
				return next(ctx, c)
			}
		}
		run(t, dial(), enoki.Options{Workers: 2, Middleware: []enoki.Middleware{middle}}, s)
		c := client(t, dial())
		if err := c.Bind("exits", &api); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			for _, method := range []string{"handler", "middle"} {
				_, err := c.Call(t.Context(), "exits", method, nil, nil)
				wantFailure(t, method, err)
			}
			_, err := api.Opens(t.Context())
			wantFailure(t, "a stream that does not open", err)
			numbers, err := api.Numbers(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var got int
			for n, failed := range numbers {
				got, err = got+n, errors.Join(err, failed)
			}
			if got != 1 {
				t.Fatalf("got %d of the stream, want its first item", got)
			}
			wantFailure(t, "a stream", err)
		}
		if said, err := c.Call(t.Context(), "exits", "fine", nil, nil); err != nil || string(said) != "1" {
			t.Errorf("after them a call is answered with %s, %v", said, err)
		}
	})
}

// TestGoexitInAnEventHandler: it is settled like a panic.
func TestGoexitInAnEventHandler(t *testing.T) {
	onEveryBroker(t, func(t *testing.T, dial func() broker.Broker) {
		event := enoki.NewEvent[string]("exitsource", "happened")
		var dropped atomic.Int64
		letters := make(chan broker.DeadLetter, 10)
		handle := func(_ context.Context, how string) error {
			if how == "exit" {
				exits()
			}
			return nil
		}
		drop := func(ctx context.Context, how string) error {
			dropped.Add(1)
			return handle(ctx, how)
		}
		o := enoki.Options{Workers: 1, OnDeadLetter: func(l broker.DeadLetter) { letters <- l }}
		run(t, dial(), o, enoki.NewService("exitevents",
			enoki.Subscription[string]{Event: event, Handle: handle, Name: "pool"},
			enoki.Subscription[string]{Event: event, Handle: handle, Name: "cast", Delivery: enoki.Broadcast{}},
			enoki.Subscription[string]{Event: event, Handle: handle, Name: "line", OrderBy: func(how string) string { return how }},
			enoki.Subscription[string]{Event: event, Handle: handle, Name: "keyless", OrderBy: func(how string) string { exits(); return how }},
			enoki.Subscription[string]{Event: event, Handle: drop, Name: "drop", OnError: enoki.Drop{}},
		))
		c := client(t, dial())
		for range 2 {
			if err := c.Emit(t.Context(), event.Source, event.Name, "exit"); err != nil {
				t.Fatal(err)
			}
		}
		got := map[string]int{}
		for range 2 * 4 {
			select {
			case l := <-letters:
				got[l.Handler]++
				if l.Kind != broker.KindPanic || !strings.Contains(l.Reason, broker.ErrExited.Error()) {
					t.Errorf("letter of %s is of kind %q with the reason %q", l.Handler, l.Kind, l.Reason)
				}
			case <-time.After(patience):
				t.Fatalf("so many dead letters by handler, want 2 of each: %v", got)
			}
		}
		if got["pool"] != 2 || got["cast"] != 2 || got["line"] != 2 || got["keyless"] != 2 {
			t.Errorf("got dead letters %v, want 2 of each", got)
		}
		eventually(t, "both events are dropped", func() bool { return dropped.Load() == 2 })
	})
}

// TestGoexitInATimer: it ticks again.
func TestGoexitInATimer(t *testing.T) {
	onEveryBroker(t, func(t *testing.T, dial func() broker.Broker) {
		ticks, crons := make(chan struct{}, 100), make(chan struct{}, 100)
		tick := func(ch chan struct{}) func(context.Context) error {
			return func(context.Context) error {
				select {
				case ch <- struct{}{}:
				default:
				}
				exits()
				return nil
			}
		}
		run(t, dial(), enoki.Options{Workers: 1}, enoki.NewService("exittimers",
			enoki.Every(10*time.Millisecond, tick(ticks)),
			enoki.Cron("@every 1s", tick(crons), enoki.TimerName("exit")),
		))
		for range 3 {
			for name, ch := range map[string]chan struct{}{"timer": ticks, "cron": crons} {
				select {
				case <-ch:
				case <-time.After(patience):
					t.Fatalf("the %s ticks no more", name)
				}
			}
		}
	})
}

// TestGoexitOverHTTP: the client has an answer with status 500, or of its
// socket an error, and the workers serve on.
func TestGoexitOverHTTP(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	type nothing struct{}
	onMemory(t, func(dial func() broker.Broker) {
		run(t, dial(), enoki.Options{Workers: 1}, enoki.NewService("exitweb", web.Serve(&web.Options{Listener: listener},
			web.Get("/typed", func(context.Context, *nothing) (*nothing, error) { exits(); return nil, nil }),
			web.Handle("GET /plain", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { exits() })),
			web.Handle("GET /fine", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})),
			web.WebSocket("/ws", websocket.NewHub(nil),
				web.SocketMethod("exit", func(context.Context, string) error { exits(); return nil }),
				web.SocketMethod("fine", func(context.Context, string) (string, error) { return "fine", nil })),
		)))
	})
	url := "http://" + listener.Addr().String()
	ask := func(path string) (int, string) {
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		return resp.StatusCode, string(body)
	}
	for range 3 {
		for _, path := range []string{"/typed", "/plain"} {
			if status, body := ask(path); status != http.StatusInternalServerError || !strings.Contains(body, "internal error") {
				t.Errorf("%s: got status %d and %q, want 500 and a problem", path, status, body)
			}
		}
	}
	if status, _ := ask("/fine"); status != http.StatusOK {
		t.Errorf("after them: got status %d, want 200", status)
	}
	conn, _, err := coder.Dial(t.Context(), "ws"+strings.TrimPrefix(url, "http")+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	say := func(method, want string) {
		frame := `{"type":"rpc","method":"` + method + `","data":{},"correlation_id":"` + method + `"}`
		if err := conn.Write(t.Context(), coder.MessageText, []byte(frame)); err != nil {
			t.Fatal(err)
		}
		for {
			_, answer, err := conn.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(answer), `"correlation_id":"`+method+`"`) {
				continue // the greeting
			}
			if !strings.Contains(string(answer), want) {
				t.Errorf("over a socket %s was answered with %s, want %s", method, answer, want)
			}
			return
		}
	}
	say("exit", `"success":false`)
	say("fine", `"success":true`)
}
