package nats

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/enoki-go/enoki/broker"
)

const (
	// bouncePause is the least time until an event comes again that was
	// handed back by a handler, or could not be handled because the broker
	// did not answer: it would circle at full speed otherwise.
	bouncePause = 20 * time.Millisecond
	retryPause  = time.Second

	// settleTimeout is how long a settlement tries to reach the broker.
	settleTimeout = 10 * time.Second

	// suspectPatience is how long a suspect event keeps a worker while another
	// one runs, and suspectPause how long it is away then.
	suspectPatience = time.Second
	suspectPause    = time.Second
)

// delivery is an event that the broker has given to us and that is not settled.
type delivery struct {
	consumer *consumer
	msg      *natsgo.Msg
	stream   string                         // where it is
	sequence uint64                         // there
	times    uint64                         // how often it was delivered, for whatever reason, or tried here
	number   uint64                         // of this delivery, by JetStream's count
	past     attempts                       // before this delivery; set by open
	noted    atomic.Pointer[broker.Message] // set when its start is noted, see start
	first    time.Time                      // when the first attempt began; set by open
	revived  int                            // how often it was retried as a dead letter; set by open
	seen     time.Time                      // when the broker was told last that we have it; guarded by consumer.mu
	settled  atomic.Bool

	// Of an event that has an order.
	active bool // a handler has it; guarded by consumer.mu
	tried  int  // how often it was tried here, and before; 0 when it was not tried here
	ended  *ended
}

// ended is how a handler has ended that did not return.
type ended struct {
	message *broker.Message // nil when it could not be read
	err     error
}

// isDelivery tells whether JetStream waits for an acknowledgement of msg: a
// foreign event may have a header of its own that is called Status.
func isDelivery(msg *natsgo.Msg) bool { return strings.HasPrefix(msg.Reply, "$JS.ACK.") }

func newDelivery(c *consumer, msg *natsgo.Msg) (*delivery, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, err
	}
	return &delivery{consumer: c, msg: msg, stream: meta.Stream, sequence: meta.Sequence.Stream, times: meta.NumDelivered, number: meta.NumDelivered, seen: time.Now()}, nil
}

// handle runs the handler of one event and settles it.
func (c *consumer) handle(dv *delivery) {
	defer c.release(dv)
	var m *broker.Message
	returned := false
	defer func() {
		if !returned {
			dv.settle(dv.failed(m, broker.Ended(recover())))
		}
	}()
	m, wait := c.open(dv)
	switch {
	case m == nil:
		dv.nak(wait) // nothing, if it is settled
	case c.member.ctx.Err() != nil:
		dv.giveBack()
	default:
		leave, ok, wait := dv.start(m, suspectPatience)
		if !ok {
			dv.nak(wait) // nothing, if it is settled
			break
		}
		defer leave()
		dv.settle(m, c.sub.Handle(c.member.ctx, m))
	}
	returned = true
}

// start lets an event begin. One that has come again and again without an
// outcome has to be the only one of them in this process; its start is noted
// first. It returns false when the event is settled, or has to wait.
func (dv *delivery) start(m *broker.Message, patience time.Duration) (leave func(), ok bool, wait time.Duration) {
	if !dv.isSuspect() {
		return func() {}, true, 0
	}
	c := dv.consumer
	d := c.member.driver
	if dv.past.Starts >= broker.AttemptsAlone {
		m.Attempt += broker.AttemptsBeside - 1 // this one does not begin
		dv.settle(m, c.sub.Failed(m, broker.NoOutcome()))
		return nil, false, 0
	}
	leave, ok = d.suspects.Enter(c.member.ctx, patience)
	if !ok {
		return nil, false, suspectPause
	}
	noted := dv.past
	noted.ID, noted.First = m.ID, dv.first
	noted.Starts++
	ctx, cancel := context.WithTimeout(c.member.ctx, settleTimeout)
	defer cancel()
	if err := d.countAttempt(ctx, c.name, dv.sequence, noted); err != nil {
		d.log.Error("the start of an event can't be noted; if it ends the process that is not counted", "consumer", c.name, "id", m.ID, "error", err)
	}
	dv.noted.Store(m)
	return leave, true, 0
}

// isSuspect tells whether an event has been delivered before, as often as may
// be, with nothing known of what became of it.
func (dv *delivery) isSuspect() bool {
	return dv.tried == 0 && dv.number > dv.past.Delivery+broker.AttemptsBeside
}

// clear ends the suspicion against an event that is handed back: its handler
// has said so, or the process that leaves.
func (dv *delivery) clear(m *broker.Message) {
	if dv.noted.Swap(nil) != nil {
		dv.conclude(m)
	}
}

// conclude notes that what becomes of an event is known, and that it comes
// again all the same.
func (dv *delivery) conclude(m *broker.Message) {
	c, known := dv.consumer, dv.past
	known.ID, known.First, known.Delivery = m.ID, dv.first, dv.number
	known.Attempts, known.Starts = m.Attempt-1, 0
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	if err := c.member.driver.countAttempt(ctx, c.name, dv.sequence, known); err != nil {
		c.member.driver.log.Error("an outcome can't be noted; the event is still suspect", "consumer", c.name, "id", m.ID, "error", err)
	}
}

// failed says what becomes of an event whose handler, or what reads the event,
// has ended with err instead of returning; m is nil when it could not be read.
func (dv *delivery) failed(m *broker.Message, err error) (*broker.Message, broker.Settlement) {
	c := dv.consumer
	if errors.Is(err, broker.ErrPanic) { // of ErrExited the service knows more
		c.member.driver.log.Error("an event can't be handled", "consumer", c.name, "sequence", dv.sequence, "error", err, "stack", string(debug.Stack()))
	}
	if m != nil {
		return m, c.sub.Failed(m, err)
	}
	m = &broker.Message{ContentType: headerOf(dv.msg, typeHeader), Body: dv.msg.Data, Attempt: 1}
	dv.first = cmp.Or(dv.first, time.Now())
	return m, broker.Settlement{Verdict: broker.Reject, Reason: err.Error(), Kind: broker.KindUnreadable}
}

// open returns the event for its handler, or nil when it is for another one and
// settled so, or has to wait yet.
func (c *consumer) open(dv *delivery) (m *broker.Message, wait time.Duration) {
	letter := revivedAs(dv.msg)
	if letter.Consumer != "" && letter.Consumer != c.name {
		dv.send(ackDone) // a dead letter on its way back to another handler
		return nil, 0
	}
	m = c.read(dv)
	past, err := dv.attempts(m.ID)
	if err != nil {
		c.member.driver.log.Warn("can't tell how often an event was tried; it will come again", "consumer", c.name, "id", m.ID, "error", err)
		return nil, retryPause
	}
	if wait := past.wait(); wait > 0 { // the broker has forgotten the delay, in a crash
		return nil, wait
	}
	dv.past = past
	m.Attempt, m.Redelivered = past.Attempts+past.Starts+1, dv.times > 1
	dv.first = cmp.Or(letter.First, dv.first, past.First, time.Now())
	dv.revived = letter.Revived
	return m, 0
}

func (c *consumer) read(dv *delivery) *broker.Message {
	m := decode(dv.msg, c.member.driver.log)
	if m.ID == "" { // of a foreign sender
		m.ID = fmt.Sprint(dv.stream, "/", dv.sequence)
	}
	return m
}

// attempts returns what is known of earlier attempts. Only an event that was
// delivered before can have some.
func (dv *delivery) attempts(id string) (attempts, error) {
	if dv.times == 1 || dv.tried > 0 {
		return attempts{Attempts: dv.tried}, nil
	}
	ctx, cancel := context.WithTimeout(dv.consumer.member.ctx, settleTimeout)
	defer cancel()
	return dv.consumer.member.driver.pastAttempts(ctx, dv.consumer.name, dv.sequence, id)
}

// settle does what the handler says. What can't be told to the broker comes
// again after AckWait.
//
// Acknowledgements are not acknowledged in turn: that would cost a round trip
// per event and could only narrow, not close, the gap in which an event comes
// twice, because the broker writes acknowledgements to disk later.
func (dv *delivery) settle(m *broker.Message, s broker.Settlement) {
	if dv.settled.Load() { // given back meanwhile, because the member had to leave
		return
	}
	switch s.Verdict {
	case broker.Done:
		dv.send(ackDone)
	case broker.Retry:
		dv.retry(m, s.Delay)
	case broker.Reject:
		dv.reject(m, s)
	case broker.HandBack:
		dv.clear(m)
		dv.nak(bouncePause)
	default:
		dv.consumer.member.driver.log.Error("a handler returned a verdict that does not exist", "verdict", int(s.Verdict), "consumer", dv.consumer.name)
		dv.nak(retryPause)
	}
}

func (dv *delivery) retry(m *broker.Message, delay time.Duration) {
	dv.count(m, delay)
	dv.nak(delay)
}

// count keeps the attempt at m over the loss of this instance.
func (dv *delivery) count(m *broker.Message, delay time.Duration) {
	c := dv.consumer
	ctx, cancel := context.WithTimeout(context.Background(), settleTimeout)
	defer cancel()
	count := attempts{ID: m.ID, Attempts: m.Attempt, Due: time.Now().Add(delay), Delay: delay, First: dv.first, Delivery: dv.number}
	if err := c.member.driver.countAttempt(ctx, c.name, dv.sequence, count); err != nil {
		c.member.driver.log.Error("an attempt can't be counted; the event comes again uncounted", "consumer", c.name, "id", m.ID, "attempt", m.Attempt, "error", err)
	}
}

func (dv *delivery) reject(m *broker.Message, s broker.Settlement) {
	c := dv.consumer
	ctx, cancel := context.WithTimeout(context.Background(), settleTimeout)
	defer cancel()
	l := letter{Consumer: c.name, DeadLetter: broker.DeadLetter{
		Service: c.member.service.Name, Handler: c.sub.Handler, Source: c.sub.Source, Event: c.sub.Event,
		Kind: s.Kind, Reason: s.Reason, Attempts: m.Attempt, First: dv.first, Revived: dv.revived, Message: m,
	}}
	key := fmt.Sprintf("%s/%d/%s", c.name, dv.sequence, m.ID)
	if err := c.member.bury(ctx, l, dv.msg, key); err != nil {
		c.member.driver.log.Error("a dead letter can't be stored; the event comes again", "consumer", c.name, "id", m.ID, "reason", s.Reason, "error", err)
		if s.Kind != broker.KindNoOutcome {
			dv.conclude(m)
		}
		dv.nak(retryPause)
		return
	}
	dv.send(ackDone)
}

// giveBack returns an event that was not started, or not finished in time.
func (dv *delivery) giveBack() {
	if dv.settled.Swap(true) {
		return
	}
	if m := dv.noted.Load(); m != nil {
		dv.clear(m) // the process lives
	}
	_ = dv.msg.Nak() // as far as the broker can be reached; otherwise it comes again after AckWait
}

// nak has the event delivered again after delay.
func (dv *delivery) nak(delay time.Duration) {
	if delay <= 0 {
		dv.send(ackAgain)
		return
	}
	dv.send(fmt.Sprintf(`%s {"delay":%d}`, ackAgain, delay.Nanoseconds()))
}

// Words of JetStream's acknowledgement protocol.
const (
	ackDone  = "+ACK"
	ackAgain = "-NAK"
)

// send settles the event, unless that is done, as soon as the link is up.
func (dv *delivery) send(word string) {
	if dv.settled.Swap(true) {
		return
	}
	c := dv.consumer
	if err := c.member.driver.publishWithin(settleTimeout, &natsgo.Msg{Subject: dv.msg.Reply, Data: []byte(word)}); err != nil {
		c.member.driver.log.Warn("an event can't be settled; it will come again", "consumer", c.name, "sequence", dv.sequence, "error", err)
	}
}
