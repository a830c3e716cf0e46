package wire

import (
	"context"
	"errors"
)

// Consumption is what a consumer takes messages from.
type Consumption struct {
	Queue     string
	Tag       string // names the consumer on its channel; Cancel wants it
	NoAck     bool   // the broker forgets a message with its delivery
	Exclusive bool   // nobody else may consume from the queue
	Arguments Table  // such as x-priority
}

var errTwoConsumers = errors.New("the channel has a consumer")

// Consume has messages delivered until the consumer is cancelled or the channel
// ends. A channel has one consumer at most. deliver is called in the goroutine
// that reads, and may be before Consume returns. It must not block, and what it
// gets is its own only until it returns, but for the body and the headers.
func (ch *Channel) Consume(ctx context.Context, c Consumption, deliver func(*Delivery)) error {
	if err := ch.startConsuming(deliver); err != nil {
		return err
	}
	a := argumentsOf(basicConsume).uint16(0).short("queue", c.Queue).short("consumer tag", c.Tag).
		bits(false, c.NoAck, c.Exclusive, false).table(c.Arguments) // the first is no_local, which RabbitMQ does not know
	_, err := ch.call(ctx, a, basicConsumeOK)
	return err
}

func (ch *Channel) startConsuming(deliver func(*Delivery)) error {
	w := &ch.conn.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case ch.over:
		return ch.err
	case ch.cancelled != nil:
		return errTwoConsumers
	}
	ch.cancelled = make(chan struct{})
	ch.deliver.Store(&deliver)
	return nil
}

// Cancelled returns a channel that is closed when the consumer has ended: the
// broker has cancelled it, as when its queue was deleted, or the channel has
// ended. It is called after Consume.
func (ch *Channel) Cancelled() <-chan struct{} {
	w := &ch.conn.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	return ch.cancelled
}

// Cancel ends the consumer with the tag. Messages may be delivered until it
// returns.
func (ch *Channel) Cancel(ctx context.Context, tag string) error {
	_, err := ch.call(ctx, argumentsOf(basicCancel).short("consumer tag", tag).bits(false), basicCancelOK)
	if err == nil {
		w := &ch.conn.writer
		w.mu.Lock()
		defer w.mu.Unlock()
		ch.endConsumer()
	}
	return err
}

// cancelledBy hears that the broker has ended the consumer.
func (ch *Channel) cancelledBy(arguments []byte) error {
	d := decoder{b: arguments}
	tag, noWait := d.short(), d.uint8()&1 != 0
	if d.broken {
		return malformed("%s can't be read", basicCancel)
	}
	w := &ch.conn.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	ch.endConsumer()
	if !noWait && ch.isOpen() {
		w.out = argumentsOf(basicCancelOK).short("consumer tag", tag).append(w.out, ch.id)
		w.signal()
	}
	return nil
}

// endConsumer closes cancelled. The writer's mu is held.
func (ch *Channel) endConsumer() {
	if ch.cancelled == nil {
		return
	}
	select {
	case <-ch.cancelled:
	default:
		close(ch.cancelled)
	}
}

// Qos bounds what the broker sends ahead to consumers of the channel that come
// after it: so many messages that are not settled.
func (ch *Channel) Qos(ctx context.Context, prefetch int) error {
	_, err := ch.call(ctx, argumentsOf(basicQos).uint32(0).uint16(prefetch).bits(false), basicQosOK)
	return err
}

// Get returns the next message of a queue, to be settled, and how many are left
// there. It returns nil when there is none.
func (ch *Channel) Get(ctx context.Context, queue string) (d *Delivery, left int, err error) {
	got, err := ch.ask(ctx, argumentsOf(basicGet).uint16(0).short("queue", queue).bits(false), basicGetOK)
	return got.delivery, got.queued, err
}
