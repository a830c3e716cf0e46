package brokertest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/enoki-go/enoki/broker"
)

func memberCases() []testCase {
	return []testCase{
		{"ready", "Ready of the link and of the member is nil once Join has returned", ready},
		{"leave finishes calls", "Leave waits for running handlers, their replies arrive, and calls not started go to another instance", leaveFinishesCalls},
		{"leave finishes events", "Leave waits for running handlers, their events are settled, and events not started go to another instance", leaveFinishesEvents},
		{"leave at once", "when ctx ends, Leave cancels what runs, returns that error, and unsettled events go to another instance", leaveAtOnce},
		{"busy instance", "while one instance is busy and another one is not, no call waits for the busy one", busyInstance},
		{"leave twice", "Leave may be called twice and at the same time; the second call waits like the first", leaveTwice},
		{"leave and come back", "an instance may join again under its name after it has left", leaveAndComeBack},
		{"instances come and go", "while instances join and leave, every call gets its reply and every event is handled once", comeAndGo},
		{"services", "Services shows every instance with what it says of itself, in order of name and id, until it leaves", services},
		{"close", "Close ends pending calls with ErrClosed, may be called twice, and then everything is ErrClosed", closeLink},
		{"close cuts members off", "Close cancels the handlers of members that have not left, and unsettled events go to another instance", closeCutsOff},
	}
}

func ready(t *trial) {
	link := t.dial()
	if err := link.Ready(); err != nil {
		t.Errorf("Ready of a new link: got %v, want nil", err)
	}
	s := service(t.name("svc"))
	s.Serve = echo
	for _, mode := range []broker.Mode{broker.Pool, broker.Broadcast, broker.Singleton} {
		s.Subscriptions = append(s.Subscriptions, broker.Subscription{Source: t.name("source"), Event: "e", Mode: mode, Handler: "h" + string(mode), Handle: done})
	}
	m := t.join(link, s)
	if err := m.Ready(); err != nil {
		t.Errorf("Ready of a new member: got %v, want nil", err)
	}
	if err := link.Ready(); err != nil {
		t.Errorf("Ready of a link with a member: got %v, want nil", err)
	}
	t.leave(m)
	if err := link.Ready(); err != nil {
		t.Errorf("Ready of a link whose member has left: got %v, want nil", err)
	}
}

func leaveFinishesCalls(t *trial) {
	name := t.name("svc")
	slow := newStuck(t)
	s := service(name)
	s.Workers = 1
	s.Serve = slow.serve
	m := t.join(t.dial(), s)
	running := t.calling(t.ctx, t.link, name, "m", "running")
	wait(t, "the running handler", slow.started)
	var waiting []<-chan outcome
	for i := range 8 {
		waiting = append(waiting, t.calling(t.ctx, t.link, name, "m", fmt.Sprint(i)))
	}
	t.serve(t.dial(), name, echo)
	left := t.leaving(t.ctx, m)
	for i, ch := range waiting {
		got := wait(t, "a call that was not started", ch)
		if t.fixture.CallsStay && errors.Is(got.err, broker.ErrNotDelivered) {
			continue
		}
		t.wantReply("a call that was not started, and is for another instance", got, fmt.Sprint("m:", i))
	}
	if len(left) > 0 || len(slow.cancelled) > 0 {
		t.Errorf("Leave returned or cancelled the handler that was still running")
	}
	slow.free()
	if err := wait(t, "Leave", left); err != nil {
		t.Errorf("Leave: got error %v, want nil", err)
	}
	t.wantReply("the call that was running", wait(t, "the reply", running), "late:running")
	if len(slow.started) > 0 {
		t.Errorf("the instance that was leaving started call %q", <-slow.started)
	}
}

func leaveFinishesEvents(t *trial) {
	source, name := t.name("source"), t.name("svc")
	slow := newStuck(t)
	sub := broker.Subscription{Source: source, Event: "e", Handler: "h", Handle: slow.handle}
	s := service(name)
	s.Workers = 1
	s.Subscriptions = []broker.Subscription{sub}
	m := t.join(t.dial(), s)
	t.emit(t.link, source, "e", "running")
	wait(t, "the running handler", slow.started)
	ids := t.emitMany(source, "e", 8)

	var box inbox
	left := t.leaving(t.ctx, m)
	next := t.subscribe(t.dial(), name, sub, box.take)
	t.until("another instance handles what was not started", func() error { return box.missing(ids) })
	if len(left) > 0 || len(slow.cancelled) > 0 {
		t.Errorf("Leave returned or cancelled the handler that was still running")
	}
	slow.free()
	if err := wait(t, "Leave", left); err != nil {
		t.Errorf("Leave: got error %v, want nil", err)
	}
	t.emit(t.link, source, "e", "last") // so that what went back by mistake has come before
	ids = append(ids, "last")
	t.until("another instance goes on", func() error { return box.missing(ids) })
	t.leave(next)
	if err := box.once(ids); err != nil {
		t.Error(err)
	}
	if len(slow.started) > 0 {
		t.Errorf("the instance that was leaving started event %q", <-slow.started)
	}
}

func leaveAtOnce(t *trial) {
	source, name := t.name("source"), t.name("svc")
	stubborn := newStuck(t)
	s := service(name)
	s.Serve = stubborn.serve
	s.Subscriptions = []broker.Subscription{{Source: source, Event: "e", Handler: "h", Handle: stubborn.handle}}
	m := t.join(t.dial(), s)
	t.emit(t.link, source, "e", "event")
	t.calling(t.ctx, t.link, name, "m", "call") // its outcome is the broker's
	wait(t, "the first handler", stubborn.started)
	wait(t, "the second handler", stubborn.started)

	ctx, cancel := context.WithCancel(t.ctx)
	cancel()
	t.wantError("Leave with an ended context", wait(t, "Leave", t.leaving(ctx, m)), context.Canceled)
	wait(t, "the first handler to be cancelled", stubborn.cancelled)
	wait(t, "the second handler to be cancelled", stubborn.cancelled)

	got := make(chan *broker.Message, 10)
	t.subscribe(t.dial(), name, s.Subscriptions[0], func(_ context.Context, m *broker.Message) broker.Settlement {
		got <- m
		return broker.Settlement{}
	})
	if e := wait(t, "the unsettled event to come to another instance", got); e.ID != "event" || e.Attempt != 1 || !e.Redelivered {
		t.Errorf("the other instance got event %q, attempt %d, redelivered %v, want %q, 1, true", e.ID, e.Attempt, e.Redelivered, "event")
	}
}

func leaveTwice(t *trial) {
	name := t.name("svc")
	slow := newStuck(t)
	m := t.serve(t.dial(), name, slow.serve)
	running := t.calling(t.ctx, t.link, name, "m", "x")
	wait(t, "the handler", slow.started)
	first, second := t.leaving(t.ctx, m), t.leaving(t.ctx, m)
	t.meanwhile() // a Leave that does not wait would return
	if len(first)+len(second) > 0 {
		t.Error("Leave did not wait for the running handler")
	}
	slow.free()
	for _, errs := range []<-chan error{first, second, t.leaving(t.ctx, m)} {
		if err := wait(t, "Leave", errs); err != nil {
			t.Errorf("Leave: got error %v, want nil", err)
		}
	}
	t.wantReply("the call that was running", wait(t, "the reply", running), "late:x")
}

func leaveAndComeBack(t *trial) {
	s := service(t.name("svc"))
	s.Serve = echo
	var box inbox
	s.Subscriptions = []broker.Subscription{{Source: t.name("source"), Event: "e", Mode: broker.Broadcast, Handler: "h", Handle: box.take}}
	link := t.dial()
	for i := range 3 {
		m := t.join(link, s)
		if got := t.call(t.link, s.Name, "m", "x"); got != "m:x" {
			t.Errorf("got %q, want %q", got, "m:x")
		}
		id := fmt.Sprint(i)
		t.emit(t.link, t.name("source"), "e", id)
		t.until("the event is handled", func() error { return box.missing([]string{id}) })
		t.leave(m)
	}
}

func comeAndGo(t *trial) {
	source, name := t.name("source"), t.name("svc")
	var box inbox
	s := service(name)
	s.Serve = echo
	s.Subscriptions = []broker.Subscription{{Source: source, Event: "e", Handler: "h", Handle: box.take}}
	come := func() broker.Member {
		s.ID = newID()
		return t.join(t.dial(), s)
	}
	m := come()
	stop := make(chan struct{})
	var callers sync.WaitGroup
	for i := range 4 {
		callers.Add(1)
		t.others.Go(func() {
			defer callers.Done()
			t.callUntil(stop, name, fmt.Sprint(i))
		})
	}
	var ids []string
	for len(ids) < 100 {
		ids = append(ids, t.emitMany(source, "e", 20)...)
		next := come()
		t.leave(m)
		m = next
	}
	close(stop)
	callers.Wait()
	t.until("every event is handled", func() error { return box.missing(ids) })
	if err := box.once(ids); err != nil {
		t.Error(err)
	}
}

// callUntil calls again and again, at least once, until stop is closed.
func (t *trial) callUntil(stop <-chan struct{}, service, body string) {
	for {
		reply, err := t.link.Call(t.ctx, service, "m", text(body))
		switch {
		case err != nil && !(t.fixture.CallsStay && errors.Is(err, broker.ErrNotDelivered)):
			t.Errorf("Call: got error %v, want a reply", err)
			return
		case err == nil && string(reply.Body) != "m:"+body:
			t.Errorf("Call: got reply %q, want %q", reply.Body, "m:"+body)
		}
		select {
		case <-stop:
			return
		default:
		}
	}
}

// shown returns the instances of services of this trial, and fails when the
// whole answer is out of order.
func (t *trial) shown(link broker.Broker) []broker.Instance {
	t.Helper()
	all, err := link.Services(t.ctx)
	if err != nil {
		t.Fatalf("Services: %v", err)
	}
	sorted := slices.IsSortedFunc(all, func(a, b broker.Instance) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	if !sorted {
		t.Errorf("Services is not sorted by name and id: %+v", all)
	}
	return slices.DeleteFunc(all, func(i broker.Instance) bool { return !strings.HasSuffix(i.Name, t.tag) })
}

// wantShown waits until all of want are shown, because Services may miss one that
// is slow to answer, and ends the trial when any other one is.
func (t *trial) wantShown(link broker.Broker, want ...broker.Instance) {
	t.Helper()
	t.until("Services shows every instance", func() error {
		got := t.shown(link)
		missing := slices.DeleteFunc(slices.Clone(want), func(w broker.Instance) bool {
			return slices.ContainsFunc(got, func(g broker.Instance) bool { return sameInstance(g, w) })
		})
		if len(got)+len(missing) != len(want) {
			t.Fatalf("Services: got %+v, want each of %+v once and no other", got, want)
		}
		if len(missing) > 0 {
			return fmt.Errorf("%+v are missing", missing)
		}
		return nil
	})
}

func services(t *trial) {
	full := broker.Instance{
		Name: t.name("b-svc"), ID: newID(), Version: "1.2.3", Host: "Größe.example", Started: time.Date(2026, 11, 23, 8, 30, 5, 0, time.UTC),
		Methods: []broker.Method{{Name: "check", Args: []string{"u_id", "lang?"}, Types: []string{"string", "string"}, Results: []string{"*Profile", "bool"}}},
		Handles: []broker.Event{{Source: "s", Name: "e", Mode: broker.Broadcast}, {Source: "s", Name: "f"}},
		Emits:   []broker.Event{{Source: t.name("b-svc"), Name: "g"}},
	}
	second := full
	second.ID = newID()
	bare := broker.Instance{Name: t.name("a-svc"), ID: newID()}
	want := []broker.Instance{bare, full, second}

	members := map[string]broker.Member{}
	for _, in := range []broker.Instance{full, bare, second} { // not in order
		members[in.ID] = t.join(t.dial(), broker.Service{Instance: in, Workers: 1, Serve: echo})
	}
	for ; len(want) > 0; want = want[1:] {
		for _, link := range []broker.Broker{t.link, t.dial()} {
			t.wantShown(link, want...)
		}
		t.leave(members[want[0].ID])
	}
	t.wantShown(t.link)
}

// sameInstance compares all but the form in which nothing is said: an empty
// version means 0.0.0, and a nil slice is an empty one.
func sameInstance(a, b broker.Instance) bool {
	form := func(i broker.Instance) broker.Instance {
		if i.Version == "" {
			i.Version = "0.0.0"
		}
		i.Started = i.Started.UTC()
		i.Methods = append([]broker.Method{}, i.Methods...)
		i.Handles = append([]broker.Event{}, i.Handles...)
		i.Emits = append([]broker.Event{}, i.Emits...)
		return i
	}
	return reflect.DeepEqual(form(a), form(b))
}

func closeLink(t *trial) {
	name := t.name("svc")
	slow := newStuck(t)
	t.serve(t.dial(), name, slow.serve)
	link := t.dial()
	pending := t.calling(t.ctx, link, name, "m", "x")
	wait(t, "the handler", slow.started)
	for range 2 {
		if err := link.Close(); err != nil {
			t.Errorf("Close: got error %v, want nil", err)
		}
	}
	t.wantError("the call that was pending", wait(t, "the pending call", pending).err, broker.ErrClosed)

	_, err := link.Call(t.ctx, name, "m", text(""))
	t.wantError("Call after Close", err, broker.ErrClosed)
	t.wantError("Emit after Close", link.Emit(t.ctx, name, "e", text("")), broker.ErrClosed)
	_, err = link.Join(t.ctx, service(t.name("late")))
	t.wantError("Join after Close", err, broker.ErrClosed)
	_, err = link.Services(t.ctx)
	t.wantError("Services after Close", err, broker.ErrClosed)
	err = nil
	for _, end := range link.DeadLetters(t.ctx, broker.DeadLetterFilter{}) {
		err = end
	}
	t.wantError("DeadLetters after Close", err, broker.ErrClosed)
	t.wantError("Ready after Close", link.Ready(), broker.ErrClosed)
}

func closeCutsOff(t *trial) {
	source, name := t.name("source"), t.name("svc")
	stubborn := newStuck(t)
	sub := broker.Subscription{Source: source, Event: "e", Handler: "h"}
	link := t.dial()
	m := t.subscribe(link, name, sub, stubborn.handle)
	t.emit(t.link, source, "e", "x")
	wait(t, "the handler", stubborn.started)
	closed := t.closing(link)
	wait(t, "the handler to be cancelled", stubborn.cancelled)

	var box inbox
	t.subscribe(t.dial(), name, sub, box.take)
	t.until("the unsettled event comes to another instance", func() error { return box.missing([]string{"x"}) })
	stubborn.free()
	if err := wait(t, "Close", closed); err != nil {
		t.Errorf("Close: got error %v, want nil", err)
	}
	wait(t, "Leave after Close, whatever it says", t.leaving(t.ctx, m))
}
