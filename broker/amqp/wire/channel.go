package wire

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
)

// Channel is a channel of a connection. All its methods may be called
// concurrently, but for the order that they name. A method that waits for the
// broker's answer returns when that comes, when the channel ends, or when ctx
// does: the broker may still do what was asked then.
type Channel struct {
	conn *Conn
	id   uint16
	done chan struct{} // closed when nothing more comes from the broker

	deliver atomic.Pointer[func(*Delivery)] // nil without a consumer
	bounce  atomic.Pointer[func(*Delivery)] // nil when nobody wants what comes back
	content content                         // of the goroutine that reads

	confirms confirms
	settling settling // guarded by the writer's mu, like all that follows

	waiting   []*call       // for the broker's answers, which come in this order
	cancelled chan struct{} // closed when the consumer has ended; nil without one

	closing bool  // this side has said that it closes
	over    bool  // done is closed
	err     error // why it ended or is about to; nil before
}

// call is a method that waits for its answer.
type call struct {
	want   method
	answer chan answer // has room for it, so that who waits may have left
}

type answer struct {
	arguments decoder
	delivery  *Delivery // of basic.get; nil when the queue was empty
	queued    int       // how many are left there
	err       error
}

func newChannel(c *Conn, id uint16) *Channel {
	return &Channel{conn: c, id: id, done: make(chan struct{}), settling: newSettling()}
}

// Done returns a channel that is closed when the channel has ended: what was
// delivered on it and not settled goes back to its queue.
func (ch *Channel) Done() <-chan struct{} { return ch.done }

// Err returns why the channel has ended, or is about to: ErrClosed, an *Error of
// the broker's, or the Err of its connection. It is nil before.
func (ch *Channel) Err() error {
	w := &ch.conn.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	return ch.err
}

// Close closes the channel after all that was sent on it, and returns when the
// broker has confirmed that. Acks that wait are sent before. It returns nil,
// too, when this side has closed it before, and else the reason why it ended.
func (ch *Channel) Close(ctx context.Context) error {
	wait, err := ch.startClosing()
	if err != nil || wait == nil {
		return err
	}
	select {
	case <-wait:
		if err := ch.Err(); err != ErrClosed {
			return err
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// startClosing says that this side closes the channel, and returns what is
// closed when that is done.
func (ch *Channel) startClosing() (done <-chan struct{}, err error) {
	w := &ch.conn.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case ch.closing:
		return ch.done, nil
	case ch.err != nil:
		return nil, ch.err
	case w.over():
		return nil, ErrClosed
	}
	ch.settleAll()
	ch.closing, ch.err = true, ErrClosed
	w.out = closeArguments(channelClose, codeSuccess, "").append(w.out, ch.id)
	w.room.Broadcast()
	w.signal()
	return ch.done, nil
}

// isOpen tells whether something can be sent. The writer's mu is held.
func (ch *Channel) isOpen() bool { return ch.err == nil && !ch.conn.writer.over() }

// failure is the error of what can't be sent any more. The writer's mu is held.
func (ch *Channel) failure() error {
	if ch.err == nil {
		return ErrClosed // with the connection
	}
	return ch.err
}

// call sends a method and waits for its answer. Acks that wait are sent before.
func (ch *Channel) call(ctx context.Context, a *arguments, want method) (decoder, error) {
	got, err := ch.ask(ctx, a, want)
	if err == nil && got.arguments.broken {
		err = malformed("%s can't be read", want)
	}
	return got.arguments, err
}

func (ch *Channel) ask(ctx context.Context, a *arguments, want method) (answer, error) {
	if err := a.check(ch.conn.config.FrameMax); err != nil {
		return answer{}, err
	}
	c, err := ch.begin(a, want)
	if err != nil {
		return answer{}, err
	}
	select {
	case got := <-c.answer:
		return got, got.err
	case <-ctx.Done():
		return answer{}, fmt.Errorf("the broker has not answered: %w", ctx.Err())
	}
}

func (ch *Channel) begin(a *arguments, want method) (*call, error) {
	w := &ch.conn.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	if !ch.isOpen() {
		return nil, ch.failure()
	}
	c := &call{want: want, answer: make(chan answer, 1)}
	ch.waiting = append(ch.waiting, c)
	ch.settleAll()
	w.out = a.append(w.out, ch.id)
	w.signal()
	return c, nil
}

// answered gives the broker's answer to who has waited for it longest.
func (ch *Channel) answered(m method, got answer) error {
	w := &ch.conn.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(ch.waiting) == 0 {
		return malformed("nobody waits for %s on channel %d", m, ch.id)
	}
	c := ch.waiting[0]
	if c.want != m && !(c.want == basicGetOK && m == basicGetEmpty) {
		return malformed("got %s on channel %d, want %s", m, ch.id, c.want)
	}
	ch.waiting = ch.waiting[1:]
	c.answer <- got
	return nil
}

// take takes a frame. It is called in the goroutine that reads.
func (ch *Channel) take(f frame) error {
	if f.kind != frameMethod {
		return ch.takeContent(f)
	}
	if ch.content.kind != 0 {
		return malformed("a method came within a message on channel %d", ch.id)
	}
	payload, err := ch.conn.reader.payload(f)
	if err != nil {
		return err
	}
	m, arguments, err := methodOf(payload)
	if err != nil {
		return err
	}
	switch m {
	case basicDeliver, basicReturn, basicGetOK:
		return ch.beginContent(m, arguments)
	case basicAck, basicNack:
		return ch.confirmed(m == basicAck, arguments)
	case basicCancel:
		return ch.cancelledBy(arguments)
	case channelClose:
		return ch.closedBy(arguments)
	case channelCloseOK:
		return ch.closed()
	}
	return ch.answered(m, answer{arguments: decoder{b: bytes.Clone(arguments)}})
}

// closedBy answers the broker, who has closed the channel. The number is free
// then, unless an answer to a close of ours is on its way.
func (ch *Channel) closedBy(arguments []byte) error {
	why, err := closing(arguments)
	if err != nil {
		return err
	}
	w := &ch.conn.writer
	w.mu.Lock()
	w.out = argumentsOf(channelCloseOK).append(w.out, ch.id)
	w.signal()
	crossed := ch.closing
	w.mu.Unlock()
	if !crossed {
		ch.conn.forget(ch)
	}
	ch.end(why)
	return nil
}

// closed ends a channel that this side has closed.
func (ch *Channel) closed() error {
	w := &ch.conn.writer
	w.mu.Lock()
	asked := ch.closing
	w.mu.Unlock()
	if !asked {
		return malformed("%s came for channel %d, which is open", channelCloseOK, ch.id)
	}
	ch.conn.forget(ch)
	ch.end(ErrClosed)
	return nil
}

// end ends the channel, for the first reason that is given. The broker's reason
// counts more than that this side has closed it.
func (ch *Channel) end(why error) {
	w := &ch.conn.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	if ch.over {
		return
	}
	ch.over, ch.err = true, why
	for _, c := range ch.waiting {
		c.answer <- answer{err: why}
	}
	ch.waiting = nil
	ch.endConsumer()
	w.room.Broadcast()
	close(ch.done)
}
