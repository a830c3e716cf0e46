package enokitest

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/memory"
)

// roll is a dice roll for one message. It depends on the seed, the operation,
// the message's body and how often the operation was done before. It does not
// depend on goroutines, so the same seed makes the same history.
type roll struct {
	*rand.Rand
	options SimOptions
	calm    bool
	times   int // how often the operation was done before with this body
}

func (s *Sim) roll(kind string, about ...string) roll {
	key := fmt.Sprint(kind, about)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rolled[key]++
	h := fnv.New64a()
	fmt.Fprint(h, key, s.rolled[key])
	return roll{rand.New(rand.NewPCG(s.options.Seed, h.Sum64())), s.options, s.calm, s.rolled[key]}
}

// upTo returns a random time up to d, in nanoseconds, so that two are hardly
// ever equal.
func (r roll) upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(r.Int64N(int64(d))) + 1
}

// happens reports whether an event of that probability happens.
func (r roll) happens(probability float64) bool {
	return r.Float64() < probability && !r.calm
}

// backoff returns the delay before the next attempt. It is the delay of package
// enoki, with jitter from the seed.
func (r roll) backoff(attempt int) time.Duration {
	return r.upTo(min(5*time.Minute, time.Second<<min(attempt-1, 10)))
}

// loss is what happens to something that is sent.
type loss int

const (
	arrives loss = iota
	before       // it gets lost
	after        // it is done, but its confirmation gets lost
)

func (r roll) loss() loss {
	switch lost, half := r.happens(r.options.Loss), r.IntN(2) == 0; {
	case lost && half:
		return before
	case lost:
		return after
	}
	return arrives
}

// faulty is the link of a node.
type faulty struct {
	broker.Broker
	sim  *Sim
	node *node
	life string // of the node, for rolls that depend on more than a message
}

// Emit implements broker.Broker.
func (f *faulty) Emit(ctx context.Context, source, event string, m *broker.Message) error {
	name := source + "." + event
	if err := f.Ready(); err != nil { // the node has crashed, and its leftovers must not roll
		return err
	}
	r := f.sim.roll("emit", name, string(m.Body))
	if err := sleep(ctx, r.upTo(f.sim.options.Delay)); err != nil {
		return fmt.Errorf("emit %s: %w: %w", name, broker.ErrNotDelivered, err)
	}
	lost := r.loss()
	if lost == before {
		f.sim.Note("%s emits %s %s: it is lost", f.node.name, name, m.Body)
		return fmt.Errorf("emit %s: %w: %w", name, broker.ErrNotDelivered, errLost)
	}
	handlers := f.sim.handlers(name)
	if err := f.Broker.Emit(memory.Labelled(ctx, strconv.Itoa(r.times)), source, event, m); err != nil {
		return err
	}
	if lost == after {
		f.sim.Note("%s emits %s %s: its confirmation is lost", f.node.name, name, m.Body)
		return fmt.Errorf("emit %s: %w: %w", name, broker.ErrUnknownOutcome, errLost)
	}
	f.sim.Note("%s emits %s %s", f.node.name, name, m.Body)
	f.sim.confirmed(name, handlers, m)
	return nil
}

// handlers returns the handlers for which an event is stored.
func (s *Sim) handlers(event string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.subs[event])
}

// confirmed notes that an event has to be handled.
func (s *Sim) confirmed(event string, handlers []string, m *broker.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, handler := range handlers {
		if key := pending(handler, event, m); !s.done[key] { // the event may be handled before it is confirmed
			s.missing[key] = true
		}
	}
	if m.Due.After(s.due) {
		s.due = m.Due
	}
}

func pending(handler, event string, m *broker.Message) string {
	return fmt.Sprintf("event %s %s (id %s) by %s", event, m.Body, m.ID, handler)
}

// handled notes that an event was handled.
func (s *Sim) handled(handler, event string, m *broker.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := pending(handler, event, m)
	s.done[key] = true
	delete(s.missing, key)
}

// Call implements broker.Broker.
func (f *faulty) Call(ctx context.Context, service, method string, req *broker.Message) (*broker.Message, error) {
	name := service + "." + method
	if err := f.Ready(); err != nil {
		return nil, err
	}
	f.sim.open(1)
	defer f.sim.open(-1)
	r := f.sim.roll("call", name, string(req.Body))
	if err := sleep(ctx, r.upTo(f.sim.options.Delay)); err != nil {
		return nil, err
	}
	lost := r.loss()
	if lost == before {
		f.sim.Note("%s calls %s %s: it is lost", f.node.name, name, req.Body)
		return nil, fmt.Errorf("call %s: %w: %w", name, broker.ErrNotDelivered, errLost)
	}
	reply, err := f.Broker.Call(ctx, service, method, req)
	if lost == after && err == nil {
		f.sim.Note("%s calls %s %s: its reply is lost", f.node.name, name, req.Body)
		return nil, fmt.Errorf("call %s: %w: %w", name, broker.ErrUnknownOutcome, errLost)
	}
	f.sim.Note("%s calls %s %s", f.node.name, name, req.Body)
	return reply, err
}

// open adds n to the number of calls that have not ended.
func (s *Sim) open(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls += n
}

// Join implements broker.Broker.
func (f *faulty) Join(ctx context.Context, s broker.Service) (broker.Member, error) {
	if serve := s.Serve; serve != nil {
		s.Serve = f.serving(s.Name, serve)
	}
	s.Subscriptions = slices.Clone(s.Subscriptions)
	for i := range s.Subscriptions {
		sub := &s.Subscriptions[i]
		sub.Handle, sub.Fail = f.handling(s.Name, *sub), f.failing(s.Name, *sub)
	}
	m, err := f.Broker.Join(ctx, s)
	if err == nil {
		f.sim.subscribed(&s)
	}
	return m, err
}

// subscribed notes the lasting subscriptions.
func (s *Sim) subscribed(service *broker.Service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range service.Subscriptions {
		event, handler := sub.Source+"."+sub.Event, service.Name+"."+sub.Handler
		if sub.Lasts() && sub.Mode == broker.Pool && !slices.Contains(s.subs[event], handler) {
			s.subs[event] = append(s.subs[event], handler)
		}
	}
}

type serve = func(ctx context.Context, method string, req *broker.Message) *broker.Message

// serving wraps serve for a node that may crash. After a crash a broker gives
// the request to another instance.
func (f *faulty) serving(service string, serve serve) serve {
	return func(ctx context.Context, method string, req *broker.Message) *broker.Message {
		name := service + "." + method
		r := f.sim.roll("serve", name, string(req.Body))
		if sleep(ctx, r.upTo(f.sim.options.Delay)) != nil {
			return nil
		}
		crash, early := r.happens(f.sim.options.Crashes), r.IntN(2) == 0
		if crash && early {
			f.node.die(fmt.Sprintf("before it serves %s %s", name, req.Body))
			return nil
		}
		reply := serve(ctx, method, req)
		if crash && req.Instance == "" && !req.OneWay {
			f.node.die(fmt.Sprintf("after it served %s %s", name, req.Body))
			return nil
		}
		return reply
	}
}

// handling wraps the handler of sub for a node that may crash.
func (f *faulty) handling(service string, sub broker.Subscription) func(context.Context, *broker.Message) broker.Settlement {
	handler, event := service+"."+sub.Handler, sub.Source+"."+sub.Event
	return func(ctx context.Context, m *broker.Message) broker.Settlement {
		r := f.sim.roll("deliver", handler, event, string(m.Body), memory.Label(ctx))
		if sleep(ctx, r.upTo(f.sim.options.Delay)) != nil {
			return broker.Settlement{Verdict: broker.HandBack}
		}
		crash, early, again := r.happens(f.sim.options.Crashes), r.IntN(2) == 0, r.happens(f.sim.options.Duplicates)
		if crash && early {
			f.node.die(fmt.Sprintf("before %s gets %s %s", handler, event, m.Body))
			return broker.Settlement{Verdict: broker.HandBack}
		}
		outcome := sub.Handle(ctx, m)
		f.sim.Note("%s: %s had %s %s, attempt %d: %s", f.node.name, handler, event, m.Body, m.Attempt, word(outcome.Verdict))
		switch outcome.Verdict {
		case broker.Done, broker.Reject:
			f.sim.handled(handler, event, m)
		case broker.Retry:
			outcome.Delay = r.backoff(m.Attempt)
		}
		if crash {
			f.node.die(fmt.Sprintf("after %s had %s %s", handler, event, m.Body))
		} else if again && outcome.Verdict == broker.Done {
			return broker.Settlement{Verdict: broker.HandBack}
		}
		return outcome
	}
}

// failing notes the outcome of an event that has ended too many processes.
func (f *faulty) failing(service string, sub broker.Subscription) func(*broker.Message, error) broker.Settlement {
	return func(m *broker.Message, err error) broker.Settlement {
		outcome := sub.Failed(m, err)
		handler, event := service+"."+sub.Handler, sub.Source+"."+sub.Event
		f.sim.Note("%s: %s failed with %s %s: %v: %s", f.node.name, handler, event, m.Body, err, word(outcome.Verdict))
		if outcome.Verdict == broker.Done || outcome.Verdict == broker.Reject {
			f.sim.handled(handler, event, m)
		}
		return outcome
	}
}

func word(v broker.Verdict) string {
	switch v {
	case broker.Done:
		return "done"
	case broker.Retry:
		return "to be tried again"
	case broker.Reject:
		return "dead"
	default:
		return "handed back"
	}
}

// Lock implements broker.Broker.
func (f *faulty) Lock(ctx context.Context, name string) (broker.Lock, error) {
	if err := f.Ready(); err != nil {
		return nil, err
	}
	r := f.sim.roll("lock", f.life, name)
	if err := sleep(ctx, r.upTo(f.sim.options.Delay)); err != nil {
		return nil, err
	}
	l, err := f.Broker.Lock(ctx, name)
	if err != nil {
		return nil, err
	}
	f.sim.Note("%s holds the lock %s", f.node.name, name)
	return &faultyLock{l, f, name}, nil
}

// faultyLock is a lock of a node.
type faultyLock struct {
	broker.Lock
	link *faulty
	name string
}

// Save implements broker.Lock.
func (l *faultyLock) Save(ctx context.Context, state []byte) error {
	r := l.link.sim.roll("save", l.link.life, l.name)
	lost := r.loss()
	if lost == before {
		return fmt.Errorf("save %s: %w: %w", l.name, broker.ErrUnknownOutcome, errLost)
	}
	if err := l.Lock.Save(ctx, state); err != nil {
		return err
	}
	if lost == after {
		return fmt.Errorf("save %s: %w: %w", l.name, broker.ErrUnknownOutcome, errLost)
	}
	if r.happens(l.link.sim.options.Crashes) {
		l.link.node.die("after it saved the lock " + l.name)
	}
	return nil
}
