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

// SeedVariable names the environment variable with the seed of a simulation
// that is to be replayed.
const SeedVariable = "ENOKI_SEED"

// SimOptions say how bad things are. The zero value, and nil, are useful.
type SimOptions struct {
	// Seed makes the history. Default: that of ENOKI_SEED, or one by chance.
	Seed uint64

	// Loss is how often, from 0 to 1, an emit, a call or a Save of a lock fails,
	// half of them after it has been done. Default: 0.1; negative is never.
	Loss float64

	// Duplicates is how often an event is delivered again although it was
	// handled. Default: 0.1; negative is never.
	Duplicates float64

	// Crashes is how often an instance crashes when it gets something, half of
	// them before its handler runs and half of them after, before the broker
	// learns of it. It comes back within a minute. Default: 0.02; negative is
	// never.
	Crashes float64

	// Delay is the most that a message is on its way, which also puts messages
	// into another order. Default: 1 s; negative is none.
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

// Sim is a cluster in which messages get lost, come late, twice and in another
// order, and instances crash. Its methods may be called concurrently.
type Sim struct {
	// Client calls and emits from outside, with the same losses. An error of
	// the broker is for the caller to handle, as always: emit again with the
	// same id (enoki.WithMessageID) what was not confirmed.
	Client *enoki.Client

	options SimOptions
	begun   time.Time
	broker  *memory.Broker
	nodes   sync.WaitGroup
	life    context.Context // of nodes
	stop    context.CancelFunc

	mu       sync.Mutex // guards what follows
	calm     bool       // nothing bad happens any more
	rolled   map[string]int
	history  []happening
	subs     map[string][]string // handlers of lasting subscriptions, by event
	missing  map[string]bool     // what was confirmed and not handled yet
	done     map[string]bool     // what was handled
	due      time.Time           // of the last event that comes later
	calls    int                 // that have not ended
	started  int                 // nodes
	effects  map[string]int
	problems []string
}

type happening struct {
	at   time.Duration
	what string
}

// Simulate runs a simulation in a bubble of testing/synctest: run starts
// services by Sim.Run, calls and emits, and sleeps for as long as the history is
// to be. After it nothing bad happens any more, and Simulate waits until all is
// quiet. Then it fails the test unless
//   - every event whose emit was confirmed was handled, or is a dead letter, for
//     every subscription that was there and lasts,
//   - no effect was done twice (Sim.Effect),
//   - every call has ended.
//
// The same seed makes the same history as long as services go by the clock and
// what they are sent alone, and what is sent at one moment differs. A test that
// fails prints its seed. Delays between attempts are the seed's own, and calls are not
// sent again by themselves.
func Simulate(t *testing.T, o *SimOptions, run func(t *testing.T, s *Sim)) {
	t.Helper()
	options, err := o.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSim(options)
		defer func() { // also after t.Fatal
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

// settings are those of a client or a service. Calls that are sent again
// and breakers go by chance, that of no seed.
func (s *Sim) settings() *enoki.Options {
	return &enoki.Options{Logger: slog.New(slog.DiscardHandler), Retries: new(false), Breakers: new(false)}
}

// Effect notes that a handler has done what must be done once for each key. It
// stands for the transaction of a database: call it where the handler would
// commit.
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

// note wants mu held. What happens when all are stopped at one moment is no
// part of the history.
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
	// What happens at the same moment has no order.
	slices.SortStableFunc(s.history, func(a, b happening) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.what, b.what))
	})
	lines := make([]string, len(s.history))
	for i, h := range s.history {
		lines[i] = h.at.String() + " " + h.what
	}
	return lines
}

// settleLimit is how long Simulate waits until all is quiet, in time of the
// bubble: far longer than all attempts of an event take.
const settleLimit = 24 * time.Hour

// settle ends what is bad and waits until all that was confirmed is handled.
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
	time.Sleep(time.Minute) // what nobody waits for
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
	_ = s.broker.Close() // always nil
}

// check returns what should not be, once all is quiet.
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

// Run runs instances of a service, each made by service and a process of its
// own, until the simulation ends. What they should remember over a crash has to
// live outside of them.
func (s *Sim) Run(instances int, service func() *enoki.Service) {
	for range instances {
		s.mu.Lock()
		s.started++
		n := &node{sim: s, name: fmt.Sprint("node-", s.started), service: service}
		s.mu.Unlock()
		n.ready = make(chan struct{})
		s.nodes.Go(n.live)
		select {
		case <-n.ready: // the next one joins after it, so that histories are alike
		case <-s.life.Done():
		}
	}
}

// node is an instance that lives on over its crashes.
type node struct {
	sim     *Sim
	name    string
	service func() *enoki.Service
	ready   chan struct{}
	lives   int // changed by live only

	mu    sync.Mutex // guards crash
	crash func()     // ends the process that runs now
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
		_ = link.Close() // always nil; before all, so that nothing ends as it should
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

// make makes the service of one life. A panic is an error: it would end the whole
// test binary here.
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

// die crashes the process that runs now.
func (n *node) die(why string) {
	n.sim.Note("%s crashes %s", n.name, why)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.crash()
}

// sleep waits for d. The error is that of ctx when it ends first.
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
