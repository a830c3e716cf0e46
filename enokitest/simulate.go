package enokitest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker/memory"
)

// SeedVariable is the environment variable with the seed of a simulation that
// is to be replayed.
const SeedVariable = "ENOKI_SEED"

// SimOptions say how often things go wrong. The zero value is useful, and so is
// nil.
type SimOptions struct {
	// Seed determines the history. Default: the value of ENOKI_SEED, or else a
	// random seed.
	Seed uint64

	// Loss is how often an emit, a call or a Save of a lock fails, from 0 to 1.
	// Half of them fail after the work was done. Default: 0.1; a negative value
	// means never.
	Loss float64

	// Duplicates is how often an event is delivered again after it was handled,
	// from 0 to 1. Default: 0.1; a negative value means never.
	Duplicates float64

	// Crashes is how often an instance crashes when it gets a message, from 0 to 1.
	// Half of the crashes come before the handler runs, half come after it and
	// before the broker learns of the outcome. The instance is back within a
	// minute. Default: 0.02; a negative value means never.
	Crashes float64

	// Delay is the longest time that a message is on its way. It also changes the
	// order of messages. Default: 1 s; a negative value means none.
	Delay time.Duration
}

func (o *SimOptions) withDefaults() (SimOptions, error) {
	var out SimOptions
	if o != nil {
		out = *o
	}
	for value, standard := range map[*float64]float64{&out.Loss: 0.1, &out.Duplicates: 0.1, &out.Crashes: 0.02} {
		*value = max(cmp.Or(*value, standard), 0)
	}
	out.Delay = max(cmp.Or(out.Delay, time.Second), 0)
	if out.Seed != 0 {
		return out, nil
	}
	out.Seed = rand.Uint64()
	text := os.Getenv(SeedVariable)
	if text == "" {
		return out, nil
	}
	var err error
	if out.Seed, err = strconv.ParseUint(text, 10, 64); err != nil {
		return out, fmt.Errorf("%s is %q; give the number that a failed simulation has printed", SeedVariable, text)
	}
	return out, nil
}

// Sim is a cluster in which messages are lost, late, duplicated and reordered,
// and in which instances crash. Its methods may be called concurrently.
type Sim struct {
	// Client calls and emits from outside, with the same losses. The caller handles
	// errors of the broker, as always: emit an unconfirmed event again with the
	// same id (enoki.WithMessageID).
	Client *enoki.Client

	options SimOptions
	begun   time.Time
	broker  *memory.Broker
	nodes   sync.WaitGroup
	life    context.Context // the context of nodes
	stop    context.CancelFunc

	mu       sync.Mutex // guards the fields below
	calm     bool       // nothing goes wrong any more
	rolled   map[string]int
	history  []happening
	subs     map[string][]string // the handlers of lasting subscriptions, by event
	missing  map[string]bool     // events that were confirmed and are not handled yet
	done     map[string]bool     // events that were handled
	due      time.Time           // when the last delayed event is due
	calls    int                 // how many calls have not ended
	started  int                 // how many nodes there are
	effects  map[string]int
	problems []string
}

type happening struct {
	at   time.Duration
	what string
}

// Simulate runs a simulation in a bubble of testing/synctest. run starts
// services with Sim.Run, calls and emits, and sleeps for as long as the history
// should last. After run, nothing goes wrong any more, and Simulate waits until
// all is quiet. Then it fails the test unless
//   - every event whose emit was confirmed was handled or is a dead letter, for
//     every lasting subscription that existed,
//   - no effect was done twice (Sim.Effect),
//   - every call has ended.
//
// The same seed makes the same history, on two conditions. Services use only
// the clock and the messages that they get. Messages that are sent at the same
// moment differ. A failed test prints its seed. The delays between attempts
// come from the seed, and failed calls are not sent again.
func Simulate(t *testing.T, o *SimOptions, run func(t *testing.T, s *Sim)) {
	t.Helper()
	options, err := o.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSim(options)
		defer func() { // runs after t.Fatal too
			s.end()
			for _, problem := range s.check() {
				t.Error(problem)
			}
			if t.Failed() {
				t.Logf("replay this history with %s=%d:", SeedVariable, options.Seed)
				for _, line := range s.History() {
					t.Log(line)
				}
			}
		}()
		run(t, s)
		s.settle()
	})
}

func newSim(o SimOptions) *Sim {
	s := &Sim{
		options: o, begun: time.Now(), broker: memory.New(),
		rolled: map[string]int{}, subs: map[string][]string{}, missing: map[string]bool{}, done: map[string]bool{}, effects: map[string]int{},
	}
	s.life, s.stop = context.WithCancel(context.Background())
	s.Client = enoki.NewClient(&faulty{Broker: s.broker, sim: s, node: &node{name: "client", crash: func() {}}}, s.settings())
	return s
}

// settings returns the options of a client or a service. Retries and breakers
// are off, because their chance does not come from the seed.
func (s *Sim) settings() *enoki.Options {
	return &enoki.Options{Logger: slog.New(slog.DiscardHandler), Retries: new(false), Breakers: new(false)}
}

// Effect notes that a handler has done something that must be done once for
// each key. It stands for a database transaction: call it where the handler
// would commit.
func (s *Sim) Effect(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.effects[key]++
	s.note("effect %s", key)
}

// Note adds a line to the history.
func (s *Sim) Note(format string, a ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(format, a...)
}

// note is Note with mu held. What happens while everything stops at one moment
// is left out of the history.
func (s *Sim) note(format string, a ...any) {
	if s.life.Err() != nil {
		return
	}
	s.history = append(s.history, happening{time.Since(s.begun), fmt.Sprintf(format, a...)})
}

// History returns what has happened so far, with the time since the beginning.
func (s *Sim) History() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Events of the same moment have no order.
	slices.SortStableFunc(s.history, func(a, b happening) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.what, b.what))
	})
	lines := make([]string, len(s.history))
	for i, h := range s.history {
		lines[i] = h.at.String() + " " + h.what
	}
	return lines
}

// settleLimit is how long Simulate waits until all is quiet, in the bubble's
// time. It is far longer than all attempts of an event take.
const settleLimit = 24 * time.Hour

// settle ends the faults and waits until every confirmed event is handled.
func (s *Sim) settle() {
	s.mu.Lock()
	s.calm = true
	end := time.Now().Add(settleLimit)
	if s.due.After(time.Now()) {
		end = s.due.Add(settleLimit)
	}
	s.mu.Unlock()
	for !s.quiet() && time.Now().Before(end) {
		time.Sleep(time.Second)
	}
	time.Sleep(time.Minute) // for work that nobody waits for
}

func (s *Sim) quiet() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.missing) == 0 && s.calls == 0
}

// end stops all instances.
func (s *Sim) end() {
	s.stop()
	s.nodes.Wait()
	_ = s.broker.Close() // the error is always nil
}

// check returns what is wrong once all is quiet.
func (s *Sim) check() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	problems := s.problems
	for _, missing := range slices.Sorted(maps.Keys(s.missing)) {
		problems = append(problems, "confirmed, and never handled: "+missing)
	}
	for _, key := range slices.Sorted(maps.Keys(s.effects)) {
		if n := s.effects[key]; n > 1 {
			problems = append(problems, fmt.Sprintf("effect %s was done %d times, want once", key, n))
		}
	}
	if s.calls > 0 {
		problems = append(problems, fmt.Sprintf("%d calls have not ended", s.calls))
	}
	return problems
}

// Run runs instances of a service until the simulation ends. Each instance is
// made by service and is a process of its own. State that should survive a
// crash must live outside the instances. Run blocks until all of them have
// joined.
func (s *Sim) Run(instances int, service func() *enoki.Service) {
	for range instances {
		s.mu.Lock()
		s.started++
		n := &node{sim: s, name: fmt.Sprint("node-", s.started), service: service}
		s.mu.Unlock()
		n.ready = make(chan struct{})
		s.nodes.Go(n.live)
		select {
		case <-n.ready: // joining one after another keeps histories alike
		case <-s.life.Done():
		}
	}
}

// node is an instance that comes back after each crash.
type node struct {
	sim     *Sim
	name    string
	service func() *enoki.Service
	ready   chan struct{}
	lives   int // only live changes it

	mu    sync.Mutex // guards crash
	crash func()     // ends the running process
}

// live runs the service again and again.
func (n *node) live() {
	n.process(sync.OnceFunc(func() { close(n.ready) }))
	for n.sim.life.Err() == nil {
		r := n.sim.roll("restart", n.name)
		sleep(n.sim.life, r.upTo(time.Minute))
		n.process(func() {})
	}
}

// process is one life of a node.
func (n *node) process(ready func()) {
	defer ready()
	ctx, cancel := context.WithCancel(n.sim.life)
	defer cancel()
	link := n.sim.broker.Link()
	defer link.Close()
	n.lives++
	n.mu.Lock()
	n.crash = func() {
		_ = link.Close() // the error is always nil; it closes first, so that nothing stops cleanly
		cancel()
	}
	n.mu.Unlock()
	n.sim.Note("%s starts", n.name)
	o := n.sim.settings()
	o.OnReady = ready
	service, err := n.make()
	if err == nil {
		err = enoki.Run(ctx, &faulty{Broker: link, sim: n.sim, node: n, life: fmt.Sprint(n.name, " ", n.lives)}, o, service)
	}
	if err != nil && ctx.Err() == nil {
		n.sim.mu.Lock()
		n.sim.problems = append(n.sim.problems, fmt.Sprintf("%s: %v", n.name, err))
		n.sim.mu.Unlock()
		n.sim.stop()
	}
}

// make makes the service of one life. It turns a panic into an error, because a
// panic here would end the whole test binary.
func (n *node) make() (s *enoki.Service, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the function that makes the service panicked: %v\n%s", p, debug.Stack())
		}
	}()
	if n.service == nil {
		return nil, errors.New("the function that makes the service is nil; give Sim.Run one")
	}
	return n.service(), nil
}

// die crashes the running process.
func (n *node) die(why string) {
	n.sim.Note("%s crashes %s", n.name, why)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.crash()
}

// sleep waits for d. If ctx ends first, it returns the error of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var errLost = errors.New("lost by the simulation")
