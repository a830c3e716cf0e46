package interop_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker/amqp"
	"github.com/enoki-go/enoki/fault"
	"github.com/enoki-go/enoki/internal/uuid"
	"github.com/enoki-go/enoki/nameko"
	"github.com/enoki-go/enoki/web"
)

// goPeer is what stands for a process with Enoki: a link of its own and what
// runs on it.
type goPeer struct {
	spec  peerSpec
	tap   *tap
	url   string
	log   *slog.Logger
	book  *notebook
	gates gates

	mu       sync.Mutex
	link     *amqp.Driver
	running  map[string]*running // by instance
	clients  map[string]*goClient
	calling  map[string]context.CancelFunc // by client
	failures map[string]int                // of handlers, so far
}

// running is an instance of a service.
type running struct {
	stop context.CancelFunc
	done chan struct{}
	err  error // read it after done
}

func begin(link *amqp.Driver, o *enoki.Options, service *enoki.Service) *running {
	ctx, stop := context.WithCancel(context.Background())
	r := &running{stop: stop, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = enoki.Run(ctx, link, o, service)
	}()
	return r
}

// goClient is a client on a link of its own.
type goClient struct {
	spec   clientSpec
	link   *amqp.Driver
	client *enoki.Client

	around *running // the service around it; nil if there is none
	inside sync.Map // calls to be made from inside that service, by number
	calls  atomic.Int64
}

func newGoPeer(t testing.TB, broker string, s peerSpec) (*goPeer, error) {
	t.Helper()
	p := &goPeer{spec: s, tap: newTap(t, broker), book: newNotebook(), log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		running: map[string]*running{}, clients: map[string]*goClient{}, calling: map[string]context.CancelFunc{}, failures: map[string]int{}}
	p.url = "amqp://guest:guest@" + p.tap.address() + "/" + s.vhost
	if s.login != nil {
		p.url = s.login.goURL()
	}
	var err error
	p.link, err = p.dial("peer")
	t.Cleanup(p.end)
	return p, err
}

func (p *goPeer) dial(owner string) (*amqp.Driver, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return amqp.Dial(ctx, amqp.Config{URL: p.url, Owner: owner, Heartbeat: p.spec.heartbeat, Logger: p.log,
		AutoDeleteEvents: p.spec.autoDelete, EventsUndeclared: p.spec.undeclared})
}

func (p *goPeer) language() string { return "Go" }
func (p *goPeer) wire() *tap       { return p.tap }
func (p *goPeer) notes() *notebook { return p.book }

func (p *goPeer) options() *enoki.Options {
	o := &enoki.Options{Logger: p.log, Workers: p.spec.workers, CallsTracked: p.spec.tracked,
		Timeout: patience, Grace: patience, Serializer: serializers()[p.spec.serializer], HTTPAddress: p.spec.web,
		Errors: []fault.Type{shared}}
	for _, name := range p.spec.accept {
		if s := serializers()[name]; s != nil { // JSON is always accepted
			o.Accept = append(o.Accept, *s)
		}
	}
	return o
}

func (p *goPeer) serve(s serviceSpec) (string, error) {
	u := &underTest{peer: p, name: s.Name, instance: uuid.New()}
	service := enoki.NewService(s.Name, u.parts(s)...)
	ready := make(chan struct{})
	o := p.options()
	o.OnReady = func() { close(ready) }
	r := begin(p.link, o, service)
	p.mu.Lock()
	p.running[u.instance] = r
	p.mu.Unlock()
	select {
	case <-ready:
		return u.instance, nil
	case <-r.done:
		return "", fmt.Errorf("service ended: %w", r.err)
	case <-time.After(patience):
		r.stop()
		return "", fmt.Errorf("service did not start within %v", patience)
	}
}

func (p *goPeer) stop(instance string) error {
	p.mu.Lock()
	r := p.running[instance]
	p.mu.Unlock()
	r.stop()
	<-r.done
	return r.err
}

// abandon ends the whole peer: a Go service has no other way to go at once.
func (p *goPeer) abandon(string) { p.end() }

func (p *goPeer) open(c clientSpec) error {
	client := &goClient{spec: c}
	p.mu.Lock()
	p.clients[c.Name] = client
	p.mu.Unlock()
	return p.connect(client)
}

func (p *goPeer) connect(c *goClient) error {
	o := p.options()
	if c.spec.Timeout > 0 {
		o.Timeout = seconds(c.spec.Timeout)
	}
	link, err := p.dial(c.spec.Name)
	if err != nil {
		return err
	}
	p.mu.Lock()
	c.link, c.client = link, enoki.NewClient(link, o)
	p.mu.Unlock()
	if c.spec.Kind == inService {
		return c.surround(o)
	}
	return nil
}

// surround runs a service that makes the client's calls from its handlers.
func (c *goClient) surround(o *enoki.Options) error {
	service := enoki.NewService("caller_"+c.spec.Name, enoki.Method("run", func(ctx context.Context, number int64) error {
		call, _ := c.inside.Load(number)
		call.(func(context.Context))(ctx)
		return nil
	}, "number"))
	ready := make(chan struct{})
	o.OnReady = func() { close(ready) }
	c.around = begin(c.link, o, service)
	select {
	case <-ready:
		return nil
	case <-c.around.done:
		return c.around.err
	}
}

func (c *goClient) close() error {
	if c.around != nil {
		c.around.stop()
		<-c.around.done
	}
	return c.link.Close()
}

func (p *goPeer) client(name string) *goClient {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.clients[name]
}

func (p *goPeer) call(c callSpec) outcome {
	client := p.client(c.Client)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for key, value := range client.spec.Context {
		ctx = enoki.WithContextData(ctx, key, value)
	}
	p.mu.Lock()
	p.calling[c.Client] = cancel
	p.mu.Unlock()
	if c.Foreign {
		c.Args = []any{make(chan int)}
	}
	if client.spec.Kind == inService {
		return client.callInside(ctx, c)
	}
	return client.do(ctx, c)
}

func (c *goClient) do(ctx context.Context, call callSpec) outcome {
	result, err := c.client.Call(ctx, call.Service, call.Method, call.Args, call.Kwargs)
	return outcome{result, failureInGo(err)}
}

// callInside makes the call from a handler of the service around the client.
func (c *goClient) callInside(ctx context.Context, call callSpec) outcome {
	var out outcome
	var once sync.Once // a link that is lost meanwhile has the handler run again
	number := c.calls.Add(1)
	c.inside.Store(number, func(ctx context.Context) { once.Do(func() { out = c.do(ctx, call) }) })
	defer c.inside.Delete(number)
	if _, err := c.client.Call(ctx, "caller_"+c.spec.Name, "run", []any{number}, nil); err != nil {
		return outcome{err: failureInGo(err)}
	}
	return out
}

func (p *goPeer) interrupt(client string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calling[client]()
}

func (p *goPeer) shut(client string) error { return p.client(client).close() }

func (p *goPeer) reopen(client string) error { return p.connect(p.client(client)) }

func (p *goPeer) emit(e emitSpec) *failure {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	if e.Timeout > 0 {
		ctx, cancel = context.WithTimeout(context.Background(), seconds(e.Timeout))
	}
	defer cancel()
	return failureInGo(enoki.NewClient(p.link, p.options()).Emit(ctx, e.Source, e.Event, e.Payload))
}

func (p *goPeer) release(gate string) { p.gates.release(gate) }

// end cuts the connections first, so that nobody can say goodbye, and lets go
// of handlers, which a killed process would not have any more.
func (p *goPeer) end() {
	p.tap.close()
	p.gates.releaseAll()
	p.mu.Lock()
	links := []*amqp.Driver{p.link}
	runs := slices.Collect(maps.Values(p.running))
	for _, c := range p.clients {
		links = append(links, c.link)
		if c.around != nil {
			runs = append(runs, c.around)
		}
	}
	clear(p.running)
	p.mu.Unlock()
	for _, l := range links {
		if l != nil {
			_ = l.Close()
		}
	}
	for _, r := range runs {
		r.stop()
		<-r.done
	}
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// failureInGo puts an error of Enoki into the words of both languages.
func failureInGo(err error) *failure {
	if err == nil {
		return nil
	}
	f := &failure{kind: other, local: err.Error(), value: err.Error(), own: string(enoki.CodeOf(err))}
	var e *enoki.Error
	if !errors.As(err, &e) {
		return f
	}
	f.typ, f.path, f.args, f.value = e.Type, e.Path, e.Args, e.Message
	var own *sharedError
	if errors.As(err, &own) {
		f.local = fmt.Sprintf("%T", own)
	}
	switch {
	case errors.Is(err, enoki.IncorrectSignature):
		f.kind = incorrectSignature
	case errors.Is(err, enoki.MethodNotFound):
		f.kind = methodNotFound
	case errors.Is(err, enoki.MalformedRequest):
		f.kind = malformedRequest
	case errors.Is(err, enoki.UnknownService):
		f.kind = unknownService
	case e.Type != "":
		f.kind = remoteError
	case errors.Is(err, context.DeadlineExceeded):
		f.kind = timedOut
	case errors.Is(err, context.Canceled):
		f.kind = interrupted
	}
	return f
}

// underTest is the service that every behaviour is tried on, in Go.
type underTest struct {
	peer           *goPeer
	name, instance string
	client         *enoki.Client
	publish        nameko.Publisher[any]
}

func (u *underTest) parts(s serviceSpec) []enoki.Part {
	u.client = enoki.NewClient(u.peer.link, u.peer.options())
	parts := []enoki.Part{
		enoki.Method("echo", func(_ context.Context, v json.RawMessage) (json.RawMessage, error) { return v, nil }, "value"),
		enoki.Method("keep", func(_ context.Context, v any) (any, error) { return v, nil }, "value"),
		enoki.Method("half", func(_ context.Context, f float64) (float64, error) { return f / 2, nil }, "number"),
		enoki.Method("spread", u.spread, "a", "b", "c?"),
		enoki.Method("gather", gather, "a", "*rest", "flag?", "**more"),
		enoki.Method("nothing", func(context.Context) error { return nil }),
		enoki.Method("several", func(context.Context) (string, int, error) { return "one", 2, nil }),
		enoki.Method("whoami", func(context.Context) (string, error) { return u.instance, nil }),
		enoki.Method("inspect", u.inspect),
		enoki.Method("fail", u.fail, "kind"),
		enoki.Method("unserializable", func(context.Context) (any, error) { return make(chan int), nil }),
		enoki.Method("hold", u.hold, "gate"),
		enoki.Method("late", u.late, "gate", "service"),
		enoki.Method("afterwards", u.afterwards, "gate", "service", "method", "args"),
		enoki.Method("left", left),
		enoki.Method("relay", u.relay, "service", "method", "args"),
		enoki.Method("emit", u.emit, "event", "payload"),
	}
	if s.Web {
		parts = append(parts, web.Serve(nil, webRoutes()...))
	}
	if s.Publisher != nil {
		exchange := nameko.Exchange{Name: s.Publisher.Exchange, Type: "topic"}
		parts = append(parts, nameko.Publishes(exchange, &u.publish, s.Publisher.Options.inGo()...),
			enoki.Method("post", u.publishes, "payload", "options"))
	}
	for _, c := range s.Consumers {
		parts = append(parts, u.consumer(c))
	}
	for _, h := range s.Handlers {
		parts = append(parts, u.handler(h))
	}
	for _, t := range s.Timers {
		parts = append(parts, u.timer(t)...)
	}
	return parts
}

func (u *underTest) spread(_ context.Context, a, b, c json.RawMessage) (map[string]json.RawMessage, error) {
	return map[string]json.RawMessage{"a": a, "b": b, "c": c}, nil
}

func gather(_ context.Context, a any, rest []any, flag bool, more map[string]any) (map[string]any, error) {
	return map[string]any{"a": a, "rest": rest, "flag": flag, "more": more}, nil
}

func (u *underTest) inspect(ctx context.Context) (map[string]any, error) {
	return map[string]any{"data": enoki.ContextData(ctx), "stack": enoki.CallStack(ctx)}, nil
}

func (u *underTest) fail(_ context.Context, kind string) error { return goErrors[kind] }

// goErrors are the errors of the service under test that Python raises too.
var goErrors = map[string]error{
	"value": &enoki.Error{Code: enoki.InvalidArgument, Type: "ValueError", Path: "builtins.ValueError",
		Args: []any{"bad value", 42}, Message: "('bad value', 42)"},
	"custom": &enoki.Error{Type: "CustomError", Path: "interop.CustomError",
		Args: []any{"shop", "closed"}, Message: "('shop', 'closed')"},
	"shared": &sharedError{"shop", "closed"},
	"args": &enoki.Error{Type: "ValueError", Path: "builtins.ValueError",
		Args: []any{"text", 42, nil, true, []any{"a", 1}, map[string]any{"k": 2}}, Message: "many"},
	"unprintable": unprintable{},
}

// sharedError is an error that callers know by its path.
type sharedError struct{ where, what string }

func (e *sharedError) Error() string { return e.where + " is " + e.what }

var shared = fault.TypeFunc("interop.SharedError",
	func(e *sharedError) []any { return []any{e.where, e.what} },
	func(args []any, _ string) *sharedError {
		return &sharedError{fmt.Sprint(args[0]), fmt.Sprint(args[1])}
	})

// unprintable is an error whose text can't be had.
type unprintable struct{}

func (unprintable) Error() string { panic("no text") }

func (u *underTest) note(ctx context.Context, what, name string, payload json.RawMessage) {
	u.peer.book.write(note{Service: u.name, Instance: u.instance, What: what, Name: name, Payload: payload,
		Data: enoki.ContextData(ctx), Stack: enoki.CallStack(ctx)})
}

func (u *underTest) hold(ctx context.Context, gate string) (string, error) {
	payload, err := json.Marshal(gate)
	if err != nil {
		return "", err
	}
	u.note(ctx, "entered", "hold", payload)
	<-u.peer.gates.at(gate) // as Python does: it knows no cancelled caller
	return u.instance, nil
}

func (u *underTest) late(ctx context.Context, gate, service string) (json.RawMessage, error) {
	payload, err := json.Marshal(gate)
	if err != nil {
		return nil, err
	}
	u.note(ctx, "entered", "late", payload)
	<-u.peer.gates.at(gate)
	if err := u.client.Emit(ctx, u.name, "late", gate); err != nil {
		return nil, err
	}
	return u.client.Call(ctx, service, "echo", []any{"late"}, nil)
}

func (u *underTest) afterwards(ctx context.Context, gate, service, method string, args []any) (json.RawMessage, error) {
	if _, err := u.hold(ctx, gate); err != nil {
		return nil, err
	}
	return u.relay(ctx, service, method, args)
}

// left returns how many ms its caller waits yet.
func left(ctx context.Context) (int64, error) {
	end, ok := ctx.Deadline()
	if !ok {
		return 0, errors.New("there is no deadline")
	}
	return time.Until(end).Milliseconds(), nil
}

func (u *underTest) relay(ctx context.Context, service, method string, args []any) (json.RawMessage, error) {
	return u.client.Call(ctx, service, method, args, nil)
}

func (u *underTest) emit(ctx context.Context, event string, payload any) error {
	return u.client.Emit(ctx, u.name, event, payload)
}

func (u *underTest) publishes(ctx context.Context, payload any, options publishOptions) error {
	return u.publish(ctx, payload, options.inGo()...)
}

// inGo are the options in Enoki's form.
func (o publishOptions) inGo() []nameko.PublishOption {
	var options []nameko.PublishOption
	if o.RoutingKey != "" {
		options = append(options, nameko.RoutingKey(o.RoutingKey))
	}
	if o.DeliveryMode != 0 {
		options = append(options, nameko.Persistent(o.DeliveryMode == 2))
	}
	if o.Mandatory {
		options = append(options, nameko.Mandatory(true))
	}
	if o.Priority != 0 {
		options = append(options, nameko.Priority(o.Priority))
	}
	if o.Expiration != 0 {
		options = append(options, nameko.Expiration(time.Duration(o.Expiration)*time.Second))
	}
	if o.Compression != "" {
		options = append(options, nameko.Compression(o.Compression))
	}
	for name, value := range o.Headers {
		options = append(options, nameko.Header(name, value))
	}
	return options
}

func (u *underTest) consumer(c consumerSpec) enoki.Part {
	options := []nameko.ConsumeOption{nameko.Named(c.Name)}
	if c.Requeue {
		options = append(options, nameko.RequeueOnError())
	}
	queue := nameko.Queue{Name: c.Queue, Exchange: nameko.Exchange{Name: c.Exchange, Type: "topic"}, RoutingKey: c.Key}
	return nameko.Consume(queue, func(ctx context.Context, payload json.RawMessage) error {
		u.note(ctx, "message", c.Name, payload)
		return u.peer.failing(u.instance+c.Name, c.Fail)
	}, options...)
}

func (u *underTest) handler(h handlerSpec) enoki.Part {
	sub := enoki.Subscription[json.RawMessage]{
		Event: enoki.NewEvent[json.RawMessage](h.Source, h.Event), Name: h.Name,
		Handle: func(ctx context.Context, payload json.RawMessage) error {
			u.note(ctx, "event", h.Name, payload)
			if h.Gate != "" {
				<-u.peer.gates.at(h.Gate)
			}
			return u.peer.failing(u.instance+h.Name, h.Fail)
		},
	}
	switch {
	case h.Requeue:
		sub.OnError = enoki.Requeue{}
	case h.Drop:
		sub.OnError = enoki.Drop{}
	}
	ephemeral := h.Reliable != nil && !*h.Reliable
	switch {
	case h.BroadcastID != "", h.Mode == "broadcast":
		sub.Delivery = enoki.Broadcast{ID: h.BroadcastID}
	case h.Mode == "singleton":
		sub.Delivery = enoki.Singleton{Ephemeral: ephemeral}
	default:
		sub.Delivery = enoki.Pool{Ephemeral: ephemeral}
	}
	return sub
}

// failing returns an error the first so many times.
func (p *goPeer) failing(handler string, times int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failures[handler] >= times {
		return nil
	}
	p.failures[handler]++
	return errors.New("not this time")
}

func (u *underTest) timer(t timerSpec) []enoki.Part {
	var options []enoki.TimerOption
	if t.Eager {
		options = append(options, enoki.Eager())
	}
	tick := func(ctx context.Context) error {
		u.note(ctx, "tick", t.Name, json.RawMessage("null"))
		if t.Gate != "" {
			<-u.peer.gates.at(t.Gate)
		}
		if t.Fail {
			return errors.New("not this time")
		}
		return nil
	}
	return []enoki.Part{enoki.Every(seconds(t.Interval), tick, options...)}
}
