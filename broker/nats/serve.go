package nats

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/uuid"
)

const (
	// What may wait in the client for a free worker. Callers give up after
	// 10 s unless told otherwise, so more would be served for nobody; it also
	// bounds the memory of a service that is overrun.
	waitingCalls = 65536
	waitingBytes = 64 << 20

	// handBackPause keeps a call that every instance hands back from
	// circling at full speed.
	handBackPause = 25 * time.Millisecond

	// replyPatience is how long the reply of a handler waits for the link.
	replyPatience = 10 * time.Second

	// rememberedCancels is how many cancelled calls are remembered at most, in
	// case they are still to come.
	rememberedCancels = 4096
)

// calls serves the calls to one member: those to its service, or those to
// this instance alone.
type calls struct {
	member   *member
	direct   bool   // to this instance alone
	spare    *spare // nil when direct
	requests *natsgo.Subscription
	cancels  *natsgo.Subscription
	workers  *workers[request]
	stats    stats

	leaving  chan struct{} // closed by stop
	drained  chan struct{} // closed when no request will come any more
	stopOnce sync.Once
	idle     chan struct{} // closed when the last handler has returned

	// others tells, asking once, whether another instance takes calls.
	others func() bool

	mu        sync.Mutex                    // guards what follows
	running   map[string]context.CancelFunc // those that wait for a worker included
	ended     bool                          // no handler has time left
	received  uint64                        // calls, so far
	cancelled map[string]uint64             // calls that may come yet, each until so many have been received
	order     queue[string]                 // the keys of cancelled, oldest first
}

func newCalls(m *member, direct bool, stats stats) (*calls, error) {
	c := &calls{
		member:    m,
		direct:    direct,
		stats:     stats,
		leaving:   make(chan struct{}),
		drained:   make(chan struct{}),
		idle:      make(chan struct{}),
		running:   make(map[string]context.CancelFunc),
		cancelled: make(map[string]uint64),
	}
	c.workers = newWorkers(m.service.Workers, c.serve)
	if !direct {
		c.spare = newSpare(c)
	}
	c.others = sync.OnceValue(c.askForOthers)
	context.AfterFunc(m.ctx, c.cutOff)
	return c, c.subscribe()
}

func (c *calls) subscribe() error {
	nc, name := c.member.driver.link.nc, token(c.member.service.Name)
	subject, group := callPrefix+name+".*", queueGroup
	if c.direct {
		subject, group = directSubjects(c.member.service), "" // an empty group is none
	}
	var err error
	if c.cancels, err = nc.Subscribe(cancelPrefix+name, c.cancel); err != nil {
		return err
	}
	c.mu.Lock() // cancel reads requests
	defer c.mu.Unlock()
	if c.requests, err = nc.QueueSubscribe(subject, group, c.receive); err != nil {
		return errors.Join(err, c.cancels.Unsubscribe())
	}
	c.requests.SetClosedHandler(func(string) { close(c.drained) })
	if err := c.requests.SetPendingLimits(waitingCalls, waitingBytes); err != nil || c.spare == nil {
		return err
	}
	return c.spare.subscribe()
}

// request is one call with the context of its handler.
type request struct {
	msg  *natsgo.Msg
	ctx  context.Context
	done func()
}

// receive hands one request after the other to a worker; while it waits for
// one, the others wait in the client's buffer.
func (c *calls) receive(msg *natsgo.Msg) {
	ctx, done := c.begin(msg.Reply)
	r := request{msg, ctx, done}
	if !c.isLeaving() && (c.workers.try(r) || c.await(r)) {
		return
	}
	if c.others() || !c.workers.do(r, c.member.ctx.Done()) {
		done()
		c.handBack(msg)
	}
}

// await gives a request to the first worker that is free, here or in another
// instance. It returns false if the member leaves before.
func (c *calls) await(r request) bool {
	if c.spare == nil || r.msg.Reply == "" { // what has no reply would be lost if the other one were gone
		return c.workers.do(r, c.leaving)
	}
	c.spare.begin()
	defer c.spare.rest()
	for {
		done, other := c.workers.doOr(r, c.leaving, c.spare.takers)
		switch {
		case done:
			return true
		case other.instance == "":
			return false
		case time.Since(other.at) < takeAge:
			r.done()
			c.spare.hand(r.msg, other)
			return true
		}
	}
}

// serve runs the handler of one request and sends its reply.
func (c *calls) serve(r request) {
	if c.spare != nil {
		defer c.spare.freed()
	}
	defer r.done()
	ctx, msg := r.ctx, r.msg
	if c.member.ctx.Err() != nil {
		c.handBack(msg)
		return
	}
	if ctx.Err() != nil { // nobody waits for it any more
		return
	}
	var req *broker.Message
	returned := false
	defer func() {
		if !returned {
			c.fail(msg, req, broker.Ended(recover()))
		}
	}()
	req = decodeCall(msg, c.member.driver.log)
	c.run(ctx, msg, req)
	returned = true
}

// fail answers a request whose handler, or what reads the request, has ended
// with err instead of returning; req is nil when it could not be read.
func (c *calls) fail(msg *natsgo.Msg, req *broker.Message, err error) {
	if errors.Is(err, broker.ErrPanic) { // of ErrExited the service knows more
		c.member.driver.log.Error("a request can't be served", "subject", msg.Subject, "error", err, "stack", string(debug.Stack()))
	}
	if req == nil {
		req = &broker.Message{ContentType: headerOf(msg, typeHeader), OneWay: msg.Reply == "", Body: msg.Data}
	}
	c.answer(msg, req, time.Now(), c.member.service.Failed(methodOf(msg.Subject), req, err))
}

// run runs the handler of one request.
func (c *calls) run(ctx context.Context, msg *natsgo.Msg, req *broker.Message) {
	method := methodOf(msg.Subject)
	if c.direct {
		req.Instance = c.member.service.ID
	}
	if req.OneWay { // from here on its caller can't cancel it
		if revivedAs(msg).ID == "" { // who retries a dead letter waits for its end
			c.accept(msg)
		}
		ctx = c.member.ctx
	}
	start := time.Now()
	reply := c.member.service.Serve(ctx, method, req)
	if reply == nil {
		c.notStarted(msg)
		return
	}
	c.stats.count(method, time.Since(start))
	c.answer(msg, req, start, reply)
}

// answer sends the reply to a request, or keeps one that nobody reads as a dead
// letter, if it says so.
func (c *calls) answer(msg *natsgo.Msg, req *broker.Message, start time.Time, reply *broker.Message) {
	revived := revivedAs(msg)
	unread := msg.Reply == "" || req.OneWay && revived.ID == ""
	if reply.Reject != "" && (unread || revived.ID != "") && !c.reject(msg, req, start, reply, revived) {
		return
	}
	if !unread {
		c.reply(msg, req, reply)
	}
}

// begin returns the context of the handler of one call, ended already when the
// word that its caller has cancelled it came first. It is not made from that of
// the member, where all workers would meet at one lock; cutOff ends it instead.
//
// It is called in the order in which the calls came, before they meet workers:
// one that a worker has may be overtaken by any number of others.
func (c *calls) begin(call string) (context.Context, func()) {
	if call == "" { // cannot be cancelled
		return context.WithCancel(c.member.ctx)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, cancelled := c.cancelled[call]; c.ended || cancelled {
		cancel()
	}
	c.received++
	c.forget()
	c.running[call] = cancel
	return ctx, func() {
		c.mu.Lock()
		delete(c.running, call)
		c.mu.Unlock()
		cancel()
	}
}

// cutOff ends the contexts of the handlers that run, and of those to come.
func (c *calls) cutOff() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	for _, cancel := range c.running {
		cancel()
	}
}

// cancel takes the word of a caller that its call, known by its reply subject,
// is of no interest any more. It goes to all instances; one of them has it, or
// had it. If it is to come here, it is among those that wait in the client.
func (c *calls) cancel(msg *natsgo.Msg) {
	if len(msg.Data) > maxSubject {
		return // no call
	}
	call := string(msg.Data)
	c.mu.Lock()
	defer c.mu.Unlock()
	if cancel, ok := c.running[call]; ok {
		cancel()
		return
	}
	waiting, _, _ := c.requests.Pending() // fails when none will come any more
	c.cancelled[call] = c.received + uint64(max(waiting, 0))
	c.order.push(call)
	c.forget()
}

// forget drops the cancelled calls that can't come any more. c.mu is held.
func (c *calls) forget() {
	for c.order.len() > 0 && (c.cancelled[c.order.first()] <= c.received || c.order.len() > rememberedCancels) {
		delete(c.cancelled, c.order.pop())
	}
}

// accept tells the caller of a one-way call that it has been started.
func (c *calls) accept(msg *natsgo.Msg) {
	if msg.Reply != "" {
		c.reply(msg, &broker.Message{}, &broker.Message{})
	}
}

// reply answers, waiting for a link that is lost at the moment. One that is too
// large is replaced by the error that says so; what can't be sent for another
// reason is told to the caller instead.
func (c *calls) reply(msg *natsgo.Msg, req, m *broker.Message) {
	d := c.member.driver
	err := d.answer(msg, m)
	if errors.Is(err, broker.ErrInvalid) {
		failed := fmt.Errorf("%w: its body of %d bytes with headers is over the limit of %d: raise max_payload of the NATS server, or answer with less",
			broker.ErrTooLarge, len(m.Body), d.link.nc.MaxPayload())
		err = d.answer(msg, c.member.service.Failed(methodOf(msg.Subject), req, failed))
	}
	if err == nil || errors.Is(err, broker.ErrClosed) {
		return
	}
	d.log.Error("a reply can't be sent", "service", c.member.service.Name, "subject", msg.Subject, "error", err)
	_ = d.publishWithin(replyPatience, &natsgo.Msg{Subject: msg.Reply, Header: natsgo.Header{errorHeader: []string{err.Error()}}})
}

// answer sends the reply m to a request. It has no id: nobody looks for one.
func (d *Driver) answer(request *natsgo.Msg, m *broker.Message) error {
	if !takesFrame(request) {
		reply := &natsgo.Msg{Subject: request.Reply, Data: m.Body}
		if m.ContentType != "" {
			reply.Header = natsgo.Header{typeHeader: {m.ContentType}}
		}
		return d.publishWithin(replyPatience, reply)
	}
	b := d.buffer()
	defer d.free(b)
	*b, _ = appendFrame(*b, &broker.Message{ContentType: m.ContentType, Body: m.Body}) // only context data can be refused
	return d.publishWithin(replyPatience, &natsgo.Msg{Subject: request.Reply, Data: *b})
}

// reject keeps a call that can't be read, and that nobody is to be told of, as
// a dead letter, and tells whether it could.
func (c *calls) reject(msg *natsgo.Msg, req *broker.Message, start time.Time, reply *broker.Message, revived letter) bool {
	ctx, cancel := context.WithTimeout(context.Background(), replyPatience)
	defer cancel()
	l := letter{DeadLetter: broker.DeadLetter{
		Service: c.member.service.Name, Handler: methodOf(msg.Subject), Kind: reply.RejectKind, Reason: reply.Reject, Attempts: 1,
		First: cmp.Or(revived.First, start), Revived: revived.Revived, Message: req,
	}}
	key := fmt.Sprintf("call/%s/%d", cmp.Or(headerOf(msg, idHeader), uuid.New()), l.Revived)
	if err := c.member.bury(ctx, l, msg, key); err != nil {
		c.member.driver.log.Error("a call that can't be read or answered is lost", "service", l.Service, "method", l.Handler, "reason", l.Reason, "error", err)
		return false
	}
	return true
}

// notStarted gives a call that the handler did not start to another instance.
func (c *calls) notStarted(msg *natsgo.Msg) {
	if !c.isLeaving() { // it may come back to us
		_ = sleep(c.member.ctx, handBackPause)
	}
	c.handBack(msg)
}

func (c *calls) isLeaving() bool {
	select {
	case <-c.leaving:
		return true
	default:
		return false
	}
}

// handBack sends a request once more. If there is no other instance, the
// server tells the caller so.
func (c *calls) handBack(msg *natsgo.Msg) {
	subject := msg.Subject // one that was handed on to us may go to any instance
	if !c.direct {
		subject = callPrefix + token(c.member.service.Name) + subject[strings.LastIndexByte(subject, '.'):]
	}
	again := &natsgo.Msg{Subject: subject, Reply: msg.Reply, Header: msg.Header, Data: msg.Data}
	if err := c.member.driver.publishWithin(replyPatience, again); err != nil {
		c.member.driver.log.Warn("a call can't be handed back; its caller waits in vain", "subject", msg.Subject, "error", err)
	}
}

// askForOthers asks the service's instances to show themselves until one
// answers that is not this one.
func (c *calls) askForOthers() bool {
	if c.direct {
		return false
	}
	found := false
	ctx, cancel := c.member.talking(c.member.ctx)
	defer cancel()
	_ = c.member.driver.ask(ctx, pingSubject(c.member.service.Name), func(msg *natsgo.Msg) bool {
		id := identity(msg).ID
		found = id != "" && id != c.member.service.ID
		return !found
	})
	return found
}

// stop ends taking calls and returns a channel that is closed when those that
// have come are served or handed back.
func (c *calls) stop() <-chan struct{} {
	c.stopOnce.Do(func() {
		close(c.leaving)
		c.member.driver.dropped.Add(c.dropped())
		if err := c.requests.Drain(); err != nil { // closed before, with the connection
			_ = c.requests.Unsubscribe()
		}
		if c.spare != nil {
			c.spare.stop()
		}
		go c.awaitIdle()
	})
	return c.idle
}

func (c *calls) awaitIdle() {
	defer close(c.idle)
	draining{c.requests, c.drained}.await(c.member.silent()) // at the latest when the connection is closed
	if c.spare != nil {
		draining{c.spare.handed, c.spare.drained}.await(c.member.silent())
	}
	<-c.workers.dismiss()
}

// dropped counts the requests that found no room to wait.
func (c *calls) dropped() int64 {
	n, err := c.requests.Dropped()
	if err != nil { // closed: stop has kept the number
		return 0
	}
	return int64(n)
}

// end forgets the service; handlers that still run may yet send their reply.
func (c *calls) end() {
	_ = c.cancels.Unsubscribe() // fails only when the connection is closed
}
