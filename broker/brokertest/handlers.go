package brokertest

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/enoki-go/enoki/broker"
)

// echo answers a call with its method and body.
func echo(_ context.Context, method string, req *broker.Message) *broker.Message {
	return text(method + ":" + string(req.Body))
}

// done settles every event as handled.
func done(context.Context, *broker.Message) broker.Settlement { return broker.Settlement{} }

// stuck is a handler that waits for release, even if its context has ended.
type stuck struct {
	started, cancelled chan string // the body, and the body again when ctx ends
	release            chan struct{}
	free               func() // closes release; may be called twice
}

// newStuck returns a stuck handler that the end of the case sets free.
func newStuck(t *trial) *stuck {
	s := &stuck{make(chan string, 1000), make(chan string, 1000), make(chan struct{}), nil}
	s.free = sync.OnceFunc(func() { close(s.release) })
	t.stuck = append(t.stuck, s)
	return s
}

func (s *stuck) wait(ctx context.Context, body string) {
	s.started <- body
	select {
	case <-s.release:
		return
	case <-ctx.Done():
		s.cancelled <- body
	}
	<-s.release
}

func (s *stuck) serve(ctx context.Context, _ string, req *broker.Message) *broker.Message {
	s.wait(ctx, string(req.Body))
	return text("late:" + string(req.Body))
}

func (s *stuck) handle(ctx context.Context, m *broker.Message) broker.Settlement {
	s.wait(ctx, string(m.Body))
	return broker.Settlement{}
}

// gauge counts what runs at once.
type gauge struct{ now, most atomic.Int64 }

func (g *gauge) in() {
	n := g.now.Add(1)
	for {
		most := g.most.Load()
		if n <= most || g.most.CompareAndSwap(most, n) {
			return
		}
	}
}

func (g *gauge) out() { g.now.Add(-1) }
