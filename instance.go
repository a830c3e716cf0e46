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

// instance is a service that runs.
type instance struct {
	service *Service
	process *process
	id      string // on the broker
	log     *slog.Logger
	member  broker.Member // nil until joined
	methods map[string]*served
	work    Handler // middleware around Call.work
	errors  fault.Types
	forms   forms
	slots   chan struct{}

	draining chan struct{}      // closed when nothing new is to be started
	life     context.Context    // of timers and extensions
	kill     context.CancelFunc // ends life
	timers   sync.WaitGroup
	calls    gate // calls of the same process
	streams  *streams
	opened   []entrypoint.Extension
	held     []resource // that are open
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

// around puts the middleware that every handler has around h. The net for
// panics is innermost, so that middleware sees a panic as an error, and
// outermost too, for middleware that panics.
func (i *instance) around(h Handler) Handler {
	return recovered(i.log, i.errors, chain(recovered(i.log, i.errors, h), i.process.options.Middleware, i.service.middleware))
}

// start fills what the service needs, joins the broker, and then opens what
// brings work from elsewhere.
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

// joining is the service in the broker's words.
func (i *instance) joining() broker.Service {
	about := i.service.instance()
	i.id = uuid.New()
	about.ID, about.Started = i.id, time.Now()
	about.Host, _ = os.Hostname() // for people only
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

// stop ends what brings work first, then waits for the work.
func (i *instance) stop(ctx context.Context) error {
	defer i.kill()
	gaveUp := make(chan struct{})
	giveUp := context.AfterFunc(ctx, func() {
		defer close(gaveUp)
		i.process.reportStuck()
		i.kill()
	})
	defer func() {
		if !giveUp() {
			<-gaveUp // the process may end next, and the report is of use then
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

// acquire waits for a worker slot. It returns false when none came before
// the instance began to drain or ctx ended.
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

// serve answers a request from the broker. A panic outside of its handler is
// answered, too.
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
			return nil // not started: for another instance
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

// malformed is the error of a request whose body can't be opened: its sender's
// fault, unless a serializer panicked.
func malformed(err error) *Error {
	if errors.Is(err, fault.ErrPanic) {
		panicked, _ := errors.AsType[*Error](err)
		return panicked
	}
	return Errorf(MalformedRequest, "%w", err)
}

// fail answers a request whose handler has given no answer that can be sent.
// It is a final error: another try would end the same way.
func (i *instance) fail(method string, req *broker.Message, err error) *broker.Message {
	e := Errorf(Internal, "%s.%s: %w", i.service.name, strings.TrimPrefix(method, streamPrefix+openPrefix), err)
	if !errors.Is(err, broker.ErrExited) { // that one is logged, with its stack
		i.log.Error("a request has no answer", "method", method, "id", req.ID, "error", err)
	}
	_, form, _ := i.forms.open(req) // a form that is not known is JSON
	out := answer(form, contract.EncodeFailure(e))
	if req.OneWay {
		out.Reject, out.RejectKind = e.Message, broker.KindOf(err)
	}
	return out
}

// acquireFor is acquire for a request. One that no other instance would serve
// waits for a slot though this one drains.
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

// unstarted answers a request that found no free worker while its caller, or
// this instance, had time.
func (i *instance) unstarted(ctx context.Context, name string, form *Serializer, req *broker.Message) *broker.Message {
	err := i.errors.Failure(fmt.Errorf("%s.%s: no free worker in time: %w", i.service.name, name, ctx.Err()))
	out := answer(form, contract.EncodeFailure(err))
	if req.OneWay {
		out.Reject, out.RejectKind = err.Message, string(err.Code)
	}
	return out
}

// refuse answers a request that does not get to its handler.
func (i *instance) refuse(ctx context.Context, name string, form *Serializer, refused *Error) *broker.Message {
	i.log.WarnContext(ctx, "request refused", "method", name, "code", string(refused.Code), "error", refused.Message)
	logPanic(ctx, i.log, "request of "+name+"()", refused)
	out := answer(form, contract.EncodeFailure(refused))
	out.Reject, out.RejectKind = refused.Message, kindOf(refused)
	return out
}

// answer returns a reply in the form of its request. A result that has no such
// form is an error.
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

// read finds the method of a request and decodes its arguments.
func (i *instance) read(in *incoming, body []byte, form *Serializer) (*served, *Error) {
	m, ok := i.methods[in.call.Method]
	if !ok {
		return nil, &Error{Code: MethodNotFound, Message: in.call.Method}
	}
	args, refused := m.Arguments(body, form == nil, in.room[:])
	in.call.in, in.call.sensitive = args, m.Sensitive
	return m, refused
}

// outcome encodes what a handler returned.
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

// cutOff returns what the caller is told of err: work that ends as cancelled
// while the instance stops was cancelled by that, not by its caller, who would
// not read the answer.
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

// logFailure logs an error at the level it deserves: a caller's mistake is no
// fault of the service, what a call of its own ended with is.
func (i *instance) logFailure(ctx context.Context, c *Call, err error) {
	level := slog.LevelInfo
	if fault.RelayedCode(err).HTTPStatus() >= 500 {
		level = slog.LevelError
	}
	i.log.Log(ctx, level, "handler failed", "kind", string(c.Kind), "method", c.Method, "code", string(CodeOf(err)), "error", err)
}

// callNear serves a call of the same process in the caller's goroutine. It is
// not done when the method's function has another type here, so that values
// must be converted, or when the instance takes no more calls.
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

// handler handles the events of a subscription and says what becomes of them.
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
			whole, _ := unwrap(m) // it was read; what counts is the id that its sender knows
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

// lost says what becomes of the events of sub whose handler did not say so.
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

// payload decodes the payload of an event. The kind says why it can't.
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

// buried tells the operator of a dead letter.
func (i *instance) buried(l broker.DeadLetter) {
	_ = i.safely("OnDeadLetter", func() error { i.process.options.OnDeadLetter(l); return nil }) // the letter is kept all the same
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

// prepare has the extensions fill what handlers use.
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
