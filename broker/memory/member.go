package memory

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/turns"
)

// breath is how long work that was handed back stays away, so that an instance
// that takes nothing is not asked in a busy loop, in which the time of a
// synctest bubble would stand still.
const breath = time.Millisecond

// suspectPause is how long an event that has an order stays away that may end
// the process, while another such one runs.
const suspectPause = 100 * time.Millisecond

// member is an instance that has joined. Its fields are guarded by hub.mu
// where they change.
type member struct {
	link      *Broker
	service   broker.Service
	ctx       context.Context // of event handlers; ends when the member is cut off
	cancel    context.CancelFunc
	consumers []*consumer
	direct    *consumer           // of calls to this instance alone; nil when it takes none
	unsettled map[*work]*consumer // events that handlers have
	running   int                 // handlers of shared work
	serving   int                 // handlers of calls to this instance alone
	left      bool                // takes no more shared work
	drained   bool                // takes nothing more
	idle      chan struct{}       // closed when it has left and runs nothing
}

// consumer takes work from one queue for one member.
type consumer struct {
	member *member
	queue  *queue
	sub    *broker.Subscription // nil for calls
	spare  int                  // workers that have nothing to do, or room for events that have an order
	turns  *turns.Turns         // of events that have an order; nil for others
}

// newMember attaches s. It wants hub.mu held.
func newMember(link *Broker, s broker.Service) *member {
	s.Instance = copyInstance(s.Instance)
	m := &member{link: link, service: s, unsettled: make(map[*work]*consumer), idle: make(chan struct{})}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	h := link.hub
	h.members[m] = struct{}{}
	if s.Serve != nil {
		m.direct = newConsumer(m, &queue{hub: h}, nil)
		h.direct[directly{s.Name, s.ID}] = m.direct.queue
		m.consume(h.callsTo(s.Name, ""), nil)
	}
	for _, sub := range s.Subscriptions {
		m.consume(h.eventsFor(&s.Instance, &sub), &sub)
	}
	return m
}

func (m *member) consume(q *queue, sub *broker.Subscription) {
	m.consumers = append(m.consumers, newConsumer(m, q, sub))
	q.dispatch()
}

func newConsumer(m *member, q *queue, sub *broker.Subscription) *consumer {
	c := &consumer{member: m, queue: q, sub: sub, spare: m.service.Workers}
	if sub != nil && sub.OrderBy != nil {
		c.spare, c.turns = broker.Window, turns.New(m.service.Workers)
	}
	q.consumers = append(q.consumers, c)
	return c
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
		if c.turns == nil {
			c.detach()
		} else {
			c.turns.Stop()
		}
	}
	m.finish()
}

// detach ends what the consumer takes. It wants hub.mu held.
func (c *consumer) detach() {
	c.queue.remove(c)
	if c.sub != nil {
		c.queue.hub.forget(&c.member.service.Instance, c.sub, c.queue)
	}
}

// finish drains when no shared work runs any more, and tells Leave when nothing
// is left to wait for. It wants hub.mu held.
func (m *member) finish() {
	if m.left && m.running == 0 {
		m.passOn()
	}
	switch {
	case !m.left || m.running > 0:
	case !m.drained && m.service.Drain == nil:
		m.close()
	case !m.drained:
		m.running++
		go m.drain()
	case m.serving == 0:
		m.cancel()
		close(m.idle)
	}
}

// drain serves calls to this instance alone until Drain returns.
func (m *member) drain() {
	m.service.Drain(m.ctx)
	m.link.hub.mu.Lock()
	defer m.link.hub.mu.Unlock()
	m.running--
	m.close()
}

// close takes nothing more at all. It wants hub.mu held.
func (m *member) close() {
	m.drained = true
	if m.direct != nil {
		delete(m.link.hub.direct, directly{m.service.Name, m.service.ID})
		m.direct.queue.remove(m.direct)
	}
	m.finish()
}

// cut cancels what runs and gives unsettled events back. It wants hub.mu held.
func (m *member) cut() {
	m.cancel()
	m.passOn()
	// In their order, so that a simulation is the same each time.
	consumer := func(w *work) int { return slices.Index(m.consumers, m.unsettled[w]) }
	latest := func(a, b *work) int { // one event may be in several subscriptions
		return cmp.Or(cmp.Compare(b.place, a.place), cmp.Compare(consumer(b), consumer(a)))
	}
	for _, w := range slices.SortedFunc(maps.Keys(m.unsettled), latest) {
		c := m.unsettled[w]
		delete(m.unsettled, w)
		c.queue.pushFront(m.lost(w))
	}
}

// lost returns an event that m leaves behind. A link that is closed under a
// handler stands for a process that has ended.
func (m *member) lost(w *work) *work {
	next := w.again(w.attempt)
	next.begun = false
	switch {
	case m.link.err() != nil && w.begun:
		next.unsettled++
	case w.starts > 0: // it was not the event that ended this
		next.starts--
	}
	return next
}

// passOn leaves events that have an order to the next instance, all that are
// not settled and in their order. It wants hub.mu held, and m to have left.
func (m *member) passOn() {
	for _, c := range m.consumers {
		if c.turns == nil {
			continue
		}
		var left []*work
		for w, of := range m.unsettled {
			if of == c {
				left = append(left, w)
				delete(m.unsettled, w)
			}
		}
		slices.SortFunc(left, func(a, b *work) int { return cmp.Compare(b.place, a.place) })
		for _, w := range left { // the last one first
			c.queue.pushFront(m.lost(w))
		}
		c.detach()
	}
}

// start runs the handler for w. It wants hub.mu held.
func (c *consumer) start(w *work) {
	c.spare--
	if c.turns != nil {
		c.member.unsettled[w] = c
		c.turns.Do(c.sub.OrderBy(w.delivery()), func() time.Duration { return c.turn(w) })
		return
	}
	*c.running()++
	if w.first.IsZero() {
		w.first = time.Now()
	}
	if w.call == nil {
		w.begun = true
		w.deliveries++
		c.enter(w)
		c.member.unsettled[w] = c
		go c.handle(w)
		return
	}
	ctx, cancel := context.WithCancel(c.member.ctx)
	w.call.cancel = cancel
	if w.message.OneWay {
		w.call.reply(answer{})
	}
	go c.serve(ctx, w)
}

// running counts the handlers of c's kind.
func (c *consumer) running() *int {
	if c == c.member.direct {
		return &c.member.serving
	}
	return &c.member.running
}

// serve runs the handler of a call and answers it.
func (c *consumer) serve(ctx context.Context, w *work) {
	defer c.release()
	defer w.call.cancel()
	returned := false
	defer func() {
		if !returned {
			c.answered(w, c.member.service.Failed(w.call.method, w.delivery(), c.ended(recover())))
		}
	}()
	c.answered(w, c.member.service.Serve(ctx, w.call.method, w.delivery()))
	returned = true
}

// ended is the error of a handler that has not returned, see broker.Ended.
func (c *consumer) ended(p any) error {
	err := broker.Ended(p)
	if p != nil { // of one that ended its goroutine the service knows more
		slog.Error("a message can't be handled", "service", c.member.service.Name, "error", err, "stack", string(debug.Stack()))
	}
	return err
}

// answered answers a call, or does with it what a reply that nobody reads says.
func (c *consumer) answered(w *work, reply *broker.Message) {
	if reply != nil && !w.message.OneWay {
		w.call.reply(c.answer(reply))
		return
	}
	if l := c.settleCall(w, reply); l != nil && c.member.service.Buried != nil {
		c.member.service.Buried(*l)
	}
}

// answer is what the caller gets for reply: a link that has been closed sends
// nothing.
func (c *consumer) answer(reply *broker.Message) answer {
	if c.member.link.err() != nil {
		return answer{err: fmt.Errorf("%w: its instance has closed its link", broker.ErrUnknownOutcome)}
	}
	return answer{reply: copyContent(reply)}
}

// settleCall does with w what an unread reply says and returns the dead letter
// that it became.
func (c *consumer) settleCall(w *work, reply *broker.Message) *broker.DeadLetter {
	c.queue.hub.mu.Lock()
	defer c.queue.hub.mu.Unlock()
	switch {
	case reply == nil:
		c.queue.pushAfter(breath, w.again(w.attempt))
	case reply.Reject != "":
		return c.bury(w, broker.DeadLetter{Handler: w.call.method, Kind: reply.RejectKind, Reason: reply.Reject})
	}
	return nil
}

// handle runs the handler of an event and settles it.
func (c *consumer) handle(w *work) {
	defer c.release()
	defer c.through(w)
	if c.isOver(w) {
		c.handled(w, c.sub.Failed(w.delivery(), broker.NoOutcome()))
		return
	}
	returned := false
	defer func() {
		if !returned {
			c.handled(w, c.sub.Failed(w.delivery(), c.ended(recover())))
		}
	}()
	c.handled(w, c.sub.Handle(c.labelled(w), w.delivery()))
	returned = true
}

// labelled returns the context of the handler of w.
func (c *consumer) labelled(w *work) context.Context {
	if w.label == "" {
		return c.member.ctx
	}
	return Labelled(c.member.ctx, fmt.Sprintf("%s.%d", w.label, w.deliveries))
}

// mayEnter tells whether an event that is suspect would be the only one on this
// link. Who is first is a matter of the queue, not of goroutines, so that a
// simulation is the same each time. It wants hub.mu held.
func (c *consumer) mayEnter(w *work) bool {
	return w.unsettled < broker.AttemptsBeside || c.member.link.suspect == nil
}

// enter notes the start of a suspect. It wants hub.mu held.
func (c *consumer) enter(w *work) {
	if w.unsettled < broker.AttemptsBeside || w.unsettled >= broker.AttemptsBeside+broker.AttemptsAlone {
		return
	}
	w.starts++
	c.member.link.suspect = w
}

// through lets the next suspect begin.
func (c *consumer) through(w *work) {
	c.queue.hub.mu.Lock()
	defer c.queue.hub.mu.Unlock()
	if c.member.link.suspect != w {
		return
	}
	c.member.link.suspect = nil
	for _, other := range c.member.consumers {
		other.queue.dispatch()
	}
}

// isOver tells whether an event was started often enough without an outcome,
// and counts its attempts then.
func (c *consumer) isOver(w *work) bool {
	c.queue.hub.mu.Lock()
	defer c.queue.hub.mu.Unlock()
	if w.unsettled < broker.AttemptsBeside+broker.AttemptsAlone {
		return false
	}
	w.attempt, w.unsettled, w.starts = w.attempt-1+broker.AttemptsBeside+broker.AttemptsAlone, 0, 0
	return true
}

// handled settles an event and tells of the dead letter that it became.
func (c *consumer) handled(w *work, s broker.Settlement) {
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
		c.queue.pushAfter(s.Delay, w.settled(w.number()+1))
	case broker.HandBack:
		c.queue.pushAfter(breath, w.settled(w.number()))
	case broker.Reject:
		return c.bury(w, c.letter(s))
	}
	return nil
}

// turn runs the handler of an event that has an order, when it is its turn. A
// retry takes place here and now, for it must not lose its place.
func (c *consumer) turn(w *work) (again time.Duration) {
	if wait, begun := c.begin(w); !begun {
		return wait
	}
	defer c.through(w)
	returned := false
	defer func() {
		if !returned { // it has its turn once more, to be settled
			w.ended, again = c.ended(recover()), 0
			c.leave()
		}
	}()
	var s broker.Settlement
	if w.ended != nil {
		s = c.sub.Failed(w.delivery(), w.ended)
		w.ended = nil
	} else if c.isOver(w) {
		s = c.sub.Failed(w.delivery(), broker.NoOutcome())
	} else {
		s = c.sub.Handle(c.labelled(w), w.delivery())
	}
	returned = true
	again, l := c.end(w, s)
	if l != nil && c.member.service.Buried != nil {
		c.member.service.Buried(*l)
	}
	return again
}

// begin counts a handler that runs. It returns false and how long it is until w
// has its turn again, unless it is another instance's: the member has left.
func (c *consumer) begin(w *work) (wait time.Duration, begun bool) {
	c.queue.hub.mu.Lock()
	defer c.queue.hub.mu.Unlock()
	switch {
	case c.member.left:
		return turns.Done, false
	case w.ended != nil: // it has begun before
	case !c.mayEnter(w):
		return suspectPause, false
	default:
		c.enter(w)
	}
	if w.first.IsZero() {
		w.first = time.Now()
	}
	w.begun = true
	w.deliveries++
	c.member.running++
	return 0, true
}

// leave is the opposite of begin.
func (c *consumer) leave() {
	c.queue.hub.mu.Lock()
	defer c.queue.hub.mu.Unlock()
	c.member.running--
	c.member.finish()
}

// end does with w what s says, and returns how long until it has its turn
// again, or the dead letter that it became.
func (c *consumer) end(w *work, s broker.Settlement) (again time.Duration, l *broker.DeadLetter) {
	c.queue.hub.mu.Lock()
	defer c.queue.hub.mu.Unlock()
	again = turns.Done
	if c.member.unsettled[w] != nil { // nil: cut off meanwhile
		switch s.Verdict {
		case broker.Retry:
			w.attempt, w.redelivered, again = w.number()+1, true, max(s.Delay, 0)
			w.unsettled, w.starts, w.begun = 0, 0, false
		case broker.HandBack:
			w.attempt, w.redelivered, again = w.number(), true, breath
			w.unsettled, w.starts, w.begun = 0, 0, false
		case broker.Reject:
			l = c.bury(w, c.letter(s))
		}
	}
	if again == turns.Done {
		delete(c.member.unsettled, w)
		c.spare++
	}
	c.member.running--
	c.member.finish()
	c.queue.dispatch()
	return again, l
}

// letter is what the dead letter of an event says of the event and why it died.
func (c *consumer) letter(s broker.Settlement) broker.DeadLetter {
	return broker.DeadLetter{Handler: c.sub.Handler, Source: c.sub.Source, Event: c.sub.Event, Kind: s.Kind, Reason: s.Reason}
}

// release makes the worker of a handler that has returned spare again.
func (c *consumer) release() {
	h := c.queue.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	c.spare++
	*c.running()--
	c.member.finish()
	c.queue.dispatch()
}
