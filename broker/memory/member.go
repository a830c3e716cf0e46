package memory

import (
	"context"
	"time"

	"github.com/enoki-go/enoki/broker"
)

// breath is how long work that was handed back stays away, so that an instance
// that takes nothing is not asked in a busy loop, in which the time of a
// synctest bubble would stand still.
const breath = time.Millisecond

// member is an instance that has joined. Its fields are guarded by hub.mu
// where they change.
type member struct {
	link      *Broker
	service   broker.Service
	ctx       context.Context // of event handlers; ends when the member is cut off
	cancel    context.CancelFunc
	consumers []*consumer
	unsettled map[*work]*consumer // events that handlers have
	running   int                 // handlers
	left      bool                // takes no more
	idle      chan struct{}       // closed when it has left and runs nothing
}

// consumer takes work from one queue for one member.
type consumer struct {
	member *member
	queue  *queue
	sub    *broker.Subscription // nil for calls
	spare  int                  // workers that have nothing to do
}

// newMember attaches s. It wants hub.mu held.
func newMember(link *Broker, s broker.Service) *member {
	s.Instance = copyInstance(s.Instance)
	m := &member{link: link, service: s, unsettled: make(map[*work]*consumer), idle: make(chan struct{})}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	h := link.hub
	h.members[m] = struct{}{}
	if s.Serve != nil {
		m.consume(h.callsTo(s.Name), nil)
	}
	for _, sub := range s.Subscriptions {
		m.consume(h.eventsFor(&s.Instance, &sub), &sub)
	}
	return m
}

func (m *member) consume(q *queue, sub *broker.Subscription) {
	c := &consumer{member: m, queue: q, sub: sub, spare: m.service.Workers}
	m.consumers = append(m.consumers, c)
	q.consumers = append(q.consumers, c)
	q.dispatch()
}

// Ready implements broker.Member.
func (m *member) Ready() error { return m.link.err() }

// Leave implements broker.Member. The callers of calls that run past the end
// of ctx still get their replies.
func (m *member) Leave(ctx context.Context) error {
	h := m.link.hub
	h.mu.Lock()
	m.stop()
	h.mu.Unlock()
	select {
	case <-m.idle: // also when ctx has ended
		return nil
	default:
	}
	select {
	case <-m.idle:
		return nil
	case <-ctx.Done():
		h.mu.Lock()
		defer h.mu.Unlock()
		m.cut()
		return ctx.Err()
	}
}

// stop takes no more work. It wants hub.mu held and may be called twice.
func (m *member) stop() {
	if m.left {
		return
	}
	m.left = true
	h := m.link.hub
	delete(h.members, m)
	for _, c := range m.consumers {
		c.queue.remove(c)
		if c.sub != nil {
			h.forget(&m.service.Instance, c.sub, c.queue)
		}
	}
	m.finish()
}

// finish tells Leave when nothing is left to wait for. It wants hub.mu held.
func (m *member) finish() {
	if m.left && m.running == 0 {
		m.cancel()
		close(m.idle)
	}
}

// cut cancels what runs and gives unsettled events back. It wants hub.mu held.
func (m *member) cut() {
	m.cancel()
	for w, c := range m.unsettled {
		delete(m.unsettled, w)
		c.queue.pushFront(w.again(w.attempt))
	}
}

// start runs the handler for w. It wants hub.mu held.
func (c *consumer) start(w *work) {
	c.spare--
	c.member.running++
	if w.call == nil {
		if w.first.IsZero() {
			w.first = time.Now()
		}
		c.member.unsettled[w] = c
		go c.handle(w)
		return
	}
	ctx, cancel := context.WithCancel(c.member.ctx)
	w.call.cancel = cancel
	go c.serve(ctx, w)
}

// serve runs the handler of a call and answers it.
func (c *consumer) serve(ctx context.Context, w *work) {
	defer c.release()
	defer w.call.cancel()
	reply := c.member.service.Serve(ctx, w.call.method, w.delivery())
	if reply != nil {
		w.call.answer <- answer{reply: copyContent(reply)}
		return
	}
	c.queue.hub.mu.Lock()
	defer c.queue.hub.mu.Unlock()
	c.queue.pushAfter(breath, w.again(w.attempt))
}

// handle runs the handler of an event and settles it.
func (c *consumer) handle(w *work) {
	defer c.release()
	s := c.sub.Handle(c.member.ctx, w.delivery())
	if l := c.settle(w, s); l != nil && c.member.service.Buried != nil {
		c.member.service.Buried(*l)
	}
}

// settle does with w what s says and returns the dead letter that it became.
func (c *consumer) settle(w *work, s broker.Settlement) *broker.DeadLetter {
	c.queue.hub.mu.Lock()
	defer c.queue.hub.mu.Unlock()
	if c.member.unsettled[w] == nil {
		return nil // cut off: another instance has it now
	}
	delete(c.member.unsettled, w)
	switch s.Verdict {
	case broker.Retry:
		c.queue.pushAfter(s.Delay, w.again(w.attempt+1))
	case broker.HandBack:
		c.queue.pushAfter(breath, w.again(w.attempt))
	case broker.Reject:
		return c.bury(w, s)
	}
	return nil
}

// release makes the worker of a handler that has returned spare again.
func (c *consumer) release() {
	h := c.queue.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	c.spare++
	c.member.running--
	c.member.finish()
	c.queue.dispatch()
}
