package found

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/fault"
	"github.com/enoki-go/enoki/host"
	"github.com/enoki-go/enoki/inbox"
	"github.com/enoki-go/enoki/nameko"
	"github.com/enoki-go/enoki/outbox"
	"github.com/enoki-go/enoki/resilience"
)

// wild is a value whose methods panic.
type wild struct{}

func (wild) MarshalJSON() ([]byte, error) { panic("MarshalJSON went off") }
func (*wild) UnmarshalJSON([]byte) error  { panic("UnmarshalJSON went off") }

// wildKey is a key of a map whose text panics.
type wildKey int

func (wildKey) MarshalText() ([]byte, error) { panic("MarshalText went off") }
func (*wildKey) UnmarshalText([]byte) error  { panic("UnmarshalText went off") }

// wildAs, wildIs, wildUnwrap and wildText are errors whose methods panic.
type (
	wildAs     struct{ error }
	wildIs     struct{ error }
	wildUnwrap struct{ error }
	wildText   struct{}
)

func (wildAs) As(any) bool       { panic("As went off") }
func (wildIs) Is(error) bool     { panic("Is went off") }
func (wildUnwrap) Unwrap() error { panic("Unwrap went off") }
func (wildText) Error() string   { panic("Error went off") }

var errPlain = errors.New("plain")

// nilError is the usual mistake: a nil of a type, returned as an error.
func nilError() *enoki.Error { return nil }

// logbook is a log that tests read.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logbook) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(l, nil)) }

// outOfStock is an error type whose arguments can't be told.
var outOfStock = fault.TypeFunc("shop.OutOfStock",
	func(error) []any { panic("ErrorAs went off") }, func([]any, string) error { return errPlain })

// TestPanicOutsideAHandler has methods of users' errors, arguments and results
// panic where no handler runs: the caller gets an error, the log the stack, and
// the service goes on.
func TestPanicOutsideAHandler(t *testing.T) {
	failing := func(err func() error) enoki.Part {
		return enoki.Method("m", func(context.Context) error { return err() })
	}
	for name, test := range map[string]struct {
		part    enoki.Part
		args    []any
		options enoki.Options
		calm    bool // nothing panics, so there is no stack
	}{
		"nil error":         {part: failing(func() error { return nilError() }), calm: true},
		"wrapped nil error": {part: failing(func() error { return fmt.Errorf("x: %w", nilError()) }), calm: true},
		"As":                {part: failing(func() error { return wildAs{errPlain} })},
		"Is":                {part: failing(func() error { return wildIs{errPlain} })},
		"Unwrap":            {part: failing(func() error { return wildUnwrap{errPlain} })},
		"Error":             {part: failing(func() error { return wildText{} })},
		"ErrorAs":           {part: failing(func() error { return errPlain }), options: enoki.Options{Errors: []fault.Type{outOfStock}}},
		"MarshalJSON":       {part: enoki.Method("m", func(context.Context) (wild, error) { return wild{}, nil })},
		"deep MarshalJSON":  {part: enoki.Method("m", func(context.Context) ([]any, error) { return []any{map[string]any{"a": &wild{}}}, nil })},
		"MarshalText":       {part: enoki.Method("m", func(context.Context) (map[wildKey]int, error) { return map[wildKey]int{0: 1}, nil })},
		"UnmarshalJSON":     {part: enoki.Method("m", func(context.Context, wild) error { return nil }, "v"), args: []any{1}},
		"UnmarshalText":     {part: enoki.Method("m", func(context.Context, map[wildKey]int) error { return nil }, "v"), args: []any{map[string]int{"a": 1}}},
		"middleware": {part: failing(func() error { return nil }), options: enoki.Options{Middleware: []enoki.Middleware{
			func(enoki.Handler) enoki.Handler {
				return func(context.Context, *enoki.Call) error { return wildAs{errPlain} }
			}}}},
		"Decode": {part: failing(func() error { return nil }), options: enoki.Options{Serializer: &enoki.Serializer{
			Name: "wild", ContentType: "application/x-wild", Encode: func(b []byte) ([]byte, error) { return b, nil },
			Decode: func([]byte) ([]byte, error) { panic("Decode went off") }}}},
	} {
		t.Run(name, func(t *testing.T) {
			onEveryBroker(t, func(t *testing.T, dial func() broker.Broker) {
				var log logbook
				o := test.options
				o.Logger = log.logger()
				fine := enoki.Method("fine", func(context.Context) (int, error) { return 1, nil })
				run(t, dial(), o, enoki.NewService("wild", test.part, fine))
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				c := enoki.NewClient(dial(), &enoki.Options{Logger: quiet, Retries: new(false)})
				if test.options.Serializer != nil {
					plain := *test.options.Serializer
					plain.Decode = plain.Encode
					c = enoki.NewClient(dial(), &enoki.Options{Logger: quiet, Retries: new(false), Serializer: &plain})
				}
				_, err := c.Call(ctx, "wild", "m", test.args, nil)
				if code := enoki.CodeOf(err); err == nil || code.HTTPStatus() < 500 || code == enoki.DeadlineExceeded {
					t.Errorf("the caller got [%s] %v; want an error of the service", code, err)
				}
				if stack := strings.Contains(log.String(), "panics_test.go"); stack == test.calm {
					t.Errorf("the stack is in the log: %v; the log:\n%s", stack, log.String())
				}
				if test.options.Serializer == nil && test.options.Middleware == nil {
					if _, err := c.Call(ctx, "wild", "fine", nil, nil); err != nil {
						t.Errorf("the next call: %v", err)
					}
				}
			})
		})
	}
}

// TestPanicOutsideAnEventHandler has the same around events: they become dead
// letters.
func TestPanicOutsideAnEventHandler(t *testing.T) {
	handler := func(err func() error) enoki.Part {
		return enoki.Subscription[int]{Event: enoki.NewEvent[int]("wild", "e"), Handle: func(context.Context, int) error { return err() }, OnError: enoki.Retry{Attempts: 1}}
	}
	for name, test := range map[string]struct {
		part enoki.Part
		kind string
	}{
		"nil error":     {handler(func() error { return nilError() }), string(enoki.Internal)},
		"As":            {handler(func() error { return wildAs{errPlain} }), broker.KindPanic},
		"Is":            {handler(func() error { return wildIs{errPlain} }), broker.KindPanic},
		"Error":         {handler(func() error { return wildText{} }), broker.KindPanic},
		"UnmarshalJSON": {enoki.On(enoki.NewEvent[wild]("wild", "e"), func(context.Context, wild) error { return nil }), broker.KindPanic},
		"inbox":         {enoki.Subscription[int]{Event: enoki.NewEvent[int]("wild", "e"), Handle: func(context.Context, int) error { return nil }, Once: wildInbox{}}, broker.KindPanic},
	} {
		t.Run(name, func(t *testing.T) {
			onEveryBroker(t, func(t *testing.T, dial func() broker.Broker) {
				buried := make(chan broker.DeadLetter, 1)
				o := enoki.Options{OnDeadLetter: func(l broker.DeadLetter) {
					buried <- l
					panic("OnDeadLetter went off")
				}}
				run(t, dial(), o, enoki.NewService("wild", test.part))
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				if err := client(t, dial()).Emit(ctx, "wild", "e", 1); err != nil {
					t.Fatal(err)
				}
				select {
				case l := <-buried:
					if l.Kind != test.kind || !strings.Contains(l.Reason, "went off") && !strings.Contains(l.Reason, "nil *enoki.Error") {
						t.Errorf("the letter is of kind %s for the reason %q; want %s", l.Kind, l.Reason, test.kind)
					}
				case <-ctx.Done():
					t.Error("no dead letter came")
				}
			})
		})
	}
}

type wildInbox struct{}

func (wildInbox) Once(context.Context, string, func(context.Context) error) error {
	panic("Once went off")
}

// TestPanicInAStream has a stream end with a nil *enoki.Error, a panic, and an
// item that can't be encoded.
func TestPanicInAStream(t *testing.T) {
	stream := func(fn func(yield func(any, error) bool)) func(context.Context) (iter.Seq2[any, error], error) {
		return func(context.Context) (iter.Seq2[any, error], error) { return fn, nil }
	}
	type contract struct {
		Nil   func(context.Context) (iter.Seq2[any, error], error)
		Panic func(context.Context) (iter.Seq2[any, error], error)
		Item  func(context.Context) (iter.Seq2[any, error], error)
	}
	served := contract{
		Nil:   stream(func(yield func(any, error) bool) { yield(nil, nilError()) }),
		Panic: stream(func(func(any, error) bool) { panic("on purpose") }),
		Item:  stream(func(yield func(any, error) bool) { yield(wild{}, nil) }),
	}
	onEveryBroker(t, func(t *testing.T, dial func() broker.Broker) {
		run(t, dial(), enoki.Options{}, enoki.NewService("wild", enoki.RPC(served)))
		var c contract
		if err := client(t, dial()).Bind("wild", &c); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		for name, open := range map[string]func(context.Context) (iter.Seq2[any, error], error){"nil": c.Nil, "panic": c.Panic, "item": c.Item} {
			seq, err := open(ctx)
			if err != nil {
				t.Fatal(err)
			}
			var last error
			for _, err := range seq {
				last = err
			}
			if enoki.CodeOf(last) != enoki.Internal {
				t.Errorf("%s: the stream ended with [%s] %v", name, enoki.CodeOf(last), last)
			}
		}
	})
}

// TestPanicOnTheCallersSide has an argument that can't be encoded, a result
// that can't be decoded and middleware that panics, in a goroutine of nobody's.
func TestPanicOnTheCallersSide(t *testing.T) {
	onEveryBroker(t, func(t *testing.T, dial func() broker.Broker) {
		echo := func(_ context.Context, v json.RawMessage) (json.RawMessage, error) { return v, nil }
		run(t, dial(), enoki.Options{}, enoki.NewService("echo", enoki.Method("echo", echo, "v?")))
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		var log logbook
		c := enoki.NewClient(dial(), &enoki.Options{Logger: log.logger()})
		var out struct {
			Send func(ctx context.Context, v wild) error                       `rpc:"echo" args:"v"`
			Get  func(ctx context.Context, v int) (wild, error)                `rpc:"get" args:"v"`
			All  func(ctx context.Context, v int) ([]enoki.Reply[wild], error) `rpc:"echo" args:"v"`
		}
		_ = out.Get
		if err := c.Bind("echo", &out); err != nil {
			t.Fatal(err)
		}
		if err := out.Send(ctx, wild{}); enoki.CodeOf(err) != enoki.InvalidArgument {
			t.Errorf("an argument that can't be encoded: %v", err)
		}
		replies, err := out.All(ctx, 1)
		if err != nil || len(replies) != 1 || enoki.CodeOf(replies[0].Err) != enoki.Internal {
			t.Errorf("a reply that can't be decoded: %v, %v", replies, err)
		}
		if _, err := c.Call(ctx, "echo", "echo", []any{wild{}}, nil); enoki.CodeOf(err) != enoki.InvalidArgument {
			t.Errorf("an argument by hand that can't be encoded: %v", err)
		}
		if err := c.Emit(ctx, "echo", "e", wild{}); enoki.CodeOf(err) != enoki.InvalidArgument {
			t.Errorf("a payload that can't be encoded: %v", err)
		}
		boom := func(enoki.Handler) enoki.Handler {
			return func(context.Context, *enoki.Call) error { panic("middleware went off") }
		}
		c = enoki.NewClient(dial(), &enoki.Options{Logger: log.logger(), CallMiddleware: []enoki.Middleware{boom}})
		if _, err := c.Call(ctx, "echo", "echo", nil, nil); enoki.CodeOf(err) != enoki.Internal {
			t.Errorf("middleware that panics: %v", err)
		}
		if !strings.Contains(log.String(), "panics_test.go") {
			t.Errorf("the stack is not in the log:\n%s", log.String())
		}
	})
}

// TestPanicOfAHook has functions that Enoki calls beside its work panic.
func TestPanicOfAHook(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	boom := func(context.Context) error { panic("hook went off") }
	var log logbook
	err := enoki.Run(ctx, memory.New(), &enoki.Options{Logger: log.logger()}, enoki.NewService("hooks", enoki.Resource(boom, nil)))
	if err == nil || !strings.Contains(err.Error(), "hook went off") || !strings.Contains(log.String(), "panics_test.go") {
		t.Errorf("a resource that panics: %v; the log:\n%s", err, log.String())
	}
	b := memory.New()
	down := func(context.Context) error { return enoki.Errorf(enoki.Unavailable, "down") }
	stop := run(t, b, enoki.Options{}, enoki.NewService("hooks", enoki.Method("m", down), enoki.Resource(nil, boom)))
	c := enoki.NewClient(b.Link(), &enoki.Options{Logger: quiet,
		OnBreaker: func(string, string, resilience.State) { panic("OnBreaker went off") },
		OnRetry:   func(string, string) { panic("OnRetry went off") }})
	var out struct {
		M func(ctx context.Context) error `idempotent:"true"`
	}
	if err := c.Bind("hooks", &out); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if err := out.M(ctx); enoki.CodeOf(err) != enoki.Unavailable {
			t.Fatalf("a call while a hook panics: %v", err)
		}
	}
	stop()
}

// TestNilParts has each way of declaring nothing told at once, before anything
// starts.
func TestNilParts(t *testing.T) {
	var noCall *enoki.PerCall[int]
	ev := enoki.NewEvent[int]("svc", "e")
	type contract struct {
		A func(context.Context) error
		B func(context.Context) error
	}
	service := enoki.NewService("svc", nil, noCall, enoki.Parts(nil), enoki.Use(nil), enoki.Extend(nil),
		enoki.Emits(ev, nil), enoki.On(ev, nil), enoki.Subscription[int]{Event: ev, Handle: func(context.Context, int) error { return nil },
			Delivery: (*enoki.Pool)(nil), OnError: (*enoki.Retry)(nil), Once: (*inbox.Memory)(nil)},
		enoki.RPC((*contract)(nil)), enoki.RPC(contract{}), enoki.RPC(nil), enoki.Method("x", nil), enoki.Needs("other", (*contract)(nil)), enoki.Needs("other", nil),
		enoki.Every(1, nil), enoki.Cron("@daily", nil), enoki.Every(1, func(context.Context) error { return nil }, nil),
		enoki.Errors(fault.Type{}), enoki.Errors(fault.TypeFunc[error]("a.B", nil, nil)), enoki.Resource(nil, nil),
		nameko.Consume[int](nameko.Queue{Name: "q"}, nil, nil), nameko.Publishes[int](nameko.Exchange{Name: "x"}, nil, nil),
		outbox.Use[int](nil, outbox.Emits[int, int](ev, nil)))
	told := service.Check()
	for _, want := range []string{
		"part 1 of 23 is nil", "part 2 of 23 is nil", "part 1 of 1 is nil", "Use: middleware 1 of 1 is nil", "extension is nil",
		"Emits has no function to fill", "has no handler function",
		"Delivery is a nil *enoki.Pool", "OnError is a nil *enoki.Retry", "Once is a nil *inbox.Memory", "option 1 of 1 is nil", "contract.A is nil", "contract.B is nil",
		"contract is nil", `method "x" has no function`, `needs "other"`, "has no function", "error type 1 of 1 is empty", `"a.B" has no path, or no function`,
		"resource has no function", `consumer of queue "q" has no handler`, "give a pointer to the Publisher", "outbox has no store",
	} {
		if !strings.Contains(fmt.Sprint(told), want) {
			t.Errorf("%q is not told; told is:\n%v", want, told)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	fine := enoki.NewService("fine")
	none := func(enoki.Handler) enoki.Handler { return nil }
	for want, err := range map[string]error{
		"service 1 of 2 is nil":                enoki.Run(ctx, memory.New(), nil, nil, fine),
		"the broker is nil":                    enoki.Run(ctx, nil, nil, fine),
		"CallMiddleware: middleware 1":         enoki.Run(ctx, memory.New(), &enoki.Options{CallMiddleware: []enoki.Middleware{nil}}, fine),
		"returned no handler":                  enoki.Run(ctx, memory.New(), &enoki.Options{Logger: quiet, Middleware: []enoki.Middleware{none}}, fine),
		"error type 1 of 1 is empty":           enoki.Run(ctx, memory.New(), &enoki.Options{Errors: make([]fault.Type, 1)}, fine),
		"no function to decode":                enoki.Run(ctx, memory.New(), &enoki.Options{Serializer: &enoki.Serializer{}}, fine),
		"the client is nil":                    (*enoki.Client)(nil).Bind("fine", &contract{}),
		"client can't work: the broker is nil": enoki.NewClient(nil, nil).Emit(ctx, "a", "b", 1),
		"building the services panicked":       new(host.App).Run(ctx, nil, &logbook{}, &logbook{}, func() ([]*enoki.Service, error) { panic("build") }),
		"no function that builds":              new(host.App).Run(ctx, nil, &logbook{}, &logbook{}, nil),
		"service 1 of 1 is nil":                new(host.App).Run(ctx, nil, &logbook{}, &logbook{}, func() ([]*enoki.Service, error) { return []*enoki.Service{nil}, nil }),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
