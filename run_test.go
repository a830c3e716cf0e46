package enoki_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/entrypoint"
	"github.com/enoki-go/enoki/fault"
)

type greeterContract struct {
	Hello func(ctx context.Context, name, greeting string) (string, error)      `rpc:"hello" args:"name,greeting?"`
	Split func(ctx context.Context, text string) (head, tail string, err error) `rpc:"split" args:"text"`
	Fail  func(ctx context.Context, how string) error                           `rpc:"fail" args:"how"`
	Wait  func(ctx context.Context) error                                       `rpc:"wait" timeout:"50ms"`
	Stack func(ctx context.Context) ([]string, map[string]any, error)           `rpc:"stack"`
}

func greeter() greeterContract {
	return greeterContract{
		Hello: func(_ context.Context, name, greeting string) (string, error) {
			if greeting == "" {
				greeting = "Hello"
			}
			return greeting + ", " + name, nil
		},
		Split: func(_ context.Context, text string) (string, string, error) {
			head, tail, _ := strings.Cut(text, " ")
			return head, tail, nil
		},
		Fail: func(_ context.Context, how string) error {
			if how == "panic" {
				panic("on purpose")
			}
			return enoki.Errorf(enoki.NotFound, "no %s", how)
		},
		Wait: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		},
		Stack: func(ctx context.Context) ([]string, map[string]any, error) {
			return enoki.CallStack(ctx), enoki.ContextData(ctx), nil
		},
	}
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// running starts services and returns once they take work. Its stop drains
// them and returns the error of Run.
func running(t *testing.T, b broker.Broker, o *enoki.Options, services ...*enoki.Service) (stop func() error) {
	t.Helper()
	var options enoki.Options
	if o != nil {
		options = *o
	}
	if options.Logger == nil {
		options.Logger = quiet
	}
	ready := make(chan struct{})
	options.OnReady = func() { close(ready) }
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- enoki.Run(ctx, b, &options, services...) }()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		t.Fatalf("Run ended before it was ready: %v", err)
	}
	var result error
	stopped := false
	stop = func() error {
		cancel()
		if !stopped {
			result, stopped = <-ended, true
		}
		return result
	}
	t.Cleanup(func() { stop() })
	return stop
}

func newBroker(t *testing.T) broker.Broker {
	b := memory.New()
	t.Cleanup(func() { b.Close() })
	return b
}

func bound(t *testing.T, b broker.Broker) (c *enoki.Client, g greeterContract) {
	t.Helper()
	c = enoki.NewClient(b, nil)
	if err := c.Bind("greeter", &g); err != nil {
		t.Fatal(err)
	}
	return c, g
}

// everyWay runs a test with a contract bound from outside, and bound inside a
// service of the same process, each in a bubble of synctest.
func everyWay(t *testing.T, test func(t *testing.T, g greeterContract)) {
	service := enoki.NewService("greeter", enoki.RPC(greeter()))
	t.Run("over the broker", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBroker(t)
			running(t, b, nil, service)
			_, g := bound(t, b)
			test(t, g)
		})
	})
	t.Run("in one process", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var g greeterContract
			running(t, newBroker(t), nil, service, enoki.NewService("caller", enoki.Needs("greeter", &g)))
			test(t, g)
		})
	})
}

func TestCalls(t *testing.T) {
	everyWay(t, func(t *testing.T, g greeterContract) {
		ctx := t.Context()
		if got, err := g.Hello(ctx, "Ada", ""); err != nil || got != "Hello, Ada" {
			t.Errorf("Hello: %q, %v", got, err)
		}
		if got, err := g.Hello(ctx, "Ada", "Bonjour"); err != nil || got != "Bonjour, Ada" {
			t.Errorf("Hello: %q, %v", got, err)
		}
		if head, tail, err := g.Split(ctx, "one two"); err != nil || head != "one" || tail != "two" {
			t.Errorf("Split: %q, %q, %v", head, tail, err)
		}
	})
}

func TestErrorsAreTheSameEveryWay(t *testing.T) {
	everyWay(t, func(t *testing.T, g greeterContract) {
		err := g.Fail(t.Context(), "user")
		var e *enoki.Error
		if !errors.As(err, &e) || !errors.Is(err, enoki.NotFound) || e.Message != "no user" || e.Type != "NotFound" {
			t.Errorf("got %#v", err)
		}
		if err := g.Fail(t.Context(), "panic"); !errors.Is(err, enoki.Internal) || !strings.Contains(err.Error(), "on purpose") {
			t.Errorf("a panic is %v, want code %s", err, enoki.Internal)
		}
		if _, err := g.Hello(t.Context(), "still", "here"); err != nil {
			t.Errorf("after a panic: %v", err)
		}
	})
}

// outOfStock is an error type that crosses the wire as itself.
type outOfStock struct{ item string }

func (e outOfStock) Error() string { return "no " + e.item + " left" }

func TestErrorTypesCrossAsThemselves(t *testing.T) {
	types := fault.TypeFunc("shop.exceptions.OutOfStock",
		func(e outOfStock) []any { return []any{e.item} },
		func(args []any, _ string) outOfStock { return outOfStock{args[0].(string)} })
	var shop struct {
		Buy func(ctx context.Context, item string) error `args:"item"`
	}
	service := enoki.NewService("shop", enoki.Errors(types),
		enoki.Method("buy", func(_ context.Context, item string) error { return fmt.Errorf("buy: %w", outOfStock{item}) }, "item"))
	front := enoki.NewService("front", enoki.Errors(types), enoki.Needs("shop", &shop),
		enoki.Method("order", func(ctx context.Context) error { return shop.Buy(ctx, "tea") }))
	b := newBroker(t)
	running(t, b, nil, service, front)
	knowing := enoki.NewClient(b, &enoki.Options{Errors: []fault.Type{types}})
	for _, call := range []func() error{
		func() error { _, err := knowing.Call(t.Context(), "shop", "buy", []any{"tea"}, nil); return err },
		func() error { _, err := knowing.Call(t.Context(), "front", "order", nil, nil); return err }, // two hops
		func() error { return shop.Buy(t.Context(), "tea") },                                         // in one process
	} {
		err := call()
		var got outOfStock
		if !errors.As(err, &got) || got.item != "tea" {
			t.Errorf("got %#v, want an outOfStock of tea", err)
		}
	}
	_, err := enoki.NewClient(b, nil).Call(t.Context(), "shop", "buy", []any{"tea"}, nil)
	var e *enoki.Error
	if !errors.As(err, &e) || e.Path != "shop.exceptions.OutOfStock" || e.Type != "OutOfStock" || e.Message != "buy: no tea left" || e.Args[0] != "tea" {
		t.Errorf("a client that does not know the type got %#v", err)
	}
}

func TestDeadlines(t *testing.T) {
	everyWay(t, func(t *testing.T, g greeterContract) {
		begun := time.Now()
		if err := g.Wait(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a timeout tag: %v, want %v", err, context.DeadlineExceeded)
		}
		if took := time.Since(begun); took != 50*time.Millisecond {
			t.Errorf("the timeout of 50ms took %v", took)
		}
	})
}

func TestCancellationReachesTheHandler(t *testing.T) {
	everyWay(t, func(t *testing.T, g greeterContract) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := g.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
	})
	entered, left := make(chan struct{}), make(chan error, 1)
	b := newBroker(t)
	running(t, b, nil, enoki.NewService("slow", enoki.Method("wait", func(ctx context.Context) error {
		close(entered)
		<-ctx.Done()
		left <- ctx.Err()
		return ctx.Err()
	})))
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-entered; cancel() }()
	if _, err := enoki.NewClient(b, nil).Call(ctx, "slow", "wait", nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("caller got %v", err)
	}
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("handler got %v", err)
	}
}

func TestDeadlineTravels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t)
		running(t, b, nil, enoki.NewService("svc", enoki.Method("left", func(ctx context.Context) (float64, error) {
			deadline, ok := ctx.Deadline()
			if !ok {
				return 0, errors.New("no deadline")
			}
			return time.Until(deadline).Seconds(), nil
		})))
		for timeout, want := range map[time.Duration]float64{0: 10, 3 * time.Second: 3} {
			raw, err := enoki.NewClient(b, &enoki.Options{Timeout: timeout}).Call(t.Context(), "svc", "left", nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if left := mustFloat(t, raw); left != want {
				t.Errorf("timeout %v: the handler has %v s, want %v", timeout, left, want)
			}
		}
	})
}

func TestContextDataAndStack(t *testing.T) {
	var g greeterContract
	hop := enoki.Method("hop", func(ctx context.Context) ([]string, error) {
		stack, data, err := g.Stack(enoki.WithContextData(ctx, "extra", "x"))
		if err == nil && (data["language"] != "de" || data["extra"] != "x") {
			err = errors.New("context data got lost")
		}
		return stack, err
	})
	remote, near := newBroker(t), newBroker(t)
	running(t, remote, nil, enoki.NewService("greeter", enoki.RPC(greeter())))
	running(t, near, nil, enoki.NewService("greeter", enoki.RPC(greeter())), enoki.NewService("front", hop, enoki.Needs("greeter", &g)))
	raw, err := enoki.NewClient(near, nil).Call(enoki.WithContextData(t.Context(), "language", "de"), "front", "hop", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	stack := mustStrings(t, raw)
	if len(stack) != 3 || !strings.HasPrefix(stack[0], "enoki_client.call.") || !strings.HasPrefix(stack[1], "front.hop.") || !strings.HasPrefix(stack[2], "greeter.stack.") {
		t.Errorf("call stack %v", stack)
	}
}

func TestStackIsTrimmed(t *testing.T) {
	b := newBroker(t)
	var self struct {
		Down func(ctx context.Context, n int) ([]string, error) `args:"n"`
	}
	down := func(ctx context.Context, n int) ([]string, error) {
		if n == 0 {
			return enoki.CallStack(ctx), nil
		}
		return self.Down(ctx, n-1)
	}
	running(t, b, &enoki.Options{CallsTracked: 3}, enoki.NewService("deep", enoki.Method("down", down, "n"), enoki.Needs("deep", &self)))
	stack, err := self.Down(t.Context(), 8)
	if err != nil || len(stack) != 4 {
		t.Errorf("stack %v, %v; want its last 4", stack, err)
	}
}

func TestRefusedRequests(t *testing.T) {
	b := newBroker(t)
	running(t, b, nil, enoki.NewService("greeter", enoki.RPC(greeter())))
	c := enoki.NewClient(b, nil)
	for _, test := range []struct {
		service, method string
		args            []any
		kwargs          map[string]any
		want            enoki.Code
	}{
		{"greeter", "nothing", nil, nil, enoki.MethodNotFound},
		{"greeter", "hello", nil, nil, enoki.IncorrectSignature},
		{"greeter", "hello", []any{"a", "b", "c"}, nil, enoki.IncorrectSignature},
		{"greeter", "hello", nil, map[string]any{"nam": "x"}, enoki.IncorrectSignature},
		{"greeter", "hello", []any{7}, nil, enoki.IncorrectSignature},
		{"nobody", "hello", nil, nil, enoki.UnknownService},
		{"no body", "hello", nil, nil, enoki.InvalidArgument},
		{"no.body", "hello", nil, nil, enoki.UnknownService},
	} {
		_, err := c.Call(t.Context(), test.service, test.method, test.args, test.kwargs)
		if !errors.Is(err, test.want) {
			t.Errorf("%s.%s(%v, %v): %v, want code %s", test.service, test.method, test.args, test.kwargs, err, test.want)
		}
	}
	reply, err := b.Call(t.Context(), "greeter", "hello", &broker.Message{ID: "1", Body: []byte("{")})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(reply.Body), "nameko.exceptions.MalformedRequest") {
		t.Errorf("a malformed request got %s", reply.Body)
	}
}

func TestDrainFinishesWhatRuns(t *testing.T) {
	b := newBroker(t)
	entered, finish := make(chan struct{}), make(chan struct{})
	stop := running(t, b, nil, enoki.NewService("slow", enoki.Method("work", func(context.Context) (string, error) {
		close(entered)
		<-finish
		return "done", nil
	})))
	answer := make(chan string, 1)
	go func() {
		raw, err := enoki.NewClient(b, nil).Call(context.Background(), "slow", "work", nil, nil)
		if err != nil {
			raw = []byte(err.Error())
		}
		answer <- string(raw)
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	close(finish)
	if got := <-answer; got != `"done"` {
		t.Errorf("the caller got %s", got)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestGraceEndsWhatDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New()
		defer b.Close()
		entered := make(chan struct{})
		stop := running(t, b, &enoki.Options{Grace: time.Minute}, enoki.NewService("stuck",
			enoki.Method("work", func(ctx context.Context) error { close(entered); <-ctx.Done(); return ctx.Err() })))
		answered := make(chan error, 1)
		go func() {
			_, err := enoki.NewClient(b, &enoki.Options{Timeout: time.Hour}).Call(t.Context(), "stuck", "work", nil, nil)
			answered <- err
		}()
		<-entered
		begun := time.Now()
		err := stop()
		if err == nil || !strings.Contains(err.Error(), `"stuck" did not stop cleanly`) {
			t.Errorf("Run: %v", err)
		}
		if took := time.Since(begun); took != time.Minute {
			t.Errorf("stopped after %v, want the grace of 1m", took)
		}
		if err := <-answered; !errors.Is(err, enoki.Unavailable) {
			t.Errorf("the caller got error %v, want Unavailable: it has cancelled nothing", err)
		}
	})
}

func TestWorkersAreBounded(t *testing.T) {
	b := newBroker(t)
	var now, most atomic.Int32
	running(t, b, &enoki.Options{Workers: 3}, enoki.NewService("busy", enoki.Method("work", func(context.Context) error {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(time.Millisecond) // work
		return nil
	})))
	c := enoki.NewClient(b, nil)
	done := make(chan error)
	for range 20 {
		go func() {
			_, err := c.Call(context.Background(), "busy", "work", nil, nil)
			done <- err
		}()
	}
	for range 20 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if most.Load() > 3 {
		t.Errorf("%d handlers ran at once, want at most 3", most.Load())
	}
}

// What waits for a worker when its instance stops is served by another one.
func TestDrainHandsBackWhatDidNotStart(t *testing.T) {
	b := newBroker(t)
	entered, finish := make(chan struct{}), make(chan struct{})
	service := func(name string) *enoki.Service {
		return enoki.NewService("slow",
			enoki.Method("work", func(context.Context) (string, error) {
				close(entered)
				<-finish
				return name, nil
			}),
			enoki.Method("who", func(context.Context) (string, error) { return name, nil }),
			enoki.On(posted, func(_ context.Context, _ string) error { return nil }))
	}
	stop := running(t, b, &enoki.Options{Workers: 1}, service("one"))
	c := enoki.NewClient(b, nil)
	call := func(method string) <-chan string {
		answer := make(chan string, 1)
		go func() {
			raw, err := c.Call(context.Background(), "slow", method, nil, nil)
			if err != nil {
				raw = []byte(err.Error())
			}
			answer <- string(raw)
		}()
		return answer
	}
	busy := call("work")
	<-entered
	waiting := call("who") // no worker is free
	running(t, b, nil, service("two"))
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	if got := <-waiting; got != `"two"` {
		t.Errorf("the call that waited got %s, want an answer of the other instance", got)
	}
	close(finish)
	if got := <-busy; got != `"one"` {
		t.Errorf("the call that ran got %s", got)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Run: %v", err)
	}
}

var posted = enoki.NewEvent[string]("comments", "posted")

func TestEvents(t *testing.T) {
	b := newBroker(t)
	var emit enoki.Emit[string]
	got := make(chan string, 2)
	running(t, b, nil,
		enoki.NewService("comments", enoki.Emits(posted, &emit)),
		enoki.NewService("push", enoki.On(posted, func(ctx context.Context, text string) error {
			got <- "push " + text + " " + enoki.ContextData(ctx)["language"].(string)
			return nil
		})),
		enoki.NewService("index", enoki.Subscription[string]{Event: posted, Handle: func(_ context.Context, text string) error { got <- "index " + text; return nil }, Delivery: enoki.Broadcast{}}))
	if err := emit(enoki.WithContextData(t.Context(), "language", "de"), "hi"); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{<-got: true, <-got: true}
	if !seen["push hi de"] || !seen["index hi"] {
		t.Errorf("got %v", seen)
	}
}

// shaky loses its link in the middle of an emit, as often as it is told.
type shaky struct {
	*memory.Broker
	losses int
	after  error // what an emit returns when all losses are over
	ids    []string
}

func (s *shaky) Emit(ctx context.Context, source, event string, m *broker.Message) error {
	s.ids = append(s.ids, m.ID)
	if s.losses > 0 {
		s.losses--
		return fmt.Errorf("shaky: %w", broker.ErrUnknownOutcome)
	}
	if s.after != nil {
		return s.after
	}
	return s.Broker.Emit(ctx, source, event, m)
}

func TestEmitInsistsWhenTheLinkIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &shaky{Broker: memory.New(), losses: 2}
		defer b.Close()
		if err := enoki.NewClient(b, nil).Emit(t.Context(), "comments", "posted", "hi"); err != nil {
			t.Errorf("Emit: %v", err)
		}
		if len(b.ids) != 3 || b.ids[0] != b.ids[2] || b.ids[0] == "" {
			t.Errorf("emitted with the ids %v, want one id three times", b.ids)
		}
		b.losses = 1 << 30
		begun := time.Now()
		err := enoki.NewClient(b, &enoki.Options{Timeout: time.Minute}).Emit(t.Context(), "comments", "posted", "hi")
		if !errors.Is(err, enoki.UnknownOutcome) || time.Since(begun) != time.Minute {
			t.Errorf("Emit: %v after %v, want %s at the deadline of a minute", err, time.Since(begun), enoki.UnknownOutcome)
		}
	})
}

// A try that surely failed says nothing about one before it.
func TestEmitKeepsAnUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &shaky{Broker: memory.New(), losses: 1, after: broker.ErrNotDelivered}
		defer b.Close()
		err := enoki.NewClient(b, nil).Emit(t.Context(), "comments", "posted", "hi")
		if code := enoki.CodeOf(err); code != enoki.UnknownOutcome {
			t.Errorf("Emit: %v with code %s, want %s", err, code, enoki.UnknownOutcome)
		}
	})
}

func TestFailedEventsAreTriedAgainAndThenKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New()
		defer b.Close()
		attempts := make(chan time.Time, 10)
		stop := running(t, b, nil, enoki.NewService("push",
			enoki.Subscription[string]{Event: posted, Handle: func(context.Context, string) error { attempts <- time.Now(); return errors.New("down") }, OnError: enoki.Retry{Attempts: 3}},
			enoki.Subscription[string]{Event: posted, Handle: func(context.Context, string) error { panic("no") }, Name: "panics"},
			enoki.Subscription[int]{Event: enoki.NewEvent[int]("comments", "posted"), Handle: func(context.Context, int) error { return nil }, Name: "wrong_type"}))
		c := enoki.NewClient(b, nil)
		if err := c.Emit(t.Context(), "comments", "posted", "hi"); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			<-attempts
		}
		synctest.Wait()
		dead, err := deadLetters(t, b)
		if err != nil || len(dead) != 3 {
			t.Fatalf("%d dead letters, %v; want 3: %+v", len(dead), err, dead)
		}
		reasons := map[string]string{}
		for _, d := range dead {
			reasons[d.Handler] = fmt.Sprintf("%s after %d: %s", d.Kind, d.Attempts, d.Reason)
			if string(d.Message.Body) != `"hi"` || d.Source != "comments" || d.Event != "posted" || d.Service != "push" {
				t.Errorf("dead letter %+v", d)
			}
		}
		for handler, want := range map[string]string{"on_posted": "unknown after 3: down", "panics": "panic after 1: panic: no", "wrong_type": "wrong_type after 1: payload is not as declared: want int, got string"} {
			if !strings.Contains(reasons[handler], want) {
				t.Errorf("%s died of %q, want %q", handler, reasons[handler], want)
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New()
		defer b.Close()
		begun := time.Now()
		ticks, eager := make(chan time.Duration, 20), make(chan time.Duration, 20)
		stop := running(t, b, nil, enoki.NewService("clock",
			enoki.Every(time.Second, func(context.Context) error {
				ticks <- time.Since(begun)
				if len(ticks) == 1 {
					time.Sleep(2500 * time.Millisecond) // a slow tick: the next ones are late
				}
				return errors.New("does not stop it")
			}),
			enoki.Every(time.Minute, func(context.Context) error { eager <- time.Since(begun); return nil }, enoki.Eager())))
		time.Sleep(5500 * time.Millisecond)
		if err := stop(); err != nil {
			t.Error(err)
		}
		close(ticks)
		want := []time.Duration{1000, 3500, 3500, 4000, 5000}
		i := 0
		for at := range ticks {
			if i >= len(want) || at != want[i]*time.Millisecond {
				t.Errorf("tick %d at %v, want %v", i, at, want)
			}
			i++
		}
		if i != len(want) || len(eager) != 1 || <-eager != 0 {
			t.Errorf("%d ticks, want %d; eager ones %d, want 1 at once", i, len(want), len(eager))
		}
	})
}

func TestMiddleware(t *testing.T) {
	var log []string
	note := func(name string) enoki.Middleware {
		return func(next enoki.Handler) enoki.Handler {
			return func(ctx context.Context, c *enoki.Call) error {
				log = append(log, name+" "+c.Method)
				err := next(ctx, c)
				if name == "service" && len(c.Results()) > 0 {
					log = append(log, c.Args()[0].(string)+" gives "+c.Results()[0].(string))
				}
				return err
			}
		}
	}
	b := newBroker(t)
	running(t, b, &enoki.Options{Middleware: []enoki.Middleware{note("run")}},
		enoki.NewService("greeter", enoki.RPC(greeter()), enoki.Use(note("service"))))
	c := enoki.NewClient(b, &enoki.Options{CallMiddleware: []enoki.Middleware{note("call")}})
	var g greeterContract
	if err := c.Bind("greeter", &g); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Hello(t.Context(), "Ada", ""); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(log, "; "), "call hello; run hello; service hello; Ada gives Hello, Ada"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// door is an extension for tests: it hands its scope out.
type door struct {
	scope  *entrypoint.Scope
	log    *[]string
	refuse error
}

func (d *door) Check() error { return nil }

func (d *door) Start(_ context.Context, s *entrypoint.Scope) error {
	d.scope = s
	*d.log = append(*d.log, "start "+s.Service)
	return d.refuse
}

func (d *door) Stop(context.Context) error {
	*d.log = append(*d.log, "stop "+d.scope.Service)
	return nil
}

func (d *door) Describe() []entrypoint.Description { return []entrypoint.Description{{Text: "door"}} }

func TestExtensionsAndOrder(t *testing.T) {
	var log []string
	one, two := &door{log: &log}, &door{log: &log}
	stop := running(t, newBroker(t), nil, enoki.NewService("one", enoki.Extend(one)), enoki.NewService("two", enoki.Extend(two)))
	err := one.scope.Handle(t.Context(), entrypoint.HTTP, "GET /x", func(ctx context.Context) error {
		log = append(log, enoki.CallID(ctx)[:len("one.GET /x.")])
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = one.scope.Handle(t.Context(), entrypoint.HTTP, "GET /x", func(context.Context) error { panic("no") })
	if !errors.Is(err, enoki.Internal) {
		t.Errorf("a panic is %v", err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(log, "; "), "start one; start two; one.GET /x.; stop two; stop one"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestFailedStartStopsTheOthers(t *testing.T) {
	var log []string
	one, two := &door{log: &log}, &door{log: &log, refuse: errors.New("port is taken")}
	b := newBroker(t)
	err := enoki.Run(t.Context(), b, &enoki.Options{Logger: quiet},
		enoki.NewService("one", enoki.Extend(one)), enoki.NewService("two", enoki.Extend(two)))
	if err == nil || !strings.Contains(err.Error(), `service "two" could not start: port is taken`) {
		t.Errorf("Run: %v", err)
	}
	if got, want := strings.Join(log, "; "), "start one; start two; stop one"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if alive, err := b.Services(t.Context()); err != nil || len(alive) > 0 {
		t.Errorf("still on the broker: %v, %v", alive, err)
	}
}

func TestStoppedWhileStarting(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ready := func() { t.Error("OnReady was called") }
	if err := enoki.Run(ctx, newBroker(t), &enoki.Options{OnReady: ready}, enoki.NewService("one")); err != nil {
		t.Errorf("Run: %v, want nil", err)
	}
}

func TestServicesAreShown(t *testing.T) {
	b := newBroker(t)
	var emit enoki.Emit[string]
	running(t, b, nil,
		enoki.NewService("comments", enoki.Emits(posted, &emit)),
		enoki.NewService("greeter", enoki.RPC(greeter()), enoki.On(posted, func(context.Context, string) error { return nil })))
	alive, err := b.Services(t.Context())
	if err != nil || len(alive) != 2 {
		t.Fatalf("%v, %v", alive, err)
	}
	comments, greeter := alive[0], alive[1]
	if comments.Name != "comments" || len(comments.Emits) != 1 || comments.Emits[0].Name != "posted" {
		t.Errorf("comments shows %+v", comments)
	}
	if greeter.Name != "greeter" || len(greeter.Methods) != 5 || len(greeter.Handles) != 1 || greeter.ID == "" {
		t.Errorf("greeter shows %+v", greeter)
	}
	if m := greeter.Methods[1]; m.Name != "hello" || strings.Join(m.Args, ",") != "name,greeting?" || m.Results[0] != "string" {
		t.Errorf("method %+v", m)
	}
}

func TestRunRefusesNoServiceAndTwins(t *testing.T) {
	s := enoki.NewService("one")
	if err := enoki.Run(t.Context(), newBroker(t), nil); err == nil {
		t.Error("no service: no error")
	}
	if err := enoki.Run(t.Context(), newBroker(t), nil, s, s); err == nil || !strings.Contains(err.Error(), "given twice") {
		t.Errorf("the same name twice: %v", err)
	}
}

func mustFloat(t *testing.T, raw json.RawMessage) (v float64) {
	t.Helper()
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func mustStrings(t *testing.T, raw json.RawMessage) (v []string) {
	t.Helper()
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}
