package wire

import (
	"context"
	"sync"
)

// Receipt hears what the broker says of a message, in the goroutine that reads,
// so it must not block.
type Receipt interface {
	// Returned is asked whether it is this message that has come back because
	// no queue takes it. The broker names no tag in a return. It is confirmed
	// next.
	Returned(d *Delivery) bool

	// Confirmed is called once, with false when a queue could not store the
	// message.
	Confirmed(ack bool)
}

// confirms are the messages of a channel that the broker has not confirmed. The
// broker counts them by tags from 1 on (RabbitMQ's publisher confirms).
type confirms struct {
	mu      sync.Mutex // held before the writer's, so that tags are in the order of writing
	pending []pending  // by their tags, from first on
	first   uint64     // the tag of pending[0] less 1
	count   int        // of those that are not confirmed
	bytes   int        // of their bodies
	retired bool       // no more are taken

	settled []Receipt     // by the confirm at hand; of the goroutine that reads
	changed chan struct{} // has an item when less is pending; nil without confirms
}

type pending struct {
	receipt Receipt // nil once confirmed
	size    int
}

// Confirm has the broker confirm each message that is published from then on. It
// is called once, before anything is published.
func (ch *Channel) Confirm(ctx context.Context) error {
	ch.confirms.begin()
	_, err := ch.call(ctx, argumentsOf(confirmSelect).bits(false), confirmSelectOK)
	return err
}

// Publish has p written, and r told what the broker says of it; r is nil on a
// channel without confirms. p must have passed Check. Publish does not wait: it
// returns false when the channel has ended, or when much else is to be written,
// see Await, and then nothing of p was or will be written.
func (ch *Channel) Publish(p *Publishing, r Receipt) bool {
	if r != nil {
		ch.confirms.mu.Lock()
		defer ch.confirms.mu.Unlock()
		if ch.confirms.retired {
			return false
		}
	}
	w := &ch.conn.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	if !ch.isOpen() || len(w.out) > writeBuffer {
		return false
	}
	if r != nil { // the confirm may be fast, but waits for the lock
		ch.confirms.add(r, len(p.Message.Body))
	}
	w.out = p.append(w.out, ch.id, ch.conn.config.FrameMax)
	w.joined++
	w.signal()
	return true
}

// Await returns true when little waits to be written, and false when nothing can
// be published any more.
func (ch *Channel) Await() bool {
	w := &ch.conn.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.out) > writeBuffer && ch.isOpen() {
		w.room.Wait()
	}
	return ch.isOpen()
}

// Pending returns how many messages are not confirmed, and the bytes of their
// bodies.
func (ch *Channel) Pending() (messages, bytes int) {
	ch.confirms.mu.Lock()
	defer ch.confirms.mu.Unlock()
	return ch.confirms.count, ch.confirms.bytes
}

// Confirmed returns a channel that has an item when less is Pending.
func (ch *Channel) Confirmed() <-chan struct{} { return ch.confirms.changed }

// Retire has Publish take nothing more with a receipt. What was taken is still
// confirmed.
func (ch *Channel) Retire() {
	ch.confirms.mu.Lock()
	defer ch.confirms.mu.Unlock()
	ch.confirms.retired = true
}

// Unconfirmed returns what was not confirmed, in the order of publishing, and
// takes no more. It is called once the channel is Done.
func (ch *Channel) Unconfirmed() []Receipt {
	c := &ch.confirms
	c.mu.Lock()
	defer c.mu.Unlock()
	left := make([]Receipt, 0, c.count)
	for _, p := range c.pending {
		if p.receipt != nil {
			left = append(left, p.receipt)
		}
	}
	c.pending, c.count, c.bytes, c.retired = nil, 0, 0, true
	return left
}

func (c *confirms) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed = make(chan struct{}, 1)
}

func (c *confirms) add(r Receipt, size int) {
	c.pending = append(c.pending, pending{r, size})
	c.count++
	c.bytes += size
}

// returned notes a return on the message that it is about, and tells whether
// there is one.
func (c *confirms) returned(d *Delivery) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pending {
		if p.receipt != nil && p.receipt.Returned(d) {
			return true
		}
	}
	return false
}

// confirmed reads a confirm, and settles the message with its tag, or all up to
// it.
func (ch *Channel) confirmed(ack bool, arguments []byte) error {
	d := decoder{b: arguments}
	tag, multiple := d.uint64(), d.uint8()&1 != 0
	if d.broken {
		return malformed("a confirm can't be read")
	}
	c := &ch.confirms
	if !c.take(tag, multiple) {
		return malformed("a confirm is for tag %d on channel %d, which was not published", tag, ch.id)
	}
	select {
	case c.changed <- struct{}{}:
	default:
	}
	for i, r := range c.settled {
		r.Confirmed(ack)
		c.settled[i] = nil
	}
	c.settled = c.settled[:0]
	return nil
}

// take moves what a confirm is about to settled. It returns false when that was
// never published. A tag of 0 that is multiple stands for all.
func (c *confirms) take(tag uint64, multiple bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if tag == 0 && multiple {
		tag = c.first + uint64(len(c.pending))
	}
	switch {
	case c.changed == nil:
		return false
	case tag <= c.first:
		return true
	}
	last := tag - c.first // in pending, and one more
	if last > uint64(len(c.pending)) {
		return false
	}
	from := last - 1
	if multiple {
		from = 0
	}
	for i := from; i < last; i++ {
		p := &c.pending[i]
		if p.receipt == nil {
			continue
		}
		c.count--
		c.bytes -= p.size
		c.settled = append(c.settled, p.receipt)
		p.receipt = nil
	}
	done := uint64(0)
	for done < uint64(len(c.pending)) && c.pending[done].receipt == nil {
		done++
	}
	c.pending, c.first = c.pending[done:], c.first+done
	return true
}

// OnReturn has bounce called for messages that have come back and that no
// Receipt is about, in the goroutine that reads. It must not block, and what it
// gets is its own only until it returns.
func (ch *Channel) OnReturn(bounce func(*Delivery)) { ch.bounce.Store(&bounce) }
