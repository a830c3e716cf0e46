package brokertest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/enoki-go/enoki/broker"
)

func faultCases() []testCase {
	return []testCase{
		{"recovery", "Ready is not nil while the broker is down, and nil only when every consumer works again, with nothing done by the user", recoverAll},
		{"no event is lost", "every event with a nil error from Emit is handled at least once, also when the broker is killed meanwhile", noEventLost},
		{"what is stored survives", "events without an instance, events that are due later, retries that wait and dead letters survive a kill of the broker", storedSurvives},
		{"what moves survives", "events that become due and retries that come back are not lost when the broker is killed at that moment, and attempts are counted on", movingSurvives},
		{"order survives", "events of one key are handled in order, one after the other, also when the broker is killed meanwhile", orderSurvives},
		{"retried letters survive", "no dead letter is lost when the broker is killed while letters are retried", retriedLettersSurvive},
		{"pending call", "a call pending while the broker is killed ends with a reply or with ErrUnknownOutcome, by its deadline", pendingCall},
		{"call at most once", "a call at most once that is pending while the broker is killed ends with a reply, ErrUnknownOutcome or its deadline, and later ones work", lostCall},
		{"running handlers", "handlers that run while the broker is killed finish, and work goes on after it", runningHandlers},
		{"calls while down", "Call and Emit end by their deadline while the broker is down, with an error that tells", callsWhileDown},
		{"join while down", "Join waits for a broker that is down until ctx ends, and succeeds when it comes back", joinWhileDown},
		{"leave and close while down", "Leave and Close return while the broker is down", closeWhileDown},
	}
}

// undelivered are the errors that Call and Emit may end with while the broker
// is down or goes down.
var undelivered = []error{
	broker.ErrNotDelivered, broker.ErrUnknownOutcome, broker.ErrBlocked, context.DeadlineExceeded,
}

// kill ends the broker, and start starts it again.
func (t *trial) kill() {
	t.Helper()
	t.down = true
	t.fixture.Kill(t)
}

func (t *trial) start() {
	t.Helper()
	t.fixture.Start(t)
	t.down = false
}

// readiness is what both links and members have.
type readiness interface{ Ready() error }

// untilDown waits until all say that they are not ready.
func (t *trial) untilDown(all ...readiness) {
	t.Helper()
	t.until("Ready is not nil while the broker is down", func() error {
		for _, r := range all {
			if r.Ready() == nil {
				return fmt.Errorf("%T is ready", r)
			}
		}
		return nil
	})
}

// untilReady waits until all say that they are ready.
func (t *trial) untilReady(all ...readiness) {
	t.Helper()
	t.until("Ready is nil again", func() error {
		var errs []error
		for _, r := range all {
			errs = append(errs, r.Ready())
		}
		return errors.Join(errs...)
	})
}

func recoverAll(t *trial) {
	source := t.name("source")
	boxes := map[broker.Mode]*inbox{broker.Pool: {}, broker.Broadcast: {}, broker.Singleton: {}}
	s := service(t.name("svc"))
	s.Serve = echo
	for mode, box := range boxes {
		s.Subscriptions = append(s.Subscriptions, broker.Subscription{Source: source, Event: "e", Mode: mode, Handler: "h" + string(mode), Handle: box.take})
	}
	link := t.dial()
	m := t.join(link, s)
	t.call(t.link, s.Name, "m", "before")
	for round := range 2 {
		t.kill()
		t.untilDown(t.link, link, m)
		t.start()
		t.untilReady(t.link, link, m)

		body := fmt.Sprint("after ", round) // all at the first attempt: Ready has promised it
		if got := t.call(t.link, s.Name, "m", body); got != "m:"+body {
			t.Errorf("right after Ready: got reply %q, want %q", got, "m:"+body)
		}
		if reply, err := t.link.Call(t.ctx, s.Name, "m", direct(s.ID, body)); err != nil || string(reply.Body) != "m:"+body {
			t.Errorf("right after Ready, to this instance: got reply %v and error %v, want %q", reply, err, "m:"+body)
		}
		t.emit(t.link, source, "e", body)
		for mode, box := range boxes {
			t.until(fmt.Sprintf("the event of mode %q is handled", mode), func() error { return box.missing([]string{body}) })
		}
		t.wantShown(t.link, s.Instance)
	}
}

// emitter emits events in a row, each until the broker has confirmed it.
type emitter struct {
	t         *trial
	name      string
	confirmed chan<- string
	failed    chan<- error // takes an error now and then
	stop      <-chan struct{}
}

// run emits until stop is closed.
func (e *emitter) run(source string) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for i := 0; ; i++ {
		m := text("event")
		m.ID = fmt.Sprintf("%s-%05d", e.name, i)
		for err := e.once(source, m); err != nil; err = e.once(source, m) {
			select {
			case e.failed <- err:
			case <-tick.C:
			case <-e.t.ctx.Done():
				e.t.Errorf("event %s was never confirmed", m.ID)
				return
			}
		}
		select {
		case e.confirmed <- m.ID:
		case <-e.t.ctx.Done():
			return
		}
		select {
		case <-e.stop:
			return
		default:
		}
	}
}

// once tries to emit m, and fails the test for an error that says nothing.
func (e *emitter) once(source string, m *broker.Message) error {
	ctx, cancel := context.WithTimeout(e.t.ctx, time.Second)
	defer cancel()
	err := e.t.link.Emit(ctx, source, "e", m)
	for _, known := range undelivered {
		if err == nil || errors.Is(err, known) {
			return err
		}
	}
	e.t.Errorf("Emit while the broker goes down: got error %v, want one of %q", err, undelivered)
	return err
}

func noEventLost(t *trial) {
	const perRound = 100
	source := t.name("source")
	var box inbox
	for range 2 {
		t.subscribe(t.dial(), t.name("svc"), broker.Subscription{Source: source, Event: "e", Handler: "h"}, box.take)
	}
	confirmed, failed, stop := make(chan string), make(chan error), make(chan struct{})
	var emitters sync.WaitGroup
	for i := range 4 {
		e := &emitter{t, fmt.Sprint("emitter-", i), confirmed, failed, stop}
		emitters.Add(1)
		t.others.Go(func() {
			defer emitters.Done()
			e.run(source)
		})
	}
	finished := make(chan error)
	t.others.Go(func() { emitters.Wait(); close(finished) })

	var ids []string
	collect := func(n int) {
		for range n {
			ids = append(ids, wait(t, "the next confirmed event", confirmed))
		}
	}
	collectUntil := func(what string, end <-chan error) {
		for {
			select {
			case id := <-confirmed:
				ids = append(ids, id)
			case <-end:
				return
			case <-t.ctx.Done():
				t.Fatalf("waited in vain for %s", what)
			}
		}
	}
	for range 3 {
		collect(perRound)
		t.kill()
		collectUntil("Emit to fail on a broker that is down", failed)
		t.start()
	}
	collect(perRound)
	close(stop)
	collectUntil("the emitters to stop", finished)
	t.until("every confirmed event is handled", func() error { return box.missing(ids) })
	t.Logf("%d events confirmed over three kills, %d deliveries", len(ids), len(box.all()))
}

func storedSurvives(t *trial) {
	source := t.name("source")
	stored := broker.Subscription{Source: source, Event: "stored", Handler: "stored"}
	t.leave(t.subscribe(t.dial(), t.name("svc"), stored, done))
	attempts := make(chan int, 100)
	s := service(t.name("svc2"))
	s.Subscriptions = []broker.Subscription{
		{Source: source, Event: "retried", Handler: "retried", Handle: func(_ context.Context, m *broker.Message) broker.Settlement {
			attempts <- m.Attempt
			if m.Attempt == 1 {
				return broker.Settlement{Verdict: broker.Retry, Delay: 2 * time.Second}
			}
			return broker.Settlement{}
		}},
		{Source: source, Event: "dead", Handler: "dead", Handle: func(context.Context, *broker.Message) broker.Settlement {
			return broker.Settlement{Verdict: broker.Reject, Reason: "no"}
		}},
	}
	laterHandle, later := arrivals()
	s.Subscriptions = append(s.Subscriptions, broker.Subscription{Source: source, Event: "later", Handler: "later", Handle: laterHandle})
	link := t.dial()
	t.join(link, s)
	due := t.emitDue(source, "later", "l", 4*time.Second)
	ids := t.emitMany(source, "stored", 10)
	t.emit(t.link, source, "retried", "r")
	t.emit(t.link, source, "dead", "d")
	dead := func() error {
		if got := t.deadLetters(t.link); len(got) == 0 || got[0].Message.ID != "d" {
			return fmt.Errorf("got dead letters %+v, want that of event d", got)
		}
		return nil
	}
	t.until("the dead letter appears", dead)
	wait(t, "the first attempt", attempts)

	t.kill()
	t.untilDown(t.link, link)
	t.start()
	t.untilReady(t.link, link)
	var box inbox
	t.subscribe(t.dial(), t.name("svc"), stored, box.take)
	t.until("stored events are handled", func() error { return box.missing(ids) })
	for wait(t, "the second attempt", attempts) < 2 { // the kill may have come before the verdict
	}
	t.until("the dead letter is there", dead)
	t.wantDue(wait(t, "the event that was due later", later), "l", due)
}

// movingSurvives kills the broker twice while events of which each is due at a
// time of its own, and retries of others, come in.
func movingSurvives(t *trial) {
	const number, attempts = 300, 3
	source := t.name("source")
	var due, retried inbox
	came := make(chan string, 100*number)
	s := service(t.name("svc"))
	s.Subscriptions = []broker.Subscription{
		{Source: source, Event: "due", Handler: "due", Handle: func(ctx context.Context, m *broker.Message) broker.Settlement {
			came <- m.ID
			return due.take(ctx, m)
		}},
		{Source: source, Event: "retried", Handler: "retried", Handle: func(ctx context.Context, m *broker.Message) broker.Settlement {
			came <- m.ID
			if m.Attempt < attempts {
				return broker.Settlement{Verdict: broker.Retry, Delay: time.Duration(m.Attempt) * 300 * time.Millisecond}
			}
			if m.Attempt > attempts {
				t.Errorf("event %s came for attempt %d, though attempt %d succeeds", m.ID, m.Attempt, attempts)
			}
			return retried.take(ctx, m)
		}},
	}
	link := t.dial()
	member := t.join(link, s)
	var dueIDs []string
	for i := range number {
		id := fmt.Sprintf("due-%03d", i)
		dueIDs = append(dueIDs, id)
		t.emitDue(source, "due", id, delay+time.Duration(i)*10*time.Millisecond)
	}
	retriedIDs := t.emitMany(source, "retried", number)
	for range 2 {
		for range number / 2 {
			wait(t, "an event to come in", came)
		}
		t.kill()
		t.start()
		t.untilReady(t.link, link, member)
	}
	t.until("every event that was due has come", func() error { return due.missing(dueIDs) })
	t.until("every retried event has come to its last attempt", func() error { return retried.missing(retriedIDs) })
}

func orderSurvives(t *trial) {
	source := t.name("source")
	l := newLedger()
	var links []readiness
	for range 2 {
		link := t.dial()
		links = append(links, link)
		t.subscribe(link, t.name("svc"), ordered(source), func(ctx context.Context, m *broker.Message) broker.Settlement {
			if m.Attempt == 1 && strings.HasSuffix(m.ID, "5") {
				return broker.Settlement{Verdict: broker.Retry, Delay: 20 * time.Millisecond}
			}
			return l.take(ctx, m)
		})
	}
	var ids []string
	for i := range 60 {
		if i == 30 {
			t.kill()
			t.start()
		}
		for _, key := range []string{"a", "b", "c"} {
			id := fmt.Sprintf("%s-%03d", key, i)
			ids = append(ids, id)
			t.insist(source, "e", id)
		}
	}
	t.untilReady(links...)
	t.until("every event is handled", func() error { return l.missing(ids) })
	l.check(t, true)
}

// insist emits an event until the broker has it.
func (t *trial) insist(source, event, id string) {
	t.Helper()
	m := text(id)
	m.ID = id
	t.until("the broker takes the event", func() error { return t.link.Emit(t.ctx, source, event, m) })
}

func pendingCall(t *trial) {
	name := t.name("svc")
	slow := newStuck(t)
	link := t.dial()
	m := t.serve(link, name, slow.serve)
	ctx, cancel := context.WithTimeout(t.ctx, 10*time.Second)
	defer cancel()
	pending := t.calling(ctx, t.link, name, "m", "x")
	wait(t, "the handler", slow.started)
	t.kill()
	t.untilDown(t.link, link)
	slow.free()
	t.start()
	if got := wait(t, "the pending call to end", pending); got.err != nil {
		t.wantError("the pending call", got.err, broker.ErrUnknownOutcome)
	} else if got.body != "late:x" {
		t.Errorf("the pending call: got reply %q, want %q", got.body, "late:x")
	}
	t.untilReady(t.link, link, m)
	if got := t.call(t.link, name, "m", "y"); got != "late:y" {
		t.Errorf("after the restart: got reply %q, want %q", got, "late:y")
	}
}

func runningHandlers(t *trial) {
	source, name := t.name("source"), t.name("svc")
	slow := newStuck(t)
	var box inbox
	s := service(name)
	s.Serve = echo
	s.Subscriptions = []broker.Subscription{{Source: source, Event: "e", Handler: "h",
		Handle: func(ctx context.Context, m *broker.Message) broker.Settlement {
			slow.wait(ctx, m.ID)
			return box.take(ctx, m)
		}}}
	link := t.dial()
	m := t.join(link, s)
	ids := t.emitMany(source, "e", s.Workers)
	for range s.Workers {
		wait(t, "all handlers to run", slow.started)
	}
	t.kill()
	t.untilDown(t.link, link, m)
	slow.free()
	t.until("running handlers finish while the broker is down", func() error { return box.missing(ids) })
	t.start()
	t.untilReady(t.link, link, m)
	ids = append(ids, t.emitMany(t.name("source"), "e", 3*s.Workers)...) // more than those workers, had they been lost
	t.until("events after the restart are handled", func() error { return box.missing(ids) })
	t.leave(m)
}

func callsWhileDown(t *trial) {
	name := t.name("svc")
	link := t.dial()
	m := t.serve(link, name, echo)
	t.kill()
	t.untilDown(t.link, link, m)
	for what, send := range map[string]func(ctx context.Context) error{
		"Call": func(ctx context.Context) error { _, err := t.link.Call(ctx, name, "m", text("x")); return err },
		"Emit": func(ctx context.Context) error { return t.link.Emit(ctx, name, "e", text("x")) },
	} {
		ctx, cancel := context.WithTimeout(t.ctx, 500*time.Millisecond)
		errs := make(chan error, 1)
		t.others.Go(func() { errs <- send(ctx) })
		select {
		case err := <-errs:
			t.wantError(what+" while the broker is down", err, undelivered...)
		case <-time.After(patience):
			t.Errorf("%s has not ended %v after its deadline", what, patience)
		}
		cancel()
	}
	t.start()
	t.untilReady(t.link, link, m)
	t.call(t.link, name, "m", "works again")
}

func joinWhileDown(t *trial) {
	link := t.dial()
	t.kill()
	t.untilDown(t.link, link)
	s := service(t.name("svc"))
	s.Serve = echo
	ctx, cancel := context.WithTimeout(t.ctx, 200*time.Millisecond)
	defer cancel()
	_, err := link.Join(ctx, s)
	t.wantError("Join while the broker is down", err, context.DeadlineExceeded)

	s.ID = newID()
	errs := make(chan error, 1)
	var m broker.Member
	t.others.Go(func() {
		var err error
		m, err = link.Join(t.ctx, s)
		errs <- err
	})
	t.start()
	if err := wait(t, "Join", errs); err != nil {
		t.Fatalf("Join when the broker came back: %v", err)
	}
	t.untilReady(t.link)
	if got := t.call(t.link, s.Name, "m", "x"); got != "m:x" {
		t.Errorf("got reply %q, want %q", got, "m:x")
	}
	t.wantShown(t.link, s.Instance) // and not the one whose Join failed
	t.leave(m)
}

func closeWhileDown(t *trial) {
	source := t.name("source")
	s := service(t.name("svc"))
	s.Serve = echo
	s.Subscriptions = []broker.Subscription{{Source: source, Event: "e", Handler: "h", Handle: done}}
	left, kept := t.dial(), t.dial()
	m := t.join(left, s)
	s.ID = newID()
	t.join(kept, s)
	t.kill()
	t.untilDown(left, kept)
	ctx, cancel := context.WithTimeout(t.ctx, time.Second)
	defer cancel()
	wait(t, "Leave, whatever it says", t.leaving(ctx, m))
	for _, link := range []broker.Broker{left, kept} {
		if err := wait(t, "Close", t.closing(link)); err != nil {
			t.Errorf("Close while the broker is down: got error %v, want nil", err)
		}
	}
	t.start()
	t.untilReady(t.link)
}

func retriedLettersSurvive(t *trial) {
	const number, early = 100, 10 // letters, and those that are retried before the kill
	source := t.name("source")
	var box inbox
	var bad sync.Map
	m := t.subscribe(t.link, t.name("svc"), broker.Subscription{Source: source, Event: "e", Handler: "h"},
		func(ctx context.Context, m *broker.Message) broker.Settlement {
			if _, seen := bad.LoadOrStore(m.ID, true); !seen {
				return rejects("no")
			}
			return box.take(ctx, m)
		})
	ids := t.emitMany(source, "e", number)
	t.untilDead(number)

	retried, ended := make(chan bool, number), make(chan bool)
	link := t.dial()
	t.others.Go(func() {
		defer close(ended)
		for l, err := range link.DeadLetters(t.ctx, broker.DeadLetterFilter{Service: t.name("svc")}) {
			if err != nil {
				return // the link is lost
			}
			ctx, cancel := context.WithTimeout(t.ctx, time.Second)
			_ = l.Retry(ctx) // what can't go back stays
			cancel()
			retried <- true
		}
	})
	for range early {
		wait(t, "a letter that is retried", retried)
	}
	t.kill()
	t.start()
	wait(t, "the end of the loop", ended)
	t.untilReady(t.link, m)
	t.until("every letter is retried", func() error {
		for l, err := range t.link.DeadLetters(t.ctx, broker.DeadLetterFilter{Service: t.name("svc")}) {
			if err == nil {
				err = l.Retry(t.ctx)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	t.until("every letter is handled", func() error { return box.missing(ids) })
}
