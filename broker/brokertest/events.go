package brokertest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/enoki-go/enoki/broker"
)

func eventCases() []testCase {
	return []testCase{
		{"event to nobody", "an event that nobody subscribes to is dropped, and that is no error", eventToNobody},
		{"event carries", "an event arrives with id, content type, body, context data, Attempt 1 and not Redelivered", eventCarries},
		{"events are not shared", "handlers of one event do not share its memory with each other or with the emitter", eventsNotShared},
		{"pool", "a Pool event goes to one instance of each service and handler", pool},
		{"broadcast", "a Broadcast event goes to every instance that is there", broadcast},
		{"singleton", "a Singleton event goes to one handler in the whole cluster", singleton},
		{"modes together", "each subscription to one event has its own mode", modesTogether},
		{"routing", "an event goes to those who subscribe to its source and its name, and to no others", routing},
		{"stored for a pool", "a Pool event emitted while no instance is there is handled by the next one", storedForPool},
		{"stored for a singleton", "a Singleton event emitted while no instance is there is handled by the next one", storedForSingleton},
		{"not stored for broadcast", "a Broadcast event goes only to instances that are there at that moment", notStoredForBroadcast},
		{"ephemeral", "an ephemeral subscription is shared like any other while an instance is there, and forgotten with the last one", ephemeral},
		{"broadcast with an id", "a Broadcast with an id goes to every id, and is stored for one that is not there", broadcastWithID},
		{"lasting or ephemeral", "a subscription that exists is not made another kind; Join refuses that, and what exists stays", lastingOrEphemeral},
		{"impossible subscriptions", "Join refuses a subscription that contradicts itself", impossibleSubscriptions},
		{"emitted again", "an event that is emitted again with its id comes once, or has the same id where it is declared to come twice", emittedAgain},
		{"concurrent emitters", "every event of concurrent emitters is handled", concurrentEmitters},
		{"workers bound events", "no more handlers of a subscription run at once than Workers, and no fewer if there is work", workersBoundEvents},
		{"event too large", "an event over the limit is ErrInvalid, before and after it is checked alone, and the link lives on", eventTooLarge},
	}
}

func eventToNobody(t *trial) {
	t.emit(t.link, t.name("source"), "nobody_cares", "x")
	t.emit(t.link, t.name("source"), "nobody_cares", "y")
}

func eventCarries(t *trial) {
	source := t.name("src_Ab9-x")
	for _, mode := range []broker.Mode{broker.Pool, broker.Broadcast, broker.Singleton} {
		got := make(chan *broker.Message, 2)
		t.subscribe(t.dial(), t.name("svc"), broker.Subscription{Source: source, Event: "ev_Ab9-x" + string(mode), Mode: mode, Handler: "h"},
			func(_ context.Context, m *broker.Message) broker.Settlement { got <- m; return broker.Settlement{} })

		m := &broker.Message{ID: newID(), ContentType: "application/json", Body: []byte("{\"a\":\"\x00\xff\"}")}
		sent, want := contextData()
		m.Context = sent
		if err := t.link.Emit(t.ctx, source, "ev_Ab9-x"+string(mode), m); err != nil {
			t.Fatalf("Emit: %v", err)
		}
		e := wait(t, "the event", got)
		t.wantContent(string(mode)+" event", e, m)
		t.wantContext(e.Context, want)
		if e.ID != m.ID || e.Attempt != 1 || e.Redelivered {
			t.Errorf("%s event: got id %q, attempt %d, redelivered %v, want %q, 1, false", mode, e.ID, e.Attempt, e.Redelivered, m.ID)
		}
		if err := t.link.Emit(t.ctx, source, "ev_Ab9-x"+string(mode), &broker.Message{ID: newID()}); err != nil {
			t.Fatalf("Emit of an event without a body: %v", err)
		}
		t.wantContent("bare event", wait(t, "the bare event", got), &broker.Message{})
	}
}

func eventsNotShared(t *trial) {
	source := t.name("source")
	bodies := make(chan string, 2)
	for _, h := range []string{"one", "two"} {
		t.subscribe(t.link, t.name("svc"), broker.Subscription{Source: source, Event: "e", Handler: h},
			func(_ context.Context, m *broker.Message) broker.Settlement {
				if m.Context["k"].([]any)[0] != "v" {
					m.Body = []byte("another handler's context")
				}
				bodies <- string(m.Body)
				m.Body[0] = 'X'
				m.Context["k"].([]any)[0] = "changed"
				return broker.Settlement{}
			})
	}
	m := text("event")
	list := []any{"v"}
	m.Context = map[string]any{"k": list}
	if err := t.link.Emit(t.ctx, source, "e", m); err != nil {
		t.Fatalf("Emit: %v", err)
	}
	list[0] = "changed"
	copy(m.Body, "XXXXX")
	for range 2 {
		if got := wait(t, "the event", bodies); got != "event" {
			t.Errorf("a handler got %q, want %q", got, "event")
		}
	}
}

// fanOut subscribes an inbox for each name, emits twenty events and returns
// when enough says that they have come. The members have left by then, so that
// nothing comes later.
func (t *trial) fanOut(mode broker.Mode, source string, names []string, enough func(boxes []*inbox, ids []string) error) ([]*inbox, []string) {
	t.Helper()
	var boxes []*inbox
	var members []broker.Member
	for _, name := range names {
		service, handler, _ := strings.Cut(name, ".")
		box := new(inbox)
		boxes = append(boxes, box)
		members = append(members, t.subscribe(t.dial(), t.name(service),
			broker.Subscription{Source: source, Event: "e", Mode: mode, Handler: handler}, box.take))
	}
	ids := t.emitMany(source, "e", 20)
	t.until("every event is handled", func() error { return enough(boxes, ids) })
	for _, m := range members {
		t.leave(m)
	}
	return boxes, ids
}

// emitMany emits n events and returns their ids.
func (t *trial) emitMany(source, event string, n int) []string {
	t.Helper()
	batch := newID()[:8]
	var ids []string
	for i := range n {
		id := fmt.Sprintf("%s-%03d", batch, i)
		t.emit(t.link, source, event, id)
		ids = append(ids, id)
	}
	return ids
}

// merge returns what all boxes got.
func merge(boxes ...*inbox) *inbox {
	all := new(inbox)
	for _, b := range boxes {
		all.got = append(all.got, b.all()...)
	}
	return all
}

func pool(t *trial) {
	names := []string{"a.h1", "a.h1", "a.h2", "b.h1"}
	boxes, ids := t.fanOut(broker.Pool, t.name("source"), names, func(boxes []*inbox, ids []string) error {
		return firstError(merge(boxes[0], boxes[1]).missing(ids), boxes[2].missing(ids), boxes[3].missing(ids))
	})
	for who, box := range map[string]*inbox{
		"two instances of one service": merge(boxes[0], boxes[1]), "another handler": boxes[2], "another service": boxes[3],
	} {
		if err := box.once(ids); err != nil {
			t.Errorf("%s: %v", who, err)
		}
	}
}

func firstError(errs ...error) error {
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return errs[i]
	}
	return nil
}

func broadcast(t *trial) {
	names := []string{"a.h", "a.h", "b.h"}
	boxes, ids := t.fanOut(broker.Broadcast, t.name("source"), names, func(boxes []*inbox, ids []string) error {
		return firstError(boxes[0].missing(ids), boxes[1].missing(ids), boxes[2].missing(ids))
	})
	for i, box := range boxes {
		if err := box.once(ids); err != nil {
			t.Errorf("instance %d of %v: %v", i, names, err)
		}
	}
}

func singleton(t *trial) {
	names := []string{"a.h1", "a.h1", "b.h2"}
	boxes, ids := t.fanOut(broker.Singleton, t.name("source"), names, func(boxes []*inbox, ids []string) error {
		return merge(boxes...).missing(ids)
	})
	if err := merge(boxes...).once(ids); err != nil {
		t.Errorf("all services together: %v", err)
	}
}

func modesTogether(t *trial) {
	source := t.name("source")
	modes := []broker.Mode{broker.Pool, broker.Broadcast, broker.Singleton}
	var boxes [3]inbox
	var members []broker.Member
	for range 2 { // two instances of one service with all three
		s := service(t.name("svc"))
		for i, mode := range modes {
			s.Subscriptions = append(s.Subscriptions, broker.Subscription{
				Source: source, Event: "e", Mode: mode, Handler: fmt.Sprint("h", i), Handle: boxes[i].take})
		}
		members = append(members, t.join(t.dial(), s))
	}
	t.emit(t.link, source, "e", "x")
	want := []int{1, 2, 1}
	t.until("every subscription gets its event", func() error {
		for i, n := range want {
			if got := boxes[i].counts()["x"]; got < n {
				return fmt.Errorf("mode %q: got it %d times, want %d", modes[i], got, n)
			}
		}
		return nil
	})
	for _, m := range members {
		t.leave(m)
	}
	for i, n := range want {
		if got := boxes[i].counts()["x"]; got != n {
			t.Errorf("mode %q: two instances got the event %d times, want %d", modes[i], got, n)
		}
	}
}

func routing(t *trial) {
	got := make(chan string, 100)
	for _, source := range []string{"one", "two"} {
		s := service(t.name("svc-" + source))
		for _, event := range []string{"a", "b", "a_b"} {
			s.Subscriptions = append(s.Subscriptions, broker.Subscription{Source: t.name(source), Event: event, Handler: event,
				Handle: func(_ context.Context, m *broker.Message) broker.Settlement {
					got <- fmt.Sprintf("%s.%s handles %s", source, event, m.Body)
					return broker.Settlement{}
				}})
		}
		t.join(t.dial(), s)
	}
	var want, arrived []string
	for _, source := range []string{"one", "two"} {
		for _, event := range []string{"a", "b", "a_b"} {
			id := source + "." + event
			t.emit(t.link, t.name(source), event, id)
			want = append(want, id+" handles "+id)
		}
	}
	for range want {
		arrived = append(arrived, wait(t, "an event", got))
	}
	slices.Sort(arrived)
	slices.Sort(want)
	if !slices.Equal(arrived, want) {
		t.Errorf("got %q, want %q", arrived, want)
	}
}

func storedForPool(t *trial)      { storedFor(t, broker.Pool) }
func storedForSingleton(t *trial) { storedFor(t, broker.Singleton) }

func storedFor(t *trial, mode broker.Mode) {
	source := t.name("source")
	sub := broker.Subscription{Source: source, Event: "e", Mode: mode, Handler: "h"}
	t.leave(t.subscribe(t.dial(), t.name("svc"), sub, done))
	ids := t.emitMany(source, "e", 10)

	box := new(inbox)
	m := t.subscribe(t.dial(), t.name("svc"), sub, box.take)
	t.until("the next instance handles what was stored", func() error { return box.missing(ids) })
	t.leave(m)
	if err := box.once(ids); err != nil {
		t.Error(err)
	}
}

func notStoredForBroadcast(t *trial) {
	source := t.name("source")
	sub := broker.Subscription{Source: source, Event: "e", Mode: broker.Broadcast, Handler: "h"}
	t.leave(t.subscribe(t.dial(), t.name("svc"), sub, done))
	t.emit(t.link, source, "e", "while nobody is there")

	box := new(inbox)
	t.subscribe(t.dial(), t.name("svc"), sub, box.take)
	t.emit(t.link, source, "e", "later")
	t.until("the event that comes later is handled", func() error { return box.missing([]string{"later"}) })
	if err := box.once([]string{"later"}); err != nil {
		t.Error(err)
	}
}

func ephemeral(t *trial) {
	for _, mode := range []broker.Mode{broker.Pool, broker.Singleton} {
		source := t.name("source" + string(mode))
		sub := broker.Subscription{Source: source, Event: "e", Mode: mode, Handler: "h", Ephemeral: true}
		var box inbox
		first := t.subscribe(t.dial(), t.name("svc"), sub, box.take)
		second := t.subscribe(t.dial(), t.name("svc"), sub, box.take)
		ids := t.emitMany(source, "e", 20)
		t.until("every event is handled", func() error { return box.missing(ids) })
		t.leave(first)
		more := t.emitMany(source, "e", 5)
		t.until("the instance that stays handles every event", func() error { return box.missing(more) })
		t.leave(second)
		if err := box.once(append(ids, more...)); err != nil {
			t.Errorf("%s: two instances together: %v", mode, err)
		}
		t.emit(t.link, source, "e", "while nobody is there")

		var later inbox
		t.subscribe(t.dial(), t.name("svc"), sub, later.take)
		t.emit(t.link, source, "e", "later")
		t.until("the event that comes later is handled", func() error { return later.missing([]string{"later"}) })
		if err := later.once([]string{"later"}); err != nil {
			t.Errorf("%s: the next instance: %v", mode, err)
		}
	}
}

func broadcastWithID(t *trial) {
	source := t.name("source")
	var boxes [3]inbox
	subscribe := func(box int, id string) broker.Member {
		sub := broker.Subscription{Source: source, Event: "e", Mode: broker.Broadcast, BroadcastID: id, Handler: "h"}
		return t.subscribe(t.dial(), t.name("svc"), sub, boxes[box].take)
	}
	subscribe(0, "host-1.example")
	t.leave(subscribe(1, "host-2.example"))
	subscribe(2, "")
	ids := t.emitMany(source, "e", 10)
	t.until("those who are there handle every event", func() error {
		return firstError(boxes[0].missing(ids), boxes[2].missing(ids))
	})
	if got := boxes[1].counts(); len(got) > 0 {
		t.Errorf("the instance that has left got %v", got)
	}
	subscribe(1, "host-2.example")
	t.until("the one that comes back handles what was stored", func() error { return boxes[1].missing(ids) })
	for i := range boxes {
		if err := boxes[i].once(ids); err != nil {
			t.Errorf("instance %d: %v", i, err)
		}
	}
}

func lastingOrEphemeral(t *trial) {
	for _, was := range []bool{false, true} {
		source := t.name(fmt.Sprint("source", was))
		sub := broker.Subscription{Source: source, Event: "e", Handler: "h", Ephemeral: was}
		var box inbox
		t.subscribe(t.dial(), t.name("svc"), sub, box.take)

		other := service(t.name("svc"))
		sub.Handle, sub.Ephemeral = done, !was
		other.Subscriptions = []broker.Subscription{sub}
		if m, err := t.dial().Join(t.ctx, other); err == nil {
			t.leave(m)
			t.Errorf("ephemeral is %v: Join with %v: got no error", was, !was)
		} else if t.ctx.Err() != nil {
			t.Errorf("ephemeral is %v: Join with %v: got %v, and not at once", was, !was, err)
		}
		t.emit(t.link, source, "e", "x")
		t.until("the subscription that exists handles the event", func() error { return box.missing([]string{"x"}) })
	}
}

func impossibleSubscriptions(t *trial) {
	for what, change := range map[string]func(*broker.Subscription){
		"no function":               func(s *broker.Subscription) { s.Handle = nil },
		"an unknown mode":           func(s *broker.Subscription) { s.Mode = "all" },
		"an id without a broadcast": func(s *broker.Subscription) { s.BroadcastID = "host-1" },
		"an id and ephemeral": func(s *broker.Subscription) {
			s.Mode, s.BroadcastID, s.Ephemeral = broker.Broadcast, "host-1", true
		},
	} {
		s := service(t.name("svc"))
		sub := broker.Subscription{Source: t.name("source"), Event: "e", Handler: "the_handler", Handle: done}
		change(&sub)
		s.Subscriptions = []broker.Subscription{sub}
		m, err := t.link.Join(t.ctx, s)
		if err == nil {
			t.leave(m)
		}
		if !strings.Contains(fmt.Sprint(err), "the_handler") {
			t.Errorf("Join with %s: got error %v, want one that names the handler", what, err)
		}
	}
}

func emittedAgain(t *trial) {
	source := t.name("source")
	var box inbox
	m := t.subscribe(t.dial(), t.name("svc"), broker.Subscription{Source: source, Event: "e", Handler: "h"}, box.take)
	ids := []string{"once", "again", "again", "last"}
	for _, id := range ids {
		t.emit(t.link, source, "e", id)
	}
	want := 1
	if t.fixture.KeepsNoIDs {
		want = 2
	}
	t.until("every event is handled", func() error {
		if n := box.counts()["again"]; n < want {
			return fmt.Errorf("an event that was emitted twice was handled %d times, want %d", n, want)
		}
		return box.missing(ids)
	})
	t.leave(m)
	if n := box.counts()["again"]; n != want {
		t.Errorf("an event that was emitted twice was handled %d times, want %d", n, want)
	}
}

func concurrentEmitters(t *trial) {
	source := t.name("source")
	box := new(inbox)
	t.subscribe(t.dial(), t.name("svc"), broker.Subscription{Source: source, Event: "e", Handler: "h"}, box.take)
	var ids []string
	var wg sync.WaitGroup
	for i := range 100 {
		id := fmt.Sprint(i)
		ids = append(ids, id)
		wg.Go(func() {
			m := text("x")
			m.ID = id
			if err := t.link.Emit(t.ctx, source, "e", m); err != nil {
				t.Errorf("event %s: %v", id, err)
			}
		})
	}
	wg.Wait()
	t.until("every event is handled", func() error { return box.missing(ids) })
}

func workersBoundEvents(t *trial) {
	const workers = 2
	source := t.name("source")
	var running gauge
	s := newStuck(t)
	var box inbox
	bound := service(t.name("svc"))
	bound.Workers = workers
	bound.Subscriptions = []broker.Subscription{{Source: source, Event: "e", Handler: "h",
		Handle: func(ctx context.Context, m *broker.Message) broker.Settlement {
			running.in()
			defer running.out()
			s.wait(ctx, m.ID)
			return box.take(ctx, m)
		}}}
	t.join(t.dial(), bound)
	ids := t.emitMany(source, "e", 4*workers)
	for range workers {
		wait(t, "as many handlers as workers", s.started)
	}
	t.meanwhile() // a handler too many would start
	s.free()
	t.until("every event is handled", func() error { return box.missing(ids) })
	if most := running.most.Load(); most != workers {
		t.Errorf("at most %d handlers ran at once, want %d", most, workers)
	}
}

func eventTooLarge(t *trial) {
	if t.fixture.TooLarge == 0 {
		t.Log("not applicable: this driver refuses no message for its size")
		return
	}
	source := t.name("source")
	var box inbox
	t.subscribe(t.dial(), t.name("svc"), broker.Subscription{Source: source, Event: "e", Handler: "h"}, box.take)
	large := &broker.Message{ID: "large", Body: make([]byte, t.fixture.TooLarge)}
	t.wantError("CheckEvent of an event too large", t.link.CheckEvent(source, "e", large), broker.ErrInvalid)
	t.wantError("Emit of an event too large", t.link.Emit(t.ctx, source, "e", large), broker.ErrInvalid)
	if err := t.link.CheckEvent(source, "e", text("small")); err != nil {
		t.Errorf("CheckEvent of a small event: %v", err)
	}
	t.emit(t.link, source, "e", "small")
	t.until("the small event is handled", func() error { return box.missing([]string{"small"}) })
	if err := box.once([]string{"small"}); err != nil {
		t.Error(err)
	}
}
