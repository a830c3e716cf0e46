package brokertest

import (
	"context"
	"crypto/rand"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/enoki-go/enoki/broker"
)

const (
	// patience is how long a case waits for something that has to happen
	// soon: far longer than any broker needs on a busy machine, also for cases
	// with hundreds of messages that a slow disk has to take one by one.
	patience = time.Minute

	// recovery is how long a fault case may take: a broker that boots for
	// half a minute, and after it the longest pause between two attempts.
	recovery = 3 * time.Minute

	// pause is the time between two looks at something that sends no signal.
	pause = 10 * time.Millisecond
)

// trial is one run of one case: names that no other run uses, a link, and a
// context that ends the case when a promise is never kept.
type trial struct {
	*testing.T

	fixture Fixture
	link    broker.Broker
	ctx     context.Context
	tag     string
	stuck   []*stuck       // set free when the case ends
	others  sync.WaitGroup // goroutines of the case
	down    bool           // the broker has been killed and not started again
}

// try runs c, which may take as long as limit.
func try(t *testing.T, f Fixture, c testCase, limit time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the promise: %s", c.promise)
		}
	})
	tr := &trial{T: t, fixture: f, ctx: ctx, tag: newID()[:8]}
	defer tr.end(cancel)
	tr.link = tr.dial()
	c.run(tr)
}

// end leaves nothing running and the broker up. Links are closed after it.
func (t *trial) end(cancel context.CancelFunc) {
	for _, s := range t.stuck {
		s.free()
	}
	cancel()
	t.others.Wait()
	if t.down {
		t.start()
	}
}

// newID returns a random text of lower-case letters and digits.
func newID() string { return strings.ToLower(rand.Text()) }

// name makes s unique to this trial.
func (t *trial) name(s string) string { return s + "-" + t.tag }

// dial returns another link, closed when the trial ends.
func (t *trial) dial() broker.Broker {
	t.Helper()
	link := t.fixture.Dial(t)
	t.Cleanup(func() {
		if err := link.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return link
}

// service describes an instance with a new id and eight workers.
func service(name string) broker.Service {
	return broker.Service{Instance: broker.Instance{Name: name, ID: newID()}, Workers: 8}
}

// join attaches s by link. It leaves, if it has not, when the trial ends.
func (t *trial) join(link broker.Broker, s broker.Service) broker.Member {
	t.Helper()
	m, err := link.Join(t.ctx, s)
	if err != nil {
		t.Fatalf("Join %s: %v", s.Name, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = m.Leave(ctx) // most cases have left by now, or have cut the member off
	})
	return m
}

// leave detaches m, waiting for what runs.
func (t *trial) leave(m broker.Member) {
	t.Helper()
	if err := m.Leave(t.ctx); err != nil {
		t.Fatalf("Leave: got error %v, want nil", err)
	}
}

// serve joins a service that only takes calls.
func (t *trial) serve(link broker.Broker, name string, fn func(ctx context.Context, method string, req *broker.Message) *broker.Message) broker.Member {
	t.Helper()
	s := service(name)
	s.Serve = fn
	return t.join(link, s)
}

// subscribe joins a service with one subscription, its events going to fn.
func (t *trial) subscribe(link broker.Broker, name string, sub broker.Subscription, fn func(context.Context, *broker.Message) broker.Settlement) broker.Member {
	t.Helper()
	s := service(name)
	sub.Handle = fn
	s.Subscriptions = []broker.Subscription{sub}
	return t.join(link, s)
}

// call returns the body of the reply and ends the trial on an error.
func (t *trial) call(link broker.Broker, service, method, body string) string {
	t.Helper()
	reply, err := link.Call(t.ctx, service, method, text(body))
	if err != nil {
		t.Fatalf("Call %s.%s: got error %v, want a reply", service, method, err)
	}
	return string(reply.Body)
}

// emit publishes an event with body as its body and id, and ends the trial on
// an error.
func (t *trial) emit(link broker.Broker, source, event, body string) {
	t.Helper()
	m := text(body)
	m.ID = body
	if err := link.Emit(t.ctx, source, event, m); err != nil {
		t.Fatalf("Emit %s.%s: got error %v, want nil", source, event, err)
	}
}

// outcome is how a call has ended.
type outcome struct {
	body string
	err  error
}

// calling starts a call and returns where its outcome goes.
func (t *trial) calling(ctx context.Context, link broker.Broker, service, method, body string) <-chan outcome {
	ended := make(chan outcome, 1)
	t.others.Go(func() {
		reply, err := link.Call(ctx, service, method, text(body))
		if err != nil {
			ended <- outcome{err: err}
			return
		}
		ended <- outcome{body: string(reply.Body)}
	})
	return ended
}

// leaving starts Leave with ctx and returns where its error goes.
func (t *trial) leaving(ctx context.Context, m broker.Member) <-chan error {
	errs := make(chan error, 1)
	t.others.Go(func() { errs <- m.Leave(ctx) })
	return errs
}

// closing starts Close and returns where its error goes.
func (t *trial) closing(link broker.Broker) <-chan error {
	errs := make(chan error, 1)
	t.others.Go(func() { errs <- link.Close() })
	return errs
}

// wantReply ends the trial unless the call got body as its reply.
func (t *trial) wantReply(what string, got outcome, body string) {
	t.Helper()
	if got.err != nil || got.body != body {
		t.Fatalf("%s: got reply %q and error %v, want %q and nil", what, got.body, got.err, body)
	}
}

// text returns a message with a new id.
func text(body string) *broker.Message {
	return &broker.Message{ID: newID(), ContentType: "text/plain", Body: []byte(body)}
}

// meanwhile gives the broker the time of a few calls in which something could
// happen that must not.
func (t *trial) meanwhile() {
	t.Helper()
	other := t.name("other-" + newID()[:4])
	t.serve(t.dial(), other, echo)
	for range 10 {
		t.call(t.link, other, "m", "")
		runtime.Gosched() // an in-process broker answers without a pause for others
	}
}

// wait returns what comes from ch, or ends the trial when nothing does.
func wait[T any](t *trial, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-t.ctx.Done():
		t.Fatalf("waited in vain for %s", what)
		panic("not reached")
	}
}

// until looks again and again until look returns nil.
func (t *trial) until(what string, look func() error) {
	t.Helper()
	deadline, _ := t.ctx.Deadline()
	poll(t.T, deadline, what, look)
}

// poll looks until look returns nil, or fails the test at the deadline with
// the last error. It is for things that send no signal.
func poll(t *testing.T, deadline time.Time, what string, look func() error) {
	t.Helper()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		err := look()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		<-tick.C
	}
}

// wantError ends the trial unless err is one of the wanted.
func (t *trial) wantError(what string, err error, wanted ...error) {
	t.Helper()
	for _, w := range wanted {
		if errors.Is(err, w) {
			return
		}
	}
	t.Fatalf("%s: got error %v, want one of %q", what, err, wanted)
}
