package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp"
)

// fakeShadow answers calls by a function.
type fakeShadow struct {
	broker.Broker
	call func(ctx context.Context, method string, m *broker.Message) (*broker.Message, error)
}

func (f fakeShadow) Call(ctx context.Context, _, method string, m *broker.Message) (*broker.Message, error) {
	return f.call(ctx, method, m)
}

// sameReply answers as the live service does in these tests.
func sameReply(context.Context, string, *broker.Message) (*broker.Message, error) {
	return jsonMessage(`{"result":1,"error":null}`), nil
}

// never answers.
func never(ctx context.Context, _ string, _ *broker.Message) (*broker.Message, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func newTestMirror(t *testing.T, call func(context.Context, string, *broker.Message) (*broker.Message, error)) *mirror {
	t.Helper()
	c := newCLI(t.Context(), nil, io.Discard, io.Discard)
	return &mirror{
		ctx: t.Context(), shadow: fakeShadow{call: call}, service: "s", timeout: time.Minute, sample: func() bool { return true },
		report: newShadowReport(c, &shadowOptions{service: "s"}, nil),
		full:   make(chan struct{}), pending: map[pairKey]*pair{},
	}
}

func requestCopy(id int) amqp.Copy {
	return amqp.Copy{Method: "m", CorrelationID: fmt.Sprint(id), ReplyTo: "caller", Message: jsonMessage(`{"args":[],"kwargs":{}}`)}
}

func replyCopy(id int) amqp.Copy {
	return amqp.Copy{CorrelationID: fmt.Sprint(id), ReplyTo: "caller", Message: jsonMessage(`{"result":1,"error":null}`)}
}

func wantSummary(t *testing.T, m *mirror, want shadowSummary) {
	t.Helper()
	m.wait()
	got, err := m.report.summarize()
	if err != nil {
		t.Fatal(err)
	}
	got.Kinds = nil
	want.Kinds = nil
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.pending) > 0 || m.held != 0 {
		t.Errorf("%d requests with %d bytes are left behind", len(m.pending), m.held)
	}
}

func TestMirrorPairs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newTestMirror(t, sameReply)
		m.take(replyCopy(1)) // before its request, as in a cluster
		m.take(requestCopy(1))
		m.take(requestCopy(2))
		stranger := replyCopy(2)
		stranger.ReplyTo = "another caller with the same id"
		m.take(stranger)
		m.take(replyCopy(2))
		m.take(replyCopy(2)) // twice
		m.take(requestCopy(3))
		m.take(requestCopy(3)) // its sender tried again
		m.take(replyCopy(3))
		m.take(requestCopy(4)) // the live service says nothing
		nobody := requestCopy(5)
		nobody.ReplyTo = ""
		m.take(nobody)
		wantSummary(t, m, shadowSummary{Seen: 6, Compared: 3, Equal: 3, NotAnswered: 2, Dropped: 1})
	})
}

func TestMirrorSamplesAndCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newTestMirror(t, sameReply)
		n := 0
		m.sample = func() bool { n++; return n%2 == 0 }
		m.limit = 3
		for id := range 10 {
			m.take(requestCopy(id))
			m.take(replyCopy(id))
		}
		if !isClosed(m.full) {
			t.Error("it does not say that it has taken enough")
		}
		wantSummary(t, m, shadowSummary{Seen: 6, LeftOut: 3, Compared: 3, Equal: 3})
	})
}

// TestMirrorIsBounded floods a mirror whose shadow hangs.
func TestMirrorIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newTestMirror(t, never)
		for id := range mirrorRequests + 500 {
			m.take(requestCopy(id))
			m.take(replyCopy(id))
		}
		wantSummary(t, m, shadowSummary{Seen: mirrorRequests + 500, Late: mirrorRequests, Dropped: 500})
	})
}

func TestMirrorIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newTestMirror(t, never)
		for id := range 5 {
			large := requestCopy(id)
			large.Message = &broker.Message{Body: bytes.Repeat([]byte("x"), mirrorBytes/4)}
			m.take(large)
		}
		reply := replyCopy(0)
		reply.Message = &broker.Message{Body: bytes.Repeat([]byte("x"), mirrorBytes/4)}
		m.take(reply)
		m.mu.Lock()
		held := m.held
		m.mu.Unlock()
		if held > mirrorBytes {
			t.Errorf("it holds %d bytes", held)
		}
		wantSummary(t, m, shadowSummary{Seen: 5, NotAnswered: 3, Dropped: 2})
	})
}

func TestEarlyAnswersAreBounded(t *testing.T) {
	t.Parallel()
	var e earlyAnswers
	for id := range 3 * earlyReplies {
		c := replyCopy(id)
		e.keep(pairKey{c.CorrelationID, c.ReplyTo}, c.Message)
	}
	e.keep(pairKey{"large", "caller"}, &broker.Message{Body: make([]byte, earlyReplySize+1)})
	if len(e.replies) != earlyReplies || len(e.order) != earlyReplies || e.take(pairKey{"large", "caller"}) != nil {
		t.Errorf("it keeps %d replies, %d keys", len(e.replies), len(e.order))
	}
	if e.take(pairKey{fmt.Sprint(3*earlyReplies - 1), "caller"}) == nil {
		t.Error("the latest one is not there")
	}
}

// TestMirrorKeepsOrder: what was answered before a request was sent is done
// before it by the shadow, too; what was not may run beside it.
func TestMirrorKeepsOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		events := make(chan string, 10)
		gates := map[string]chan struct{}{"first": make(chan struct{}), "second": make(chan struct{}), "third": make(chan struct{})}
		m := newTestMirror(t, func(ctx context.Context, method string, q *broker.Message) (*broker.Message, error) {
			events <- method
			<-gates[method]
			return sameReply(ctx, method, q)
		})
		named := func(id int, method string) amqp.Copy {
			c := requestCopy(id)
			c.Method = method
			return c
		}
		m.take(named(1, "first"))
		m.take(named(2, "second"))
		synctest.Wait()
		if got := []string{<-events, <-events}; !slices.Contains(got, "first") || !slices.Contains(got, "second") {
			t.Errorf("unanswered requests don't run side by side: %v", got)
		}
		m.take(replyCopy(1))
		m.take(named(3, "third"))
		synctest.Wait()
		if len(events) != 0 {
			t.Errorf("%s has begun before the first request was answered", <-events)
		}
		close(gates["first"])
		if got := <-events; got != "third" {
			t.Errorf("then came %s", got)
		}
		close(gates["second"])
		close(gates["third"])
		m.take(replyCopy(2))
		m.take(replyCopy(3))
		wantSummary(t, m, shadowSummary{Seen: 3, Compared: 3, Equal: 3})
	})
}

// TestMirrorTimeout gives the shadow the time that the request has. Being late is
// no difference, whoever says so.
func TestMirrorTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		says := func(context.Context, string, *broker.Message) (*broker.Message, error) {
			return jsonMessage(`{"result":null,"error":{"exc_type":"DeadlineExceeded","exc_path":"enoki.DeadlineExceeded","exc_args":[],"value":"x"}}`), nil
		}
		for _, call := range []func(context.Context, string, *broker.Message) (*broker.Message, error){never, says} {
			m := newTestMirror(t, call)
			m.report.cli.stdout = &out
			c := requestCopy(1)
			c.Timeout = 3 * time.Second
			begun := time.Now()
			m.take(c)
			m.take(replyCopy(1))
			wantSummary(t, m, shadowSummary{Seen: 1, Late: 1})
			if took := time.Since(begun); took > c.Timeout {
				t.Errorf("it took %v", took)
			}
		}
		if strings.Contains(out.String(), "s.m()") {
			t.Errorf("it shows\n%s", out.String())
		}
	})
}

// TestMirrorTimeBegins: the time of a request does not run while it waits for
// earlier ones.
func TestMirrorTimeBegins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newTestMirror(t, func(ctx context.Context, method string, q *broker.Message) (*broker.Message, error) {
			select {
			case <-time.After(2 * time.Second):
				return sameReply(ctx, method, q)
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
		for id := range 3 { // each is sent when the one before it was answered
			c := requestCopy(id)
			c.Timeout = 3 * time.Second
			m.take(c)
			m.take(replyCopy(id))
			synctest.Wait()
		}
		wantSummary(t, m, shadowSummary{Seen: 3, Compared: 3, Equal: 3})
	})
}

// TestMirrorGivesUp ends at once when nothing is to be waited for.
func TestMirrorGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newTestMirror(t, never)
		ctx, giveUp := context.WithCancel(t.Context())
		m.ctx = ctx
		m.take(requestCopy(1))
		giveUp()
		wantSummary(t, m, shadowSummary{Seen: 1, Dropped: 1})
	})
}

// TestReportBoundsKinds: the keys of a map are no end of kinds.
func TestReportBoundsKinds(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r := newShadowReport(newCLI(t.Context(), nil, &out, io.Discard), &shadowOptions{service: "s"}, nil)
	for i := range maxKinds + 7 {
		live := readAnswer(jsonMessage(fmt.Sprintf(`{"result":{"user%d":1},"error":null}`, i)))
		shadow := readAnswer(jsonMessage(fmt.Sprintf(`{"result":{"user%d":2},"error":null}`, i)))
		r.compare("m", jsonMessage(`{"args":[],"kwargs":{}}`), live, shadow)
	}
	sum, err := r.summarize()
	if err != nil || len(sum.Kinds) != maxKinds || sum.More != 7 || sum.Different != maxKinds+7 {
		t.Errorf("%d kinds and %d more of %d: %v", len(sum.Kinds), sum.More, sum.Different, err)
	}
	if !strings.Contains(out.String(), "7         …       more than 200 fields differ") {
		t.Errorf("the summary is\n%s", out.String()[strings.Index(out.String(), "SEEN"):])
	}
}
