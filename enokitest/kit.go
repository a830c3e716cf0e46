// Package enokitest is for tests of services. It runs services on a broker in
// memory, replaces the services that they need by mocks, waits for handlers and
// not for time, and records events. Simulate runs a whole cluster with lost
// messages and crashes.
//
// Everything works inside a bubble of testing/synctest, where hours of retries
// and timers pass at once. The package does not start a real broker.
package enokitest

import (
	"context"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/entrypoint"
)

// patience is the default of Kit.Patience.
const patience = 10 * time.Second

// Kit runs services in a test. Its methods may be called concurrently.
type Kit struct {
	// Broker is the broker that the services run on.
	Broker *memory.Broker

	// Client calls the services and emits events.
	Client *enoki.Client

	// Patience is how long WaitFor and Next wait before they fail the test. Inside
	// a bubble of testing/synctest it is the bubble's time; increase it to wait
	// over retries. Default: 10 s.
	Patience time.Duration

	options  enoki.Options
	captures atomic.Int64 // numbers the services that capture

	mu      sync.Mutex // guards the fields below
	handled []Handled  // work that no WaitFor has returned yet
	changed chan struct{}
}

// Handled is a piece of work that a handler has done.
type Handled struct {
	Service, Handler string
	Kind             entrypoint.Kind
	Args             []any // the arguments of an RPC call, or the payload of an event
	Results          []any // the results of an RPC call, without the error
	Err              error // the handler's error; a panic is an error too
}

// Run runs services on a broker of their own. It returns when all of them take
// work. When the test ends, it stops them in reverse order, before any cleanup
// that was registered earlier. The test fails if a service does not start or
// does not stop cleanly.
func Run(t testing.TB, services ...*enoki.Service) *Kit {
	t.Helper()
	return RunWith(t, nil, services...)
}

// RunWith is like Run, with options. o may be nil.
func RunWith(t testing.TB, o *enoki.Options, services ...*enoki.Service) *Kit {
	t.Helper()
	k := &Kit{Broker: memory.New(), Patience: patience, changed: make(chan struct{})}
	if o != nil {
		k.options = *o
	}
	k.Client = enoki.NewClient(k.Broker, o)
	t.Cleanup(func() { _ = k.Broker.Close() }) // the error is always nil
	if len(services) > 0 {
		k.Run(t, services...)
	}
	return k
}

// Run runs further services on the kit's broker, as a process of their own.
func (k *Kit) Run(t testing.TB, services ...*enoki.Service) {
	t.Helper()
	o := k.options
	o.Middleware = append([]enoki.Middleware{k.record}, o.Middleware...)
	k.run(t, o, services)
}

func (k *Kit) run(t testing.TB, o enoki.Options, services []*enoki.Service) {
	t.Helper()
	ready, ended, then := make(chan struct{}), make(chan error, 1), o.OnReady
	o.OnReady = func() {
		defer close(ready)
		defer func() {
			if p := recover(); p != nil {
				t.Errorf("OnReady panicked: %v\n%s", p, debug.Stack())
			}
		}()
		if then != nil {
			then()
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { ended <- enoki.Run(ctx, k.Broker.Link(), &o, services...) }()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		t.Fatalf("run the services: %v", err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("stop the services: %v", err)
		}
	})
}

// record is the middleware that records finished work.
func (k *Kit) record(next enoki.Handler) enoki.Handler {
	return func(ctx context.Context, c *enoki.Call) error {
		err := next(ctx, c)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.handled = append(k.handled, Handled{Service: c.Service, Handler: c.Method, Kind: c.Kind, Args: c.Args(), Results: c.Results(), Err: err})
		close(k.changed)
		k.changed = make(chan struct{})
		return err
	}
}

// WaitFor waits until a handler of a service has returned. handler is the name
// of an RPC method, of a timer, or of an event handler, which is "on_" and the
// event's name unless its Subscription has a Name. WaitFor returns the oldest
// work that no WaitFor has returned yet, also work from before the call. The
// event's settlement follows a moment later.
func (k *Kit) WaitFor(t testing.TB, service, handler string) Handled {
	t.Helper()
	late := time.NewTimer(k.Patience)
	defer late.Stop()
	for {
		found, changed, ok := k.take(service, handler)
		if ok {
			return found
		}
		select {
		case <-changed:
		case <-late.C:
			t.Fatalf("waited %v in vain for %s.%s", k.Patience, service, handler)
		}
	}
}

// take takes the oldest finished work of the handler.
func (k *Kit) take(service, handler string) (Handled, <-chan struct{}, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, h := range k.handled {
		if h.Service == service && h.Handler == handler {
			k.handled = slices.Delete(k.handled, i, i+1)
			return h, nil, true
		}
	}
	return Handled{}, k.changed, false
}

// Bind fills the contract struct that contract points to with calls to service.
// It fails the test if it can't.
func (k *Kit) Bind(t testing.TB, service string, contract any) {
	t.Helper()
	if err := k.Client.Bind(service, contract); err != nil {
		t.Fatal(err)
	}
}

// Emit emits an event in the name of its service. It fails the test if it
// can't.
func Emit[T any](t testing.TB, k *Kit, event enoki.Event[T], payload T, options ...enoki.EmitOption) {
	t.Helper()
	if err := enoki.Emitter(k.Client, event)(t.Context(), payload, options...); err != nil {
		t.Fatal(err)
	}
}
