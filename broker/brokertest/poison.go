package brokertest

import (
	"context"
	"slices"
	"sync"

	"github.com/enoki-go/enoki/broker"
)

func poisonCases() []testCase {
	const promise = "an event whose process dies under its handler, again and again, is a dead letter of the kind no_outcome after five deliveries, and those that ran beside it are handled and not charged"
	return []testCase{
		{"no outcome", promise, func(t *trial) { noOutcome(t, broker.Subscription{}) }},
		{"no outcome in order", promise, func(t *trial) {
			noOutcome(t, broker.Subscription{OrderBy: func(m *broker.Message) string { return string(m.Body) }})
		}},
	}
}

// deadly is the body of the event that ends each process.
const deadly = "deadly"

// doomed is a service of processes that end one after the other.
type doomed struct {
	t       *trial
	name    string
	sub     broker.Subscription
	letters chan broker.DeadLetter

	mu       sync.Mutex     // guards what follows
	attempts map[string]int // the highest of each event that is not deadly
	handled  []string
	changed  chan struct{} // closed when handled changes
}

// process is one of them.
type process struct {
	*doomed
	first  bool
	begun  chan struct{} // the deadly event has
	ended  chan struct{} // closed when the process has
	beside chan struct{} // an event beside it has begun, in the first process
}

func (p *process) handle(_ context.Context, m *broker.Message) broker.Settlement {
	if string(m.Body) == deadly {
		p.begun <- struct{}{}
		<-p.ended
		return broker.Settlement{}
	}
	if p.first { // it goes with the process
		p.beside <- struct{}{}
		<-p.ended
		return broker.Settlement{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attempts[string(m.Body)] = max(p.attempts[string(m.Body)], m.Attempt)
	if !slices.Contains(p.handled, string(m.Body)) {
		p.handled = append(p.handled, string(m.Body))
	}
	close(p.changed)
	p.changed = make(chan struct{})
	return broker.Settlement{}
}

// live runs a process, which calls meanwhile once it has joined, until the
// deadly event ends it. It returns the letter that the event has become instead.
func (d *doomed) live(first bool, beside int, meanwhile func()) (letter *broker.DeadLetter) {
	t := d.t
	link, die := t.fixture.Doomed(t)
	p := &process{doomed: d, first: first, begun: make(chan struct{}, 10), ended: make(chan struct{}), beside: make(chan struct{}, 100)}
	end := sync.OnceFunc(func() {
		die()
		_ = link.Close() // it may be closed already, and can't say goodbye
		close(p.ended)
	})
	defer end()
	s := service(d.name)
	sub := d.sub
	sub.Handle = p.handle
	s.Subscriptions, s.Buried = []broker.Subscription{sub}, func(l broker.DeadLetter) { d.letters <- l }
	t.join(link, s)
	meanwhile()
	select {
	case l := <-d.letters:
		return &l
	case <-p.begun:
	case <-t.ctx.Done():
		t.Fatal("waited in vain for the deadly event")
	}
	if first {
		for range beside {
			wait(t, "an event beside the deadly one", p.beside)
		}
		return nil
	}
	d.await(beside)
	t.call(link, d.name+"-echo", "m", "") // what the process has settled has arrived
	return nil
}

// await waits until so many others are handled.
func (d *doomed) await(n int) {
	for {
		d.mu.Lock()
		got, changed := len(d.handled), d.changed
		d.mu.Unlock()
		if got >= n {
			return
		}
		wait(d.t, "the events beside the deadly one", changed)
	}
}

func noOutcome(t *trial, sub broker.Subscription) {
	if t.fixture.Doomed == nil {
		t.Fatal("the fixture has no Doomed")
	}
	sub.Source, sub.Event, sub.Handler = t.name("source"), "e", "h"
	d := &doomed{t: t, name: t.name("svc"), sub: sub, letters: make(chan broker.DeadLetter, 10), attempts: map[string]int{}, changed: make(chan struct{})}
	t.serve(t.link, d.name+"-echo", echo)
	others := []string{"a", "b", "c"}
	emit := func() {
		for _, body := range append([]string{deadly}, others...) {
			t.emit(t.link, sub.Source, sub.Event, body)
		}
	}
	deaths := 0
	letter := d.live(true, len(others), emit)
	for ; letter == nil; letter = d.live(false, len(others), func() {}) {
		if deaths++; deaths > 10 {
			t.Fatalf("the event has ended %d processes", deaths)
		}
	}
	const want = broker.AttemptsBeside + broker.AttemptsAlone
	if deaths != want || letter.Kind != broker.KindNoOutcome || letter.Attempts != want || string(letter.Message.Body) != deadly {
		t.Errorf("after %d deaths got the letter %+v, want one of the kind %s of %d attempts after as many", deaths, letter, broker.KindNoOutcome, want)
	}
	for _, body := range others {
		if n := d.attempts[body]; n != 1 {
			t.Errorf("event %q, which ran beside it, had the attempt %d, want 1", body, n)
		}
	}
}
