package brokertest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/enoki-go/enoki/broker"
)

func lockCases() []testCase {
	return []testCase{
		{"one holder", "of all that ask for a lock over any link one holds it at a time, and each gets it in the end", oneHolder},
		{"state outlives", "what a holder has saved is there for the next one, after Release and after Close", stateOutlives},
		{"only the holder saves", "Save of a lock that was released or whose link was closed is ErrLockLost or ErrClosed and changes nothing", onlyHolderSaves},
		{"handed over", "a lock that is released, or whose link is closed, goes to one that waits, and Lost is closed", handedOver},
		{"given up", "Lock ends with its context or with Close, and who gave up does not get the lock later", lockGivenUp},
		{"names of locks", "locks of different names are held apart, whatever is in a name", lockNames},
		{"refused by Lock", "a name or a state that can't be kept is refused", lockRefused},
	}
}

func lockFaultCases() []testCase {
	return []testCase{
		{"lock over a restart", "a lock is lost by its holder when the broker dies, or stays held; its state survives, and Lock waits for the broker", lockOverRestart},
		{"locks over many restarts", "one holds the lock at a time and nothing saved is lost while the broker is killed again and again", lockOverRestarts},
	}
}

// lock takes the lock of that name, to be released when the trial ends.
func (t *trial) lock(link broker.Broker, name string) broker.Lock {
	t.Helper()
	l, err := link.Lock(t.ctx, name)
	if err != nil {
		t.Fatalf("Lock %s: got error %v, want nil", name, err)
	}
	t.Cleanup(l.Release)
	return l
}

// locking starts Lock and returns where its lock goes. It is released when the
// trial ends.
func (t *trial) locking(link broker.Broker, name string) <-chan broker.Lock {
	got := make(chan broker.Lock, 1)
	t.others.Go(func() {
		l, err := link.Lock(t.ctx, name)
		if err != nil {
			if t.ctx.Err() == nil {
				t.Errorf("Lock %s: got error %v, want nil", name, err)
			}
			return
		}
		t.Cleanup(l.Release)
		got <- l
	})
	return got
}

// save saves state and ends the trial on an error.
func (t *trial) save(l broker.Lock, state string) {
	t.Helper()
	if err := l.Save(t.ctx, []byte(state)); err != nil {
		t.Fatalf("Save: got error %v, want nil", err)
	}
}

// wantState ends the trial unless the state of l is want.
func (t *trial) wantState(l broker.Lock, want string) {
	t.Helper()
	if got := string(l.State()); got != want {
		t.Fatalf("got state %q, want %q", got, want)
	}
}

func oneHolder(t *trial) {
	const links, perLink, rounds = 3, 2, 5
	name := t.name("lock")
	var c lockCount
	ended := make(chan error, links*perLink)
	for range links {
		link := t.dial()
		for range perLink {
			t.others.Go(func() { ended <- c.up(t.ctx, link, name, rounds) })
		}
	}
	for range links * perLink {
		if err := wait(t, "one that asks for the lock", ended); err != nil {
			t.Error(err)
		}
	}
	// A machine that stands still for long enough loses a lock: then its holder
	// is told, later, and whether its last save counted may not be known.
	lost, n := int(c.lost.Load()), links*perLink*rounds
	if c.together.Load() && lost == 0 {
		t.Error("two hold the lock at one time")
	}
	got, err := strconv.Atoi(string(t.lock(t.link, name).State()))
	if err != nil || got < n || got > n+lost {
		t.Errorf("got state %d and error %v, want %d to %d", got, err, n, n+lost)
	}
}

// lockCount is of those who count up what a lock keeps.
type lockCount struct {
	inside, lost atomic.Int32
	together     atomic.Bool // two were inside at one time
}

// up saves rounds times, taking the lock each time anew.
func (c *lockCount) up(ctx context.Context, link broker.Broker, name string, rounds int) error {
	for done := 0; done < rounds; {
		l, err := link.Lock(ctx, name)
		if err != nil {
			return err
		}
		if c.inside.Add(1) != 1 {
			c.together.Store(true)
		}
		n, _ := strconv.Atoi(string(l.State())) // 0 when nothing was saved yet
		err = l.Save(ctx, []byte(strconv.Itoa(n+1)))
		c.inside.Add(-1)
		l.Release()
		switch {
		case err == nil:
			done++
		case errors.Is(err, broker.ErrLockLost), errors.Is(err, broker.ErrUnknownOutcome):
			c.lost.Add(1)
		default:
			return fmt.Errorf("save %d: %w", n+1, err)
		}
	}
	return nil
}

func stateOutlives(t *trial) {
	name := t.name("lock")
	first := t.lock(t.link, name)
	if got := first.State(); got != nil {
		t.Fatalf("got state %q before the first Save, want nil", got)
	}
	t.save(first, "one")
	t.save(first, "two")
	t.wantState(first, "two")
	first.Release()

	link := t.dial()
	second := t.lock(link, name)
	t.wantState(second, "two")
	t.save(second, "")
	t.save(second, strings.Repeat("x", 10_000))
	if err := link.Close(); err != nil {
		t.Fatal(err)
	}
	t.wantState(t.lock(t.link, name), strings.Repeat("x", 10_000))
}

func onlyHolderSaves(t *trial) {
	name := t.name("lock")
	link := t.dial()
	released := t.lock(link, name)
	t.save(released, "kept")
	released.Release()
	released.Release()
	t.wantError("Save after Release", released.Save(t.ctx, []byte("late")), broker.ErrLockLost)

	closed := t.lock(link, name)
	if err := link.Close(); err != nil {
		t.Fatal(err)
	}
	wait(t, "Lost after Close", closed.Lost())
	t.wantError("Save after Close", closed.Save(t.ctx, []byte("late")), broker.ErrLockLost, broker.ErrClosed)
	closed.Release()
	t.wantState(t.lock(t.link, name), "kept")
}

func handedOver(t *trial) {
	name := t.name("lock")
	links := []broker.Broker{t.dial(), t.dial(), t.dial()}
	held := t.lock(links[0], name)
	next := t.locking(links[1], name)
	t.meanwhile()
	select {
	case <-next:
		t.Fatal("a second one got the lock while it was held")
	case <-held.Lost():
		t.Fatal("the lock was lost, want it held")
	default:
	}
	held.Release()
	wait(t, "Lost after Release", held.Lost())
	held = wait(t, "the lock after Release", next)

	next = t.locking(links[2], name)
	t.meanwhile()
	if err := links[1].Close(); err != nil {
		t.Fatal(err)
	}
	wait(t, "Lost after Close", held.Lost())
	wait(t, "the lock after Close", next)
}

func lockGivenUp(t *trial) {
	name := t.name("lock")
	link := t.dial()
	held := t.lock(t.link, name)
	ended, cancel := context.WithCancel(t.ctx)
	errs := make(chan error, 2)
	ask := func(ctx context.Context, link broker.Broker) {
		t.others.Go(func() { _, err := link.Lock(ctx, name); errs <- err })
	}
	ask(ended, link)
	t.meanwhile()
	cancel()
	t.wantError("Lock whose context ended", wait(t, "Lock to end", errs), context.Canceled)

	closing := t.dial()
	ask(t.ctx, closing)
	t.meanwhile()
	if err := closing.Close(); err != nil {
		t.Fatal(err)
	}
	t.wantError("Lock whose link was closed", wait(t, "Lock to end", errs), broker.ErrClosed)

	held.Release()
	t.lock(link, name)
	_, err := closing.Lock(t.ctx, name)
	t.wantError("Lock after Close", err, broker.ErrClosed)
}

func lockNames(t *trial) {
	for _, name := range []string{"a", "a.b", "A.b", "a.*", "a.>", "ä/ b#", strings.Repeat("n", 150-len(t.tag)-1)} {
		name := t.name(name)
		l := t.lock(t.link, name)
		if l.State() != nil {
			t.Errorf("lock %q has the state %q of another", name, l.State())
		}
		t.save(l, name)
	}
}

func lockRefused(t *trial) {
	for _, name := range []string{"", strings.Repeat("n", 151)} {
		if l, err := t.link.Lock(t.ctx, name); err == nil {
			l.Release()
			t.Errorf("Lock with a name of %d bytes: got no error", len(name))
		}
	}
	l := t.lock(t.link, t.name("lock"))
	t.save(l, strings.Repeat("x", 64<<10))
	if err := l.Save(t.ctx, make([]byte, 64<<10+1)); !errors.Is(err, broker.ErrNotDelivered) {
		t.Errorf("Save of more than 64 KiB: got error %v, want %v", err, broker.ErrNotDelivered)
	}
	t.wantState(l, strings.Repeat("x", 64<<10))
}

// rest lets the broker write down for good what was made last: RabbitMQ forgets
// a queue, with all in it, that was declared less than 2 s before it is killed
// (seen with 3.10.8). It waits for an event that the broker delays.
func (t *trial) rest() {
	t.Helper()
	attempts := make(chan int, 100)
	source := t.name("rest")
	t.subscribe(t.dial(), source, broker.Subscription{Source: source, Event: "e", Handler: "h"},
		func(_ context.Context, m *broker.Message) broker.Settlement {
			attempts <- m.Attempt
			if m.Attempt == 1 {
				return broker.Settlement{Verdict: broker.Retry, Delay: 3 * time.Second}
			}
			return broker.Settlement{}
		})
	t.emit(t.link, source, "e", "x")
	for wait(t, "the delayed event", attempts) < 2 {
	}
}

func lockOverRestart(t *trial) {
	name := t.name("lock")
	link := t.dial()
	held := t.lock(link, name)
	t.save(held, "before")
	t.rest()
	t.kill()
	t.untilDown(t.link, link)
	waiting, cancel := context.WithTimeout(t.ctx, 200*time.Millisecond)
	defer cancel()
	_, err := t.link.Lock(waiting, name)
	t.wantError("Lock while the broker is down", err, context.DeadlineExceeded)
	next := t.locking(t.link, name)
	saving, cancel := context.WithTimeout(t.ctx, 200*time.Millisecond)
	defer cancel()
	if err := held.Save(saving, []byte("while down")); err == nil {
		t.Error("Save while the broker is down: got no error")
	}
	t.start()
	select {
	case l := <-next: // the first holder has lost it
		wait(t, "Lost of the first holder", held.Lost())
		t.wantError("Save of the first holder", held.Save(t.ctx, []byte("late")), broker.ErrLockLost)
		held = l
	default:
		held.Release()
		held = wait(t, "the lock after the restart", next)
	}
	if got := string(held.State()); got != "before" && got != "while down" {
		t.Errorf("after the restart: got state %q, want %q", got, "before")
	}
	t.save(held, "after")
}

func lockOverRestarts(t *trial) {
	name := t.name("lock")
	t.lock(t.link, name).Release()
	t.rest()
	var saved, least atomic.Int64
	stop := make(chan struct{})
	for range 3 {
		link := t.dial()
		t.others.Go(func() { countWhileUp(t, link, name, stop, &saved, &least) })
	}
	for range 3 {
		before := saved.Load()
		t.until("the count goes on", func() error {
			if saved.Load() < before+20 {
				return fmt.Errorf("%d were saved since the broker was started", saved.Load()-before)
			}
			return nil
		})
		t.kill()
		t.untilDown(t.link)
		t.start()
	}
	close(stop)
	l := t.lock(t.link, name)
	if n, _ := strconv.ParseInt(string(l.State()), 10, 64); n < least.Load() {
		t.Errorf("got state %d, but %d was saved before", n, least.Load())
	}
}

// countWhileUp counts up what the lock keeps for as long as it holds it. least
// is the highest number that was saved for certain: who saves one that is not
// higher has read an old state, or was not alone.
func countWhileUp(t *trial, link broker.Broker, name string, stop <-chan struct{}, saved, least *atomic.Int64) {
	for {
		l, err := link.Lock(t.ctx, name)
		if err != nil {
			return // the trial has ended
		}
		n, _ := strconv.ParseInt(string(l.State()), 10, 64)
		for err == nil {
			select {
			case <-stop:
				l.Release()
				return
			default:
			}
			n++
			ctx, cancel := context.WithTimeout(t.ctx, 5*time.Second)
			before := least.Load()
			if err = l.Save(ctx, strconv.AppendInt(nil, n, 10)); err == nil {
				saved.Add(1)
				if n <= before || !least.CompareAndSwap(before, n) {
					t.Errorf("saved %d when %d or more was saved before", n, before)
				}
			}
			cancel()
		}
		l.Release()
	}
}
