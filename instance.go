package enoki

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/entrypoint"
	"github.com/enoki-go/enoki/fault"
	"github.com/enoki-go/enoki/internal/contract"
	"github.com/enoki-go/enoki/internal/trail"
	"github.com/enoki-go/enoki/internal/uuid"
)

// instance is a running service.
type instance struct {
	service *Service
	process *process
	id      string // of the instance on the broker
	log     *slog.Logger
	member  broker.Member // nil until the instance has joined
	methods map[string]*served
	work    Handler // middleware around Call.work
	errors  fault.Types
	forms   forms
	slots   chan struct{}

	draining chan struct{}      // closed when no new work may start
	life     context.Context    // the context of timers and extensions
	kill     context.CancelFunc // ends life
	timers   sync.WaitGroup
	calls    gate // calls from the same process
	streams  *streams
	opened   []entrypoint.Extension
	held     []resource // the open resources
}

func newInstance(s *Service, p *process) *instance {
	i := &instance{
		service: s, process: p, log: p.options.Logger.With("service", s.name),
		methods: map[string]*served{}, slots: make(chan struct{}, p.options.Workers),
		draining: make(chan struct{}), errors: slices.Concat(p.options.Errors, s.errors),
		forms: formsOf(&p.options),
	}
	i.streams = newStreams(i)
	for _, m := range s.methods {
		i.methods[m.Name] = &served{Method: m.Method, handle: i.around(m.handle)}
	}
	i.work = i.around(func(ctx context.Context, c *Call) error { return c.work(ctx) })
	return i
}

// around puts the middleware of every handler around h. It catches panics
// twice. The inner net lets middleware see a handler's panic as an error. The
// outer net catches the panics of middleware.
func (i *instance) around(h Handler) Handler {
	return recovered(i.log, i.errors, chain(recovered(i.log, i.errors, h), i.process.options.Middleware, i.service.middleware))
}

// start fills what the service needs and joins the broker. Then it starts the
// extensions and timers.
func (i *instance) start(ctx context.Context) error {
	i.life, i.kill = context.WithCancel(context.WithoutCancel(ctx))
	client := i.process.client(i)
	for _, fill := range i.service.fills {
		if err := fill(client); err != nil {
			return err
		}
	}
	if err := i.openResources(ctx); err != nil {
		return err
	}
	if err := i.prepare(ctx); err != nil {
		return err
	}
	member, err := i.process.broker.Join(ctx, i.joining())
	if err != nil {
		return err
	}
	i.member = member
	for _, x := range i.service.extensions {
		if err := i.safely("extension", func() error { return x.Start(i.life, scopeOf(i)) }); err != nil {
			return err
		}
		i.opened = append(i.opened, x)
	}
	for _, t := range i.service.timers {
		if t.schedule != nil {
			i.timers.Go(func() { i.turns(t).run(i.draining) })
		} else {
			i.timers.Go(func() { t.run(i.draining, func() { i.tick(t) }) })
		}
	}
	return nil
}

// joining describes the service to the broker.
func (i *instance) joining() broker.Service {
	about := i.service.instance()
	i.id = uuid.New()
	about.ID, about.Started = i.id, time.Now()
	about.Host, _ = os.Hostname() // only people read it
	s := broker.Service{Instance: about, Workers: i.process.options.Workers, Buried: i.buried}
	if len(i.methods) > 0 {
		s.Serve, s.Fail, s.Drain = i.serve, i.fail, i.streams.drain
	}
	for _, m := range i.methods {
		s.AtMostOnce = s.AtMostOnce || m.AtMostOnce
	}
	for _, sub := range i.service.subscriptions {
		s.Subscriptions = append(s.Subscriptions, i.subscription(sub))
	}
	return s
}

// stop stops new work first, then waits for running work.
func (i *instance) stop(ctx context.Context) error {
	defer i.kill()
	giveUp := sync.OnceFunc(func() {
		i.process.reportStuck()
		i.kill()
	})
	unwatch := context.AfterFunc(ctx, giveUp)
	defer func() {
		// The end of ctx may be seen here before AfterFunc is told of it. The
		// process may end next, and nobody would see the report.
		if !unwatch() || ctx.Err() != nil {
			giveUp()
		}
	}()
	var failures []error
	for _, x := range i.opened {
		failures = append(failures, i.safely("extension", func() error { return x.Stop(ctx) }))
	}
	close(i.draining)
	if i.member != nil {
		failures = append(failures, i.member.Leave(ctx))
	}
	failures = append(failures, i.calls.close(ctx), wait(ctx, &i.timers), i.closeResources(ctx))
	return errors.Join(failures...)
}

// acquire waits for a worker slot. It returns false if the instance begins to
// drain or ctx ends first.
func (i *instance) acquire(ctx context.Context) bool {
	select {
	case i.slots <- struct{}{}:
		return true
	default:
	}
	select {
	case i.slots <- struct{}{}:
		return true
	case <-i.draining:
	case <-ctx.Done():
	}
	return false
}

func (i *instance) release() { <-i.slots }

// serve replies to a request from the broker. It also replies when code outside
// the handler panics.
func (i *instance) serve(ctx context.Context, name string, req *broker.Message) (out *broker.Message) {
	defer func() {
		if p := recover(); p != nil {
			out = i.refuse(ctx, name, nil, fault.Panicked(p))
		}
	}()
	if operation, ok := strings.CutPrefix(name, streamPrefix); ok {
		return i.streams.serve(ctx, operation, req)
	}
	in := receive(req, entrypoint.RPC, i.service.name, name)
	ctx = in.within(ctx)
	defer in.limit.End()
	body, form, err := i.forms.open(req)
	if err != nil {
		return i.refuse(ctx, name, nil, malformed(err))
	}
	m, refused := i.read(in, body, form)
	if refused != nil {
		return i.refuse(ctx, name, form, refused)
	}
	if m.Item != nil {
		return i.refuse(ctx, name, form, Errorf(IncorrectSignature, "%s() returns a stream of results; call it by a contract of Enoki", name))
	}
	if !i.acquireFor(ctx, req) {
		if ctx.Err() == nil {
			return nil // not started: another instance gets it
		}
		return i.unstarted(ctx, name, form, req)
	}
	defer i.release()
	inner := in.enter(ctx, i.process.options.CallsTracked)
	err = m.handle(inner, &in.call)
	out = answer(form, i.outcome(inner, &in.call, err))
	if err != nil && req.OneWay {
		out.Reject, out.RejectKind = err.Error(), string(CodeOf(err))
	}
	return out
}

// malformed returns the error for a request whose body can't be read. It blames
// the sender, unless a serializer panicked.
func malformed(err error) *Error {
	if errors.Is(err, fault.ErrPanic) {
		panicked, _ := errors.AsType[*Error](err)
		return panicked
	}
	return Errorf(MalformedRequest, "%w", err)
}

// fail replies to a request whose handler gave no reply that can be sent. The
// error is final, because another attempt would end in the same way.
func (i *instance) fail(method string, req *broker.Message, err error) *broker.Message {
	e := Errorf(Internal, "%s.%s: %w", i.service.name, strings.TrimPrefix(method, streamPrefix+openPrefix), err)
	if !errors.Is(err, broker.ErrExited) { // its log line is written already, with the stack
		i.log.Error("a request has no answer", "method", method, "id", req.ID, "error", err)
	}
	_, form, _ := i.forms.open(req) // an unknown form means JSON
	out := answer(form, contract.EncodeFailure(e))
	if req.OneWay {
		out.Reject, out.RejectKind = e.Message, broker.KindOf(err)
	}
	return out
}

// acquireFor is acquire for a request. If no other instance can serve the
// request, it waits for a slot even while the instance drains.
func (i *instance) acquireFor(ctx context.Context, req *broker.Message) bool {
	if !req.OneWay && req.Instance == "" {
		return i.acquire(ctx)
	}
	select {
	case i.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// unstarted replies to a request that found no free worker before its deadline
// or before the instance stopped.
func (i *instance) unstarted(ctx context.Context, name string, form *Serializer, req *broker.Message) *broker.Message {
	err := i.errors.Failure(fmt.Errorf("%s.%s: no free worker in time: %w", i.service.name, name, ctx.Err()))
	out := answer(form, contract.EncodeFailure(err))
	if req.OneWay {
		out.Reject, out.RejectKind = err.Message, string(err.Code)
	}
	return out
}

// refuse replies to a request that does not reach its handler.
func (i *instance) refuse(ctx context.Context, name string, form *Serializer, refused *Error) *broker.Message {
	i.log.WarnContext(ctx, "request refused", "method", name, "code", string(refused.Code), "error", refused.Message)
	logPanic(ctx, i.log, "request of "+name+"()", refused)
	out := answer(form, contract.EncodeFailure(refused))
	out.Reject, out.RejectKind = refused.Message, kindOf(refused)
	return out
}

// answer returns a reply in the form of the request. If the result can't be
// written in that form, the reply is an error.
func answer(form *Serializer, body []byte) *broker.Message {
	m, err := form.message(body)
	if err != nil {
		m, err = form.message(contract.EncodeFailure(unserializable(err)))
	}
	if err != nil {
		m, _ = (*Serializer)(nil).message(contract.EncodeFailure(unserializable(err)))
	}
	return m
}

func unserializable(err error) *Error {
	return &Error{Code: Internal, Type: "UnserializableValueError", Path: "nameko.exceptions.UnserializableValueError",
		Message: "Unserializable value: " + err.Error()}
}

// read finds the method of a request and decodes the arguments.
func (i *instance) read(in *incoming, body []byte, form *Serializer) (*served, *Error) {
	m, ok := i.methods[in.call.Method]
	if !ok {
		return nil, &Error{Code: MethodNotFound, Message: in.call.Method}
	}
	args, refused := m.Arguments(body, form == nil, in.room[:])
	in.call.in, in.call.sensitive = args, m.Sensitive
	return m, refused
}

// outcome encodes the results or the error of a handler.
func (i *instance) outcome(ctx context.Context, c *Call, err error) []byte {
	if err == nil {
		body, unfit := contract.EncodeResults(c.out)
		if unfit == nil {
			return body
		}
		logPanic(ctx, i.log, "result of "+c.Method+"()", unfit)
		err = unserializable(unfit)
	}
	i.logFailure(ctx, c, err)
	return contract.EncodeFailure(i.errors.Failure(i.cutOff(c, err)))
}

// cutOff returns the error that the caller gets. If work is cancelled while the
// instance stops, the stop has cancelled it: a caller that cancels would not
// read the reply.
func (i *instance) cutOff(c *Call, err error) error {
	select {
	case <-i.draining:
		if errors.Is(err, context.Canceled) {
			return Errorf(Unavailable, "service %s has stopped before %s() was done", c.Service, c.Method)
		}
	default:
	}
	return err
}

// logFailure logs the error of a handler. Mistakes of callers are logged at
// level info. Faults of the service are logged at level error, and so are the
// failures of its own calls.
func (i *instance) logFailure(ctx context.Context, c *Call, err error) {
	level := slog.LevelInfo
	if fault.RelayedCode(err).HTTPStatus() >= 500 {
		level = slog.LevelError
	}
	i.log.Log(ctx, level, "handler failed", "kind", string(c.Kind), "method", c.Method, "code", string(CodeOf(err)), "error", err)
}

// callNear serves a call of the same process in the caller's goroutine. done is
// false if the instance takes no more calls, or if the functions of the two
// sides differ in type, so that values must be converted.
func (i *instance) callNear(ctx context.Context, m *contract.Method, c *Call) (done bool, err error) {
	s, ok := i.methods[m.Name]
	if !ok || s.Func != m.Func || !i.calls.enter() {
		return false, nil
	}
	defer i.calls.leave()
	h := &handling{call: Call{Kind: entrypoint.RPC, Service: i.service.name, Method: m.Name, in: c.in, sensitive: s.Sensitive}}
	err = s.handle(h.enter(ctx, trail.Of(ctx), i.process.options.CallsTracked), &h.call)
	if err != nil {
		i.logFailure(ctx, &h.call, err)
		return true, i.errors.Answer(err)
	}
	c.out = h.call.out
	return true, nil
}

// handler returns the function that handles the events of a subscription and
// settles them.
func (i *instance) handler(sub *subscription) func(context.Context, *broker.Message) broker.Settlement {
	handle := i.around(sub.once(i.service.name))
	return func(ctx context.Context, m *broker.Message) (outcome broker.Settlement) {
		defer func() {
			if p := recover(); p != nil {
				err := fault.Panicked(p)
				logPanic(ctx, i.log, "event "+sub.source+"."+sub.event, err)
				outcome = sub.unread(broker.KindPanic, err)
			}
		}()
		payload, unread, err := i.payload(sub, m)
		if err != nil {
			outcome := sub.unread(unread, err)
			logPanic(ctx, i.log, "payload of "+sub.source+"."+sub.event, err)
			i.log.ErrorContext(ctx, "event cannot be read", "event", sub.source+"."+sub.event, "id", m.ID,
				"kept as a dead letter", outcome.Verdict == broker.Reject, "error", err)
			return outcome
		}
		if !i.acquire(ctx) {
			return broker.Settlement{Verdict: broker.HandBack}
		}
		defer i.release()
		in := receive(m, entrypoint.Event, i.service.name, sub.handler)
		c := &in.call
		c.in = append(in.room[:0], payload)
		inner := in.enter(ctx, i.process.options.CallsTracked)
		inner.SetEvent(m)
		if isCloudEvent(m) {
			whole, _ := unwrap(m) // payload could unwrap it; handlers need the id that the sender knows
			inner.SetEvent(whole)
		}
		err = handle(inner, c)
		if err == nil {
			return broker.Settlement{}
		}
		i.logFailure(inner, c, err)
		outcome = sub.settle(ctx, m.Attempt, err)
		if outcome.Verdict == broker.Done {
			i.log.ErrorContext(ctx, "event dropped after its handler failed", "event", sub.source+"."+sub.event, "id", m.ID)
		}
		return outcome
	}
}

// lost settles an event of sub whose handler did not return.
func (i *instance) lost(sub *subscription) func(*broker.Message, error) broker.Settlement {
	return func(m *broker.Message, err error) broker.Settlement {
		event := sub.source + "." + sub.event
		i.log.Error("an event has no outcome", "event", event, "id", m.ID, "method", sub.handler, "attempt", m.Attempt, "error", err)
		outcome := sub.lost(m.Attempt, err)
		if outcome.Verdict == broker.Done {
			i.log.Error("event dropped after its handler failed", "event", event, "id", m.ID)
		}
		return outcome
	}
}

// payload decodes the payload of an event. kind is the kind of failure if it
// can't.
func (i *instance) payload(sub *subscription, m *broker.Message) (payload reflect.Value, kind string, err error) {
	body, form, err := i.forms.open(m)
	if err != nil {
		if errors.Is(err, fault.ErrPanic) {
			return payload, broker.KindPanic, err
		}
		return payload, broker.KindUnreadable, err
	}
	payload = reflect.New(sub.payload).Elem()
	if err := contract.Unmarshal(body, form == nil, payload); err != nil {
		return payload, unreadKind(err), fmt.Errorf("payload is not as declared: %w", contract.Unfit(sub.payload, err))
	}
	return payload, "", nil
}

// buried tells the operator about a dead letter.
func (i *instance) buried(l broker.DeadLetter) {
	_ = i.safely("OnDeadLetter", func() error { i.process.options.OnDeadLetter(l); return nil }) // a panic of the hook changes nothing: the letter is stored
	i.log.Error("dead letter kept", "letter", l.ID, "handler", l.Handler, "event", strings.Trim(l.Source+"."+l.Event, "."), "id", l.Message.ID,
		"failure", l.Kind, "attempts", l.Attempts, "revived", l.Revived, "reason", l.Reason)
}

// tick runs a timer once.
func (i *instance) tick(t *timer) {
	if err := i.do(i.life, entrypoint.Timer, t.name, t.fn); err != nil {
		i.log.Error("timer failed", "method", t.name, "error", err)
	}
}

func (i *instance) safely(what string, fn func() error) error { return safely(i.log, what, fn) }

// prepare lets the extensions fill what the handlers use.
func (i *instance) prepare(ctx context.Context) error {
	for _, x := range i.service.extensions {
		if p, ok := x.(entrypoint.Preparer); ok {
			if err := i.safely("extension", func() error { return p.Prepare(ctx, scopeOf(i)) }); err != nil {
				return err
			}
		}
	}
	return nil
}
