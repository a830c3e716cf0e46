package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp"
	"github.com/enoki-go/enoki/internal/uuid"
)

// What a mirror keeps in memory, at most. Requests beyond it are dropped.
const (
	mirrorRequests = 1000     // that wait for one of their two answers
	mirrorBytes    = 64 << 20 // of them and their answers

	// Replies that came before their request, as they may in a cluster of
	// brokers; most of them answer another service's request.
	earlyReplies   = 256
	earlyReplySize = 64 << 10 // bytes; larger ones are not kept
)

// mirror sends copies of requests to the shadow, and hands the answers of
// both, once it has them, to the report. Its methods may be called
// concurrently; none of them waits, but for wait.
type mirror struct {
	ctx     context.Context // ends when nothing is to be waited for any more
	shadow  broker.Broker
	service string
	timeout time.Duration // of requests that carry none
	sample  func() bool   // whether to take the next request
	limit   int           // of requests taken; 0 is none
	report  *shadowReport

	full chan struct{} // closed when limit is reached
	wg   sync.WaitGroup

	mu      sync.Mutex
	closed  bool // no more requests are taken
	taken   int
	held    int // bytes
	pending map[pairKey]*pair
	early   earlyAnswers
}

// pairKey is what a request and its reply have in common.
type pairKey struct{ correlationID, replyTo string }

// pair is a request that waits for its answers.
type pair struct {
	key     pairKey
	method  string
	message *broker.Message
	ctx     context.Context // ends when the pair is not followed any more
	cancel  context.CancelFunc
	timeout time.Duration // of the request, for each side
	seen    time.Time

	live     chan *broker.Message // gets the live reply
	mirrored chan struct{}        // closed when the shadow has answered, or will not

	// Guarded by the mirror's lock.
	answered bool // the live reply was seen
	dropped  bool // it takes too much memory
	held     int  // bytes
}

// take takes what the tap has seen.
func (m *mirror) take(c amqp.Copy) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := pairKey{c.CorrelationID, c.ReplyTo}
	if c.Method != "" {
		m.request(key, c)
		return
	}
	if p := m.pending[key]; p != nil {
		m.answer(p, c.Message)
		return
	}
	m.early.keep(key, c.Message)
}

// request begins a pair, or says why not. m is locked.
func (m *mirror) request(key pairKey, c amqp.Copy) {
	if m.closed {
		return
	}
	size := len(c.Message.Body)
	_, twice := m.pending[key] // its sender was not sure, and the live side sees both
	switch {
	case !m.sample():
		m.report.count(leftOut)
	case key.replyTo == "":
		m.report.count(unanswered)
	case twice, len(m.pending) == mirrorRequests, m.held+size > mirrorBytes:
		m.report.count(dropped)
	default:
		m.begin(&pair{key: key, method: c.Method, message: c.Message, held: size,
			live: make(chan *broker.Message, 1), mirrored: make(chan struct{})}, c.Timeout)
	}
}

// begin has the pair followed. m is locked.
func (m *mirror) begin(p *pair, timeout time.Duration) {
	if timeout <= 0 {
		timeout = m.timeout
	}
	p.timeout, p.seen = timeout, time.Now()
	p.ctx, p.cancel = context.WithCancel(m.ctx)
	before := m.answeredOnly()
	m.pending[p.key] = p
	m.held += p.held
	if reply := m.early.take(p.key); reply != nil {
		m.answer(p, reply)
	}
	m.wg.Go(func() { m.follow(p, before) })
	if m.taken++; m.taken == m.limit {
		m.closed = true
		close(m.full)
	}
}

// answeredOnly returns the pairs that the live service has answered and the
// shadow has not. Whoever sent the next request may have waited for these
// answers, so the shadow is to have worked on these requests before it, too. m
// is locked.
func (m *mirror) answeredOnly() []*pair {
	var before []*pair
	for _, p := range m.pending {
		if p.answered && !isClosed(p.mirrored) {
			before = append(before, p)
		}
	}
	return before
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// answer gives the pair its live reply. A second one, of a request that was
// handled twice, is nobody's any more. m is locked.
func (m *mirror) answer(p *pair, reply *broker.Message) {
	if p.answered {
		return
	}
	p.answered = true
	if m.hold(p, len(reply.Body)) {
		p.live <- reply
	}
}

// hold counts more bytes for the pair, or drops it. m is locked.
func (m *mirror) hold(p *pair, size int) bool {
	if m.held+size > mirrorBytes {
		p.dropped = true
		p.cancel()
		return false
	}
	p.held += size
	m.held += size
	return true
}

// follow asks the shadow, waits for the live reply, and reports.
func (m *mirror) follow(p *pair, before []*pair) {
	defer p.cancel()
	reply, err := m.ask(p, before)
	close(p.mirrored)
	live := p.awaitLive()
	outcome := m.forget(p, reply)
	switch {
	case outcome == dropped:
		m.report.count(dropped)
	case live == nil:
		m.report.count(unanswered)
	case errors.Is(err, context.DeadlineExceeded), isLate(reply) && !readAnswer(live).isLate():
		m.report.count(late)
	case err != nil:
		m.report.compare(p.method, p.message, readAnswer(live), noAnswer(err))
	default:
		m.report.compare(p.method, p.message, readAnswer(live), readAnswer(reply))
	}
}

func isLate(reply *broker.Message) bool { return reply != nil && readAnswer(reply).isLate() }

// ask sends the request to the shadow as it was, but for its id. Its time
// begins when it is sent.
func (m *mirror) ask(p *pair, before []*pair) (*broker.Message, error) {
	for _, other := range before {
		select {
		case <-other.mirrored:
		case <-p.ctx.Done():
			return nil, p.ctx.Err()
		}
	}
	ctx, cancel := context.WithTimeout(p.ctx, p.timeout)
	defer cancel()
	return m.shadow.Call(ctx, m.service, p.method, &broker.Message{
		ID: uuid.New(), Context: p.message.Context, ContentType: p.message.ContentType, Body: p.message.Body,
	})
}

// awaitLive returns nil when the reply does not come in time.
func (p *pair) awaitLive() *broker.Message {
	select {
	case reply := <-p.live:
		return reply
	case <-time.After(time.Until(p.seen.Add(p.timeout))):
	case <-p.ctx.Done():
	}
	select {
	case reply := <-p.live: // both at once
		return reply
	default:
		return nil
	}
}

// forget ends the pair. It returns dropped when the shadow's reply is too
// large, too, or when there was no time to wait for the answers.
func (m *mirror) forget(p *pair, reply *broker.Message) outcome {
	m.mu.Lock()
	defer m.mu.Unlock()
	if reply != nil && !p.dropped {
		m.hold(p, len(reply.Body))
	}
	delete(m.pending, p.key)
	m.held -= p.held
	if p.dropped || m.ctx.Err() != nil {
		return dropped
	}
	return 0
}

// wait takes no more requests, and returns when those taken are reported.
func (m *mirror) wait() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.wg.Wait()
}

// earlyAnswers are the latest replies to requests that were not seen.
type earlyAnswers struct {
	replies map[pairKey]*broker.Message
	order   []pairKey // oldest first; those taken meanwhile are still in it
}

func (e *earlyAnswers) keep(key pairKey, reply *broker.Message) {
	if len(reply.Body) > earlyReplySize {
		return
	}
	if len(e.order) == earlyReplies {
		delete(e.replies, e.order[0])
		e.order = append(e.order[:0], e.order[1:]...)
	}
	if e.replies == nil {
		e.replies = map[pairKey]*broker.Message{}
	}
	e.replies[key] = reply
	e.order = append(e.order, key)
}

func (e *earlyAnswers) take(key pairKey) *broker.Message {
	reply := e.replies[key]
	delete(e.replies, key)
	return reply
}
