package brokertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/enoki-go/enoki/broker"
)

func callCases() []testCase {
	return []testCase{
		{"request and reply", "a call carries method, id, content type and body to the service, and content type and body back", requestAndReply},
		{"context of a call", "context data arrive with their types, integers as int64, nil left out", contextOfCall},
		{"messages are not shared", "what a handler does to a message does not change the caller's", messagesNotShared},
		{"own replies", "concurrent calls get each its own reply", ownReplies},
		{"instances share calls", "a call goes to one instance of the service, and every instance gets some", instancesShareCalls},
		{"services are apart", "a call reaches the service it names, and no other one on the same link", servicesApart},
		{"unknown service", "a call to a service never heard of is ErrUnknownService, at once", unknownService},
		{"stopped service", "a call to a stopped service is ErrUnknownService, or waits where that is declared", stoppedService},
		{"deadline of a call", "a call ends with the error of ctx, its handler is cancelled, its late reply harms nobody", deadlineOfCall},
		{"cancelled call", "when the caller gives up, the context of the handler is cancelled", cancelledCall},
		{"call given up while it waits", "a call whose caller gives up while it waits for a free worker is not run", givenUpWaiting},
		{"call given up at any moment", "however early the caller gives up, no handler goes on for it", givenUpAnyMoment},
		{"ended context", "a call with a context that has ended is the error of that context", endedContext},
		{"workers bound calls", "no more handlers run at once than Workers, and no fewer if there is work", workersBoundCalls},
		{"no deadlock", "handlers may call their own service, and events and calls do not wait for each other", noDeadlock},
		{"call handed back", "a call with a nil reply goes to another instance", callHandedBack},
		{"reply with a reject", "a reply that says Reject still reaches the caller who can be reached", replyWithReject},
		{"context refused", "context data that can't travel is ErrInvalid at once, and the link lives on", contextRefused},
		{"request too large", "a request over the limit is ErrInvalid, and the link lives on", requestTooLarge},
	}
}

func requestAndReply(t *trial) {
	type request struct {
		method string
		m      *broker.Message
	}
	got := make(chan request, 1)
	var binary [256]byte
	for i := range binary {
		binary[i] = byte(i)
	}
	answers := map[string]*broker.Message{
		"plain_1": {ID: newID(), ContentType: "application/json", Body: []byte(`{"result":1}`)},
		"binary":  {ID: newID(), ContentType: "application/x-any", Body: binary[:]},
		"bare":    {ID: newID()},
	}
	name := t.name("svc_Ab9-x")
	t.serve(t.dial(), name, func(_ context.Context, method string, req *broker.Message) *broker.Message {
		got <- request{method, req}
		return answers[method]
	})
	for method, answer := range answers {
		req := &broker.Message{ID: newID(), ContentType: answer.ContentType, Body: answer.Body}
		reply, err := t.link.Call(t.ctx, name, method, req)
		if err != nil {
			t.Fatalf("Call %s: %v", method, err)
		}
		r := wait(t, "the request", got)
		if r.method != method || r.m.ID != req.ID {
			t.Errorf("the service got method %q with id %q, want %q with %q", r.method, r.m.ID, method, req.ID)
		}
		t.wantContent("request", r.m, req)
		t.wantContent("reply", reply, answer)
	}
}

// wantContent fails unless got has the body and content type of want.
func (t *trial) wantContent(what string, got, want *broker.Message) {
	t.Helper()
	if got.ContentType != want.ContentType || !bytes.Equal(got.Body, want.Body) {
		t.Errorf("%s: got %q of type %q, want %q of type %q", what, got.Body, got.ContentType, want.Body, want.ContentType)
	}
}

// contextData returns context data as it is sent and as it has to arrive.
// Times have whole seconds, which is what AMQP tables can hold.
func contextData() (sent, arrives map[string]any) {
	at := time.Date(2026, 11, 23, 8, 30, 5, 0, time.UTC)
	arrives = map[string]any{
		"call_id_stack": []any{"a.b.1", "c.d.2"},
		"true":          true,
		"false":         false,
		"int":           int64(-7),
		"uint8":         int64(200),
		"max":           int64(1<<63 - 1),
		"min":           int64(-1 << 63),
		"float":         1.25,
		"whole float":   2.0,
		"text":          "Grüße, 世界 🍄 \"quoted\"\r\n",
		"empty":         "",
		"time":          at,
		"Case":          "upper",
		"case":          "lower",
		"dotted.key-1":  "x",
		"no items":      []any{},
		"deep":          map[string]any{"list": []any{int64(1), 1.5, map[string]any{"at": at, "ok": true}}, "s": "t"},
	}
	for name, v := range map[string]any{
		"NaN": math.NaN(), "infinity": math.Inf(1), "-infinity": math.Inf(-1), "-0": math.Copysign(0, -1), "smallest": math.SmallestNonzeroFloat64,
		"no time": time.Time{}, "before 1970": at.AddDate(-100, 0, 0),
		"not NaN":                map[string]any{"$float": "NaN"},
		"not a map":              map[string]any{"$map": map[string]any{"$time": "x"}},
		"\x00 in a key":          "\x00",
		strings.Repeat("k", 248): "long",
	} {
		arrives[name] = v
		arrives["list with "+name[:min(len(name), 20)]] = []any{v, map[string]any{"in a map": v}}
	}
	arrives["bytes\uFFFD\uFFFD"] = "a\uFFFDb\uFFFD\uFFFD"
	sent = maps.Clone(arrives)
	delete(sent, "bytes\uFFFD\uFFFD")
	sent["bytes\xff\xfe"] = "a\xffb\xfe\xfe"
	sent["int"] = int32(-7)
	sent["uint8"] = uint8(200)
	sent["time"] = at.Add(123456789 * time.Nanosecond).In(time.FixedZone("", 3600))
	sent["nothing"] = nil
	return sent, arrives
}

func contextOfCall(t *trial) {
	got := make(chan map[string]any, 1)
	name := t.name("svc")
	t.serve(t.dial(), name, func(_ context.Context, _ string, req *broker.Message) *broker.Message {
		got <- req.Context
		return text("")
	})
	req := text("")
	sent, want := contextData()
	req.Context = sent
	if _, err := t.link.Call(t.ctx, name, "m", req); err != nil {
		t.Fatalf("Call: %v", err)
	}
	t.wantContext(wait(t, "the request", got), want)

	t.call(t.link, name, "m", "")
	if c := wait(t, "the second request", got); len(c) != 0 {
		t.Errorf("a request without context data arrived with %v", c)
	}
}

// wantContext fails for every value that is not what was wanted.
func (t *trial) wantContext(got, want map[string]any) {
	t.Helper()
	for k, w := range want {
		if g, ok := got[k]; !ok || !sameValue(g, w) {
			t.Errorf("context data %q: got %#v (%T), want %#v (%T)", k, g, g, w, w)
		}
	}
	for k, g := range got {
		if _, ok := want[k]; !ok {
			t.Errorf("context data %q: got %#v, want none", k, g)
		}
	}
}

// sameValue compares like reflect.DeepEqual, but times by their instant.
func sameValue(a, b any) bool {
	switch a := a.(type) {
	case time.Time:
		b, ok := b.(time.Time)
		return ok && a.Equal(b)
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !sameValue(a[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, sameValue)
	}
	if a, ok := a.(float64); ok && math.IsNaN(a) {
		b, ok := b.(float64)
		return ok && math.IsNaN(b)
	}
	return reflect.DeepEqual(a, b)
}

// unsendable are context data that no broker takes.
func unsendable() map[string]map[string]any {
	deep, self := any("bottom"), map[string]any{}
	for range 33 {
		deep = []any{deep}
	}
	self["self"] = self
	bad := map[string]map[string]any{
		"too many":        {},
		"long key":        {strings.Repeat("k", 249): true},
		"too large":       {"k": strings.Repeat("x", 200<<10)},
		"large in pieces": {},
		"holds itself":    self,
	}
	for i := range 8193 {
		bad["too many"][strconv.Itoa(i)] = true
	}
	for i := range 200 {
		bad["large in pieces"][strconv.Itoa(i)] = strings.Repeat("x", 1<<10)
	}
	for name, v := range map[string]any{
		"huge": uint64(1 << 63), "bytes": []byte("x"), "struct": struct{ A int }{}, "complex": 1i, "channel": make(chan int), "function": func() {},
		"pointer": new(int), "typed list": []string{"x"}, "typed map": map[string]string{}, "deep": deep, "year": time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		"long list": make([]any, 8193), "long key in a map": map[string]any{strings.Repeat("k", 249): 1},
	} {
		bad[name] = map[string]any{"k": v}
		bad[name+", in a list"] = map[string]any{"k": []any{v}}
		bad[name+", in a map"] = map[string]any{"k": map[string]any{"m": v}}
	}
	return bad
}

// contextRefused: what can't travel is refused at once, and what others have
// under way on the same link does not suffer.
func contextRefused(t *trial) {
	name := t.name("svc")
	free := make(chan struct{})
	begun := make(chan struct{}, 1)
	t.serve(t.dial(), name, func(context.Context, string, *broker.Message) *broker.Message {
		begun <- struct{}{}
		<-free
		return text("innocent")
	})
	innocent := t.calling(t.ctx, t.link, name, "m", "")
	wait(t, "the innocent call", begun)
	for what, data := range unsendable() {
		_, err := t.link.Call(t.ctx, name, "m", &broker.Message{ID: newID(), Context: data})
		t.wantError("Call with context data that is "+what, err, broker.ErrInvalid)
		err = t.link.Emit(t.ctx, name, "e", &broker.Message{ID: newID(), Context: data})
		t.wantError("Emit with context data that is "+what, err, broker.ErrInvalid)
		err = t.link.CheckEvent(name, "e", &broker.Message{ID: newID(), Context: data})
		t.wantError("CheckEvent with context data that is "+what, err, broker.ErrInvalid)
		if err := t.link.Ready(); err != nil {
			t.Errorf("after context data that is %s: %v", what, err)
		}
	}
	close(free)
	t.wantReply("the call that was under way", wait(t, "its reply", innocent), "innocent")
	if n := len(begun); n > 0 {
		t.Errorf("%d calls with context data that can't travel were served", n)
	}
}

func messagesNotShared(t *trial) {
	name := t.name("svc")
	kept := text("reply")
	t.serve(t.link, name, func(_ context.Context, _ string, req *broker.Message) *broker.Message {
		req.Body[0] = 'X'
		req.Context["k"].([]any)[0] = "changed"
		req.Context["new"] = true
		return kept
	})
	req := text("request")
	req.Context = map[string]any{"k": []any{"v"}}
	reply, err := t.link.Call(t.ctx, name, "m", req)
	if err != nil {
		t.Fatalf("Call: %v", err)
	}
	reply.Body[0] = 'X'
	if string(req.Body) != "request" || len(req.Context) != 1 || req.Context["k"].([]any)[0] != "v" {
		t.Errorf("the handler changed the caller's request to %q with %v", req.Body, req.Context)
	}
	if string(kept.Body) != "reply" {
		t.Errorf("the caller changed the handler's reply to %q", kept.Body)
	}
}

func ownReplies(t *trial) {
	name := t.name("svc")
	t.serve(t.dial(), name, echo)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			body := fmt.Sprint(i)
			reply, err := t.link.Call(t.ctx, name, "m", text(body))
			if err != nil {
				t.Errorf("call %d: %v", i, err)
			} else if got, want := string(reply.Body), "m:"+body; got != want {
				t.Errorf("call %d: got reply %q, want %q", i, got, want)
			}
		})
	}
	wg.Wait()
}

func instancesShareCalls(t *trial) {
	name := t.name("svc")
	var handled atomic.Int64
	for _, id := range []string{"a", "b"} {
		t.serve(t.dial(), name, func(context.Context, string, *broker.Message) *broker.Message {
			handled.Add(1)
			return text(id)
		})
	}
	var calls int64
	seen := map[string]bool{}
	t.until("both instances take calls", func() error {
		calls++
		seen[t.call(t.link, name, "m", "")] = true
		if len(seen) < 2 {
			return fmt.Errorf("after %d calls only %v has served", calls, seen)
		}
		return nil
	})
	if n := handled.Load(); n != calls {
		t.Errorf("handlers ran %d times for %d calls", n, calls)
	}
}

func servicesApart(t *trial) {
	for _, s := range []string{"one", "two"} {
		t.serve(t.link, t.name(s), func(context.Context, string, *broker.Message) *broker.Message { return text(s) })
	}
	for range 5 {
		for _, s := range []string{"one", "two"} {
			if got := t.call(t.link, t.name(s), "m", ""); got != s {
				t.Errorf("service %q was called, %q answered", s, got)
			}
		}
	}
}

func unknownService(t *trial) {
	start := time.Now()
	_, err := t.link.Call(t.ctx, t.name("nobody"), "m", text(""))
	t.wantError("Call to nobody", err, broker.ErrUnknownService)
	if d := time.Since(start); d > patience/6 {
		t.Errorf("it took %v to say so, want at once", d)
	}
	name := t.name("somebody")
	t.serve(t.dial(), name, echo)
	t.call(t.link, name, "m", "the link lives on")
}

func stoppedService(t *trial) {
	name := t.name("svc")
	t.leave(t.serve(t.dial(), name, echo))
	if !t.fixture.CallsWait {
		_, err := t.link.Call(t.ctx, name, "m", text(""))
		t.wantError("Call to a stopped service", err, broker.ErrUnknownService)
		return
	}
	ctx, cancel := context.WithTimeout(t.ctx, 50*time.Millisecond)
	defer cancel()
	_, err := t.link.Call(ctx, name, "m", text("nobody waits for this one"))
	t.wantError("Call to a stopped service", err, context.DeadlineExceeded)

	waiting := t.calling(t.ctx, t.link, name, "m", "x")
	t.serve(t.dial(), name, echo)
	t.wantReply("the call that waited", wait(t, "the service that came back", waiting), "m:x")
}

func deadlineOfCall(t *trial) {
	name := t.name("svc")
	s := newStuck(t)
	t.serve(t.dial(), name, func(ctx context.Context, method string, req *broker.Message) *broker.Message {
		if method == "slow" {
			return s.serve(ctx, method, req)
		}
		return echo(ctx, method, req)
	})
	for left := 300 * time.Millisecond; len(s.started) == 0 && t.ctx.Err() == nil; left *= 2 { // until the handler begins in time
		ctx, cancel := context.WithTimeout(t.ctx, left)
		_, err := t.link.Call(ctx, name, "slow", text("x"))
		cancel()
		t.wantError("Call past its deadline", err, context.DeadlineExceeded)
	}
	wait(t, "the context of the handler to end", s.cancelled)
	s.free()
	for i := range 5 {
		body := fmt.Sprint(i)
		if got := t.call(t.link, name, "fast", body); got != "fast:"+body {
			t.Errorf("after a late reply: got %q, want %q", got, "fast:"+body)
		}
	}
}

func cancelledCall(t *trial) {
	name := t.name("svc")
	s := newStuck(t)
	t.serve(t.dial(), name, s.serve)
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	cancelled := t.calling(ctx, t.link, name, "m", "x")
	other := t.calling(t.ctx, t.link, name, "m", "y")
	wait(t, "the first handler", s.started)
	wait(t, "the second handler", s.started)
	cancel()
	t.wantError("cancelled Call", wait(t, "the call to end", cancelled).err, context.Canceled)
	if got := wait(t, "the context of the handler to end", s.cancelled); got != "x" {
		t.Errorf("call x was cancelled, the handler of %q was told", got)
	}
	s.free()
	t.wantReply("the call that was not cancelled", wait(t, "the other call", other), "late:y")
	if len(s.cancelled) > 0 {
		t.Error("the handler of the call that was not cancelled was told to stop")
	}
}

// givenUpWaiting looks more than once, because nothing tells when an instance has
// heard of what its callers do.
func givenUpWaiting(t *trial) {
	t.until("a call that its caller has given up is not run", func() error {
		s := newStuck(t)
		bound := service(t.name("svc-" + newID()[:4]))
		bound.Workers, bound.Serve = 1, s.serve
		t.join(t.dial(), bound)
		first := t.calling(t.ctx, t.link, bound.Name, "m", "first")
		wait(t, "the first handler", s.started)
		ctx, cancel := context.WithCancel(t.ctx)
		defer cancel()
		cancelled := t.calling(ctx, t.link, bound.Name, "m", "cancelled")
		short, end := context.WithTimeout(t.ctx, 50*time.Millisecond)
		defer end()
		late := t.calling(short, t.link, bound.Name, "m", "late")
		t.wantError("Call past its deadline", wait(t, "the deadline", late).err, context.DeadlineExceeded)
		t.meanwhile() // the other one arrives where it has to wait
		cancel()
		t.wantError("cancelled Call", wait(t, "the call to end", cancelled).err, context.Canceled)
		t.meanwhile() // the instance hears of it
		s.free()
		t.wantReply("the first call", wait(t, "it to end", first), "late:first")
		t.call(t.link, bound.Name, "m", "last")
		if got := wait(t, "the next handler", s.started); got != "last" {
			return fmt.Errorf("the handler of the call %q was started", got)
		}
		return nil
	})
}

func givenUpAnyMoment(t *trial) {
	const callers, calls = 16, 10
	var running gauge
	s := service(t.name("svc"))
	s.Workers = callers / 4
	s.Serve = func(ctx context.Context, method string, req *broker.Message) *broker.Message {
		if method == "echo" {
			return echo(ctx, method, req)
		}
		running.in()
		defer running.out()
		select {
		case <-ctx.Done():
		case <-t.ctx.Done():
		}
		return text("")
	}
	t.join(t.dial(), s)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for j := range calls {
				ctx, cancel := context.WithCancel(t.ctx)
				time.AfterFunc(time.Duration(i*j)*20*time.Microsecond, cancel) // some before it is sent, some after it has begun
				if _, err := t.link.Call(ctx, s.Name, "m", text("")); !errors.Is(err, context.Canceled) {
					t.Errorf("call %d of caller %d: got error %v, want that of its context", j, i, err)
				}
			}
		})
	}
	wg.Wait()
	for range 2 * s.Workers {
		t.call(t.link, s.Name, "echo", "") // comes after them
	}
	t.until("the handlers of all calls end", func() error {
		if n := running.now.Load(); n > 0 {
			return fmt.Errorf("%d of them run on", n)
		}
		return nil
	})
}

func endedContext(t *trial) {
	s := service(t.name("svc"))
	s.Serve = echo
	t.join(t.link, s)
	ctx, cancel := context.WithCancel(t.ctx)
	cancel()
	_, err := t.link.Call(ctx, s.Name, "m", text(""))
	t.wantError("Call with an ended context", err, context.Canceled)
	t.wantError("Emit with an ended context", t.link.Emit(ctx, s.Name, "e", text("")), context.Canceled)
	_, err = t.link.Join(ctx, service(t.name("late")))
	t.wantError("Join with an ended context", err, context.Canceled)
	t.wantShown(t.link, s.Instance) // and not the one whose Join failed
	t.call(t.link, s.Name, "m", "the link lives on")
}

func workersBoundCalls(t *trial) {
	const workers = 3
	var running gauge
	s := newStuck(t)
	bound := service(t.name("bound"))
	bound.Workers = workers
	bound.Serve = func(ctx context.Context, method string, req *broker.Message) *broker.Message {
		running.in()
		defer running.out()
		return s.serve(ctx, method, req)
	}
	t.join(t.dial(), bound)
	var wg sync.WaitGroup
	for i := range 4 * workers {
		wg.Go(func() {
			if _, err := t.link.Call(t.ctx, bound.Name, "m", text(fmt.Sprint(i))); err != nil {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	for range workers {
		wait(t, "as many handlers as workers", s.started)
	}
	t.meanwhile() // a handler too many would start
	s.free()
	wg.Wait()
	if most := running.most.Load(); most != workers {
		t.Errorf("at most %d handlers ran at once, want %d", most, workers)
	}
}

func busyInstance(t *trial) {
	s := newStuck(t)
	name := t.name("svc")
	for range 2 {
		one := service(name)
		one.Workers = 1
		one.Serve = func(ctx context.Context, method string, req *broker.Message) *broker.Message {
			if method == "slow" {
				return s.serve(ctx, method, req)
			}
			return echo(ctx, method, req)
		}
		t.join(t.dial(), one)
	}
	slow := t.calling(t.ctx, t.link, name, "slow", "x")
	wait(t, "one of the instances to be busy", s.started)
	for i := range 20 {
		t.call(t.link, name, "fast", fmt.Sprint("one after the other ", i))
	}
	var fast []<-chan outcome
	for i := range 20 {
		fast = append(fast, t.calling(t.ctx, t.link, name, "fast", fmt.Sprint("at once ", i)))
	}
	for i, ended := range fast {
		t.wantReply("a call beside a busy instance", wait(t, "it to end", ended), fmt.Sprint("fast:at once ", i))
	}
	if len(slow) > 0 {
		t.Fatal("the slow call has ended, nothing is shown")
	}
	s.free()
	t.wantReply("the slow call", wait(t, "it to end", slow), "late:x")
}

func noDeadlock(t *trial) {
	blocked := newStuck(t)
	name := t.name("svc")
	answers := make(chan string, 1)
	s := service(name)
	s.Workers = 2
	link := t.dial()
	s.Serve = func(ctx context.Context, method string, req *broker.Message) *broker.Message {
		if method != "outer" {
			return text("inner")
		}
		reply, err := link.Call(ctx, name, "inner", text(""))
		if err == nil {
			err = link.Emit(ctx, name, "happened", text(string(reply.Body)))
		}
		return text(fmt.Sprint(err))
	}
	s.Subscriptions = []broker.Subscription{
		{Source: name, Event: "happened", Handler: "ask", Handle: func(ctx context.Context, m *broker.Message) broker.Settlement {
			reply, err := link.Call(ctx, name, "inner", text(""))
			answers <- fmt.Sprint(err, reply != nil && bytes.Equal(reply.Body, m.Body))
			return broker.Settlement{}
		}},
		{Source: name, Event: "stuck", Handler: "stuck", Handle: blocked.handle},
	}
	t.join(link, s)
	for i := range s.Workers {
		t.emit(t.link, name, "stuck", fmt.Sprint(i))
		wait(t, "the handlers that are stuck", blocked.started)
	}
	for range 5 {
		if got := t.call(t.link, name, "outer", ""); got != "<nil>" {
			t.Errorf("a handler called its own service and emitted: got error %s", got)
		}
		if got := wait(t, "the event handler", answers); got != "<nil> true" {
			t.Errorf("an event handler called its own service: got %s", got)
		}
	}
}

func callHandedBack(t *trial) {
	name := t.name("svc")
	refused := make(chan struct{})
	first := sync.OnceFunc(func() { close(refused) })
	t.serve(t.dial(), name, func(context.Context, string, *broker.Message) *broker.Message {
		first() // there may be many
		return nil
	})
	if t.fixture.CallsStay {
		_, err := t.link.Call(t.ctx, name, "m", text(""))
		t.wantError("Call that was handed back", err, broker.ErrNotDelivered)
		return
	}
	handedBack := t.calling(t.ctx, t.link, name, "m", "x")
	wait(t, "the instance that refuses", refused)
	t.serve(t.dial(), name, echo)
	t.wantReply("a call handed back by one instance", wait(t, "the instance that serves", handedBack), "m:x")
}

func replyWithReject(t *trial) {
	name := t.name("svc")
	t.serve(t.dial(), name, func(context.Context, string, *broker.Message) *broker.Message {
		m := text("why")
		m.Reject = "not JSON"
		return m
	})
	if got := t.call(t.link, name, "m", "{"); got != "why" {
		t.Errorf("got reply %q, want %q", got, "why")
	}
}

func requestTooLarge(t *trial) {
	if t.fixture.TooLarge == 0 {
		t.Log("not applicable: this driver refuses no message for its size")
		return
	}
	name := t.name("svc")
	sizes := make(chan int, 1)
	t.serve(t.dial(), name, func(_ context.Context, _ string, req *broker.Message) *broker.Message {
		sizes <- len(req.Body)
		return text("ok")
	})
	large := &broker.Message{ID: newID(), Body: make([]byte, t.fixture.TooLarge)}
	_, err := t.link.Call(t.ctx, name, "m", large)
	t.wantError("Call with a request too large", err, broker.ErrInvalid)
	if errors.Is(err, broker.ErrUnknownOutcome) {
		t.Errorf("the error is also ErrUnknownOutcome: %v", err)
	}
	t.call(t.link, name, "m", "small")
	if n := wait(t, "the small request", sizes); n != len("small") {
		t.Errorf("the service got a request of %d bytes, want none but the small one", n)
	}
}
