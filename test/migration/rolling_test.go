package migration_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp"
	"github.com/enoki-go/enoki/host"
	"github.com/enoki-go/enoki/internal/testserver"
)

const (
	callTimeout = 30 * time.Second
	goCallers   = 6
	goPause     = 100 * time.Millisecond // of a caller between two calls
	pythonRate  = "20"                   // calls per second at most, of each Python caller

	eventEvery = 3 // calls between two events

	// answers between two changes of the service; more in a long run, which
	// shall not spend the machine on starting Python
	shortSpell, longSpell = 50, 500
)

// TestRollingMove keeps one service under load from callers in both languages,
// while its instances, of Go and of both versions of Nameko, are added, drained
// and killed in turn. It goes on for as long as ENOKI_ROLLING says, such as 10m;
// without it, until each kind of instance was drained and killed once.
func TestRollingMove(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	var length time.Duration
	if text := os.Getenv("ENOKI_ROLLING"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatalf("ENOKI_ROLLING: %v", err)
		}
	}
	m := newMove(t)
	m.spell = shortSpell
	if length > 0 {
		m.spell = longSpell
	}
	for kind := range m.kinds {
		m.pool = append(m.pool, m.add(kind))
	}
	stop := m.load()
	for _, p := range m.pool {
		m.awaitWork(p)
	}
	begun := time.Now()
	for rounds := 1; ; rounds++ {
		m.round()
		if t.Failed() || time.Since(begun) >= length {
			t.Logf("%v under load, %d rounds: %d instances drained, %d killed",
				time.Since(begun).Round(time.Second), rounds, m.drained, m.killed)
			break
		}
	}
	stop()
	m.check()
}

// move is a service while it moves.
type move struct {
	t       *testing.T
	url     string
	config  string // file of Nameko's configuration
	pythons map[string]string
	kinds   []string   // of instances
	pool    []instance // one of each kind
	ledger  *ledger
	spell   int // answers between two changes
	started int
	drained int
	killed  int
	left    map[string]string // how instances have left, by name
}

type instance struct {
	*process
	kind    string
	working chan struct{} // closed at its first call
}

func newMove(t *testing.T) *move {
	t.Helper()
	server := testserver.RabbitMQ(t)
	m := &move{t: t, url: server.URL(), config: filepath.Join(t.TempDir(), "config.yaml"), ledger: newLedger(),
		left: map[string]string{}, pythons: map[string]string{}, kinds: []string{"Go", nameko2, nameko3}}
	for _, version := range []string{nameko2, nameko3} {
		m.pythons[version] = python(t, version)
	}
	if err := os.WriteFile(m.config, []byte("AMQP_URI: "+m.url+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return m
}

// add starts an instance.
func (m *move) add(kind int) instance {
	m.t.Helper()
	m.started++
	i := instance{kind: m.kinds[kind], working: make(chan struct{})}
	name := fmt.Sprintf("instance %d (%s)", m.started, i.kind)
	first := sync.OnceFunc(func() { close(i.working) })
	hear := func(line string) {
		m.ledger.hear(name, line)
		if strings.HasPrefix(line, "call ") {
			first()
		}
	}
	command := []string{filepath.Join(programs, "shop"), "--config", m.config, "--admin", "off"}
	if program, isPython := m.pythons[i.kind]; isPython {
		command = append(namekoCommand(program), "run", "shop", "--config", m.config)
	}
	i.process = start(m.t, name, hear, command...)
	return i
}

// awaitWork returns when the instance has got a call.
func (m *move) awaitWork(i instance) {
	m.t.Helper()
	select {
	case <-i.working:
	case <-i.ended:
		m.t.Fatalf("%s ended (%v):\n%s", i.name, i.err, i.talk.String())
	case <-time.After(patience):
		m.t.Fatalf("%s gets no calls:\n%s", i.name, i.talk.String())
	}
}

// round replaces each instance twice: the old one is drained the first time
// and killed the second time.
func (m *move) round() {
	for _, leave := range []func(instance){m.drain, m.kill} {
		for kind := range m.pool {
			added := m.add(kind)
			m.awaitWork(added)
			leave(m.pool[kind])
			m.pool[kind] = added
			answered := m.ledger.totals().answered
			m.ledger.await(m.t, "more answers", func(s totals) bool { return s.answered >= answered+m.spell })
		}
	}
}

func (m *move) drain(i instance) {
	m.t.Helper()
	i.drain(m.t)
	m.left[i.name] = "drained " + i.kind
	m.drained++
}

func (m *move) kill(i instance) {
	i.kill()
	m.left[i.name] = "killed " + i.kind
	m.killed++
}

// check stops the service and looks into the ledger.
func (m *move) check() {
	t := m.t
	m.ledger.await(t, "every event", func(s totals) bool { return s.unhandled == 0 })
	for _, i := range m.pool {
		m.drain(i)
	}
	s := m.ledger.totals()
	t.Log(s)
	m.checkLeft()
	if s.unanswered+s.doubled+s.unhandled+s.failures > 0 {
		t.Errorf("calls or events went wrong; reported were %q", m.ledger.failures)
	}
	if s.answered != s.calls || s.calls < 300 || s.confirmed < 100 {
		t.Errorf("of %d calls %d were answered, with %d events: too few to say anything", s.calls, s.answered, s.confirmed)
	}
	if s.ranAgain == 0 && m.killed > 10 {
		t.Errorf("%d instances were killed, and none of them had a call at hand", m.killed)
	}
}

// checkLeft looks who has left calls behind that another instance had to begin
// again. That is what killing does, and draining Nameko 3 does it too.
func (m *move) checkLeft() {
	behind := map[string]int{}
	for name, calls := range m.ledger.leftRunning() {
		behind[m.left[name]] += calls
	}
	m.t.Logf("calls begun again, by what became of the first instance: %v", behind)
	if n := behind["drained Go"]; n > 0 {
		m.t.Errorf("instances in Go were drained, and %d calls that they had begun were begun again", n)
	}
}

// load has callers of both languages call the service and emit events, until
// stop is called, which returns when each has its last answer.
func (m *move) load() (stop func()) {
	stopGo := m.loadFromGo()
	var callers []*process
	for _, version := range []string{nameko2, nameko3} {
		name := "caller " + version
		hear := func(line string) { m.ledger.hear(name, line) }
		callers = append(callers, start(m.t, name, hear,
			m.pythons[version], "caller.py", m.url, "python-"+version[:1], pythonRate))
	}
	return func() {
		stopGo()
		for _, c := range callers {
			_ = c.stdin.Close() // its sign to end
			c.wait(m.t)
		}
	}
}

func (m *move) loadFromGo() (stop func()) {
	t := m.t
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	b, err := host.Dial(t.Context(), m.url, quiet)
	if err != nil {
		t.Fatal(err)
	}
	m.awaitGo(b)
	client := enoki.NewClient(b, &enoki.Options{Logger: quiet, Timeout: callTimeout})
	var shop shopContract
	if err := client.Bind("shop", &shop); err != nil {
		t.Fatal(err)
	}
	emit := enoki.Emitter(client, enoki.NewEvent[order]("orders", "placed"))
	home := make(chan struct{})
	var callers sync.WaitGroup
	for i := range goCallers {
		callers.Go(func() {
			pace := time.NewTicker(goPause)
			defer pace.Stop()
			for n := 1; ; n++ {
				select {
				case <-home:
					return
				case <-pace.C:
					m.visit(&shop, emit, fmt.Sprintf("go-%d-%d", i, n), n%eventEvery == 0)
				}
			}
		})
	}
	stopTap := m.tap(quiet)
	stop = sync.OnceFunc(func() {
		close(home)
		callers.Wait()
		stopTap()
		if err := b.Close(); err != nil {
			t.Errorf("close the broker: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// awaitGo returns when the service is there, so that its queues are.
func (m *move) awaitGo(b broker.Broker) {
	m.t.Helper()
	for begun := time.Now(); ; {
		instances, err := b.Services(m.t.Context()) // waits for answers, so this asks a few times a second
		switch {
		case err != nil:
			m.t.Fatal(err)
		case len(instances) > 0:
			return
		case time.Since(begun) > patience:
			m.t.Fatalf("no Go instance came:\n%s", m.pool[0].talk.String())
		}
	}
}

type order struct {
	ID string `json:"id"`
}

type shopContract struct {
	Price func(ctx context.Context, id string) (order, error) `rpc:"price" args:"id"`
}

// visit calls once, and emits an event if asked to. Its context is not that of
// the test: the last answers count too.
func (m *move) visit(shop *shopContract, emit enoki.Emit[order], id string, withEvent bool) {
	ctx := context.Background()
	m.ledger.hear(id, "asked "+id)
	switch o, err := shop.Price(ctx, id); {
	case err != nil:
		m.ledger.hear(id, fmt.Sprintf("failed %s %v", id, err))
	default:
		m.ledger.hear(id, fmt.Sprintf("answered %s {%q:%q}", id, "id", o.ID))
	}
	if !withEvent {
		return
	}
	switch err := emit(ctx, order{id}); {
	case err != nil:
		m.ledger.hear(id, fmt.Sprintf("lost %s %v", id, err))
	default:
		m.ledger.hear(id, "confirmed "+id)
	}
}

// tap counts replies on the wire until stop is called.
func (m *move) tap(log *slog.Logger) (stop func()) {
	t := m.t
	ctx, cancel := context.WithCancel(context.Background())
	tap, err := amqp.DialTap(ctx, amqp.Config{URL: m.url, Logger: log}, "shop")
	if err != nil {
		t.Fatal(err)
	}
	if err := tap.Attach(ctx); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- tap.Run(ctx, m.ledger.see) }()
	return func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("the tap: %v", err)
		}
		tap.Close()
	}
}
