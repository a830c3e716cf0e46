package amqp

import (
	"slices"

	"github.com/rabbitmq/amqp091-go"
)

// lane is a channel whose messages are written and read here, because there
// are many of them; all else on it is the library's. What is received goes to
// the functions, in the goroutine that reads: they must not block.
type lane struct {
	stream  *stream
	channel uint16

	deliver func(*delivery)
	bounce  func(*delivery)                      // a mandatory message that no queue took
	confirm func(tag uint64, multiple, ack bool) // of what was published

	at      *delivery // the message that is being read
	bounced bool      // at has come back
	left    uint64    // bytes of its body that are still to come

	// Guarded by stream.mu.
	ended bool
	acks  []uint64            // tags to be acked with the next write
	next  uint64              // the lowest tag that is not settled
	early map[uint64]struct{} // settled tags above it
}

// maxAllocated is how much is allocated for a body before it has come, in
// bytes.
const maxAllocated = 1 << 20

// take takes a frame that is about a message.
func (l *lane) take(frame []byte) bool {
	payload := frame[frameHead : len(frame)-1]
	switch frame[0] {
	case frameMethod:
		return l.method(payload)
	case frameHeader:
		return l.at != nil && l.head(payload)
	case frameBody:
		return l.at != nil && l.body(payload)
	}
	return false
}

func (l *lane) method(payload []byte) bool {
	d := decoder{b: payload, names: &l.stream.names}
	switch class, method := d.uint16(), d.uint16(); {
	case class == classChannel && (method == methodChannelClose || method == methodChannelClosed):
		l.stream.end(l)
		return false
	case class != classBasic:
		return false
	case method == methodDeliver && l.deliver != nil:
		l.at, l.bounced = &delivery{}, false
		l.at.ConsumerTag = d.name()
		l.at.DeliveryTag = d.uint64()
		l.at.Redelivered = d.uint8() != 0
	case method == methodReturn && l.bounce != nil:
		l.at, l.bounced = &delivery{}, true
		d.uint16() // code
		d.name()   // text
	case (method == methodAck || method == methodNack) && l.confirm != nil:
		tag := d.uint64()
		l.confirm(tag, d.uint8()&1 != 0, method == methodAck)
		return true
	default:
		return false
	}
	l.at.Exchange, l.at.RoutingKey = d.name(), d.name()
	l.at.Acknowledger = l
	return true
}

func (l *lane) head(payload []byte) bool {
	d := decoder{b: payload, names: &l.stream.names}
	size, whole := d.properties(&l.at.Delivery)
	if !whole {
		l.stream.log.Warn("the headers of a message can't be decoded and are left out")
	}
	l.left = size
	l.at.Body = make([]byte, 0, min(size, maxAllocated))
	if size == 0 {
		l.complete()
	}
	return true
}

func (l *lane) body(payload []byte) bool {
	l.at.Body = append(l.at.Body, payload...)
	l.left -= min(l.left, uint64(len(payload)))
	if l.left == 0 {
		l.complete()
	}
	return true
}

func (l *lane) complete() {
	at := l.at
	l.at = nil
	if l.bounced {
		l.bounce(at)
	} else {
		l.deliver(at)
	}
}

// publish has o written. It returns false when the channel has ended, or much
// else waits to be written.
func (l *lane) publish(o *outgoing) bool {
	s := l.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.ended || s.err != nil || len(s.out) > writeBuffer {
		return false
	}
	s.out = appendPublish(s.out, l.channel, o, s.frame)
	s.joined++
	s.signal()
	return true
}

// await returns when little waits to be written, and false when the channel
// has ended.
func (l *lane) await() bool {
	s := l.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.out) > writeBuffer && !l.ended && s.err == nil {
		s.room.Wait()
	}
	return !l.ended && s.err == nil
}

// isOver tells whether the channel has ended, or is about to.
func (l *lane) isOver() bool {
	l.stream.mu.Lock()
	defer l.stream.mu.Unlock()
	return l.ended
}

// Ack acks a delivery, with others that are acked at about the same time. It
// implements the library's Acknowledger, like Nack and Reject.
func (l *lane) Ack(tag uint64, _ bool) error {
	s := l.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.ended || s.err != nil {
		return amqp091.ErrClosed
	}
	if len(l.acks) == 0 {
		s.acking = append(s.acking, l)
	}
	l.acks = append(l.acks, tag)
	s.joined++
	s.signal()
	return nil
}

// Nack gives a delivery back, or drops it.
func (l *lane) Nack(tag uint64, _, requeue bool) error {
	return l.settle(methodNack, tag, bit(requeue)<<1)
}

// Reject is Nack to those who count rejections.
func (l *lane) Reject(tag uint64, requeue bool) error {
	return l.settle(methodReject, tag, bit(requeue))
}

func (l *lane) settle(method byte, tag uint64, bits byte) error {
	s := l.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.ended || s.err != nil {
		return amqp091.ErrClosed
	}
	s.out = appendSettle(s.out, l.channel, method, tag, bits)
	l.early[tag] = struct{}{}
	s.signal()
	return nil
}

// settleAll writes the acks that wait: one for all that follow each other from
// the lowest tag that was not settled, and one each for the others. The
// stream's mu is held.
func (l *lane) settleAll() {
	if len(l.acks) == 0 || l.ended {
		return
	}
	slices.Sort(l.acks)
	joined := 0
	for ; ; l.next++ {
		if joined < len(l.acks) && l.acks[joined] == l.next {
			joined++
		} else if _, settled := l.early[l.next]; settled {
			delete(l.early, l.next)
		} else {
			break
		}
	}
	s := l.stream
	if joined > 0 {
		s.out = appendSettle(s.out, l.channel, methodAck, l.acks[joined-1], bit(joined > 1))
	}
	for _, tag := range l.acks[joined:] {
		s.out = appendSettle(s.out, l.channel, methodAck, tag, 0)
		l.early[tag] = struct{}{}
	}
	l.acks = l.acks[:0]
}

// flush writes the acks that wait before anything that is written after it.
func (l *lane) flush() {
	l.stream.mu.Lock()
	defer l.stream.mu.Unlock()
	l.settleAll()
	l.stream.signal()
}
