package wire

import "slices"

// settling are the deliveries of a channel that are settled.
type settling struct {
	acks  []uint64            // tags to be acked with the next write
	next  uint64              // the lowest tag that is not settled
	early map[uint64]struct{} // settled tags above it
}

func newSettling() settling { return settling{next: 1, early: map[uint64]struct{}{}} }

// Ack has the broker forget the delivery. Like the other two it returns once
// that is on its way; the error is that of the channel, on which it is not
// settled then.
func (d *Delivery) Ack() error { return d.channel.Ack(d.Tag) }

// Nack gives the delivery back to its queue, or has it dropped there.
func (d *Delivery) Nack(requeue bool) error {
	return d.channel.settle(basicNack, d.Tag, bit(requeue)<<1)
}

// Reject is Nack to those who count rejections.
func (d *Delivery) Reject(requeue bool) error {
	return d.channel.settle(basicReject, d.Tag, bit(requeue))
}

// NackAll gives back to their queues all deliveries that are not settled.
func (ch *Channel) NackAll() error {
	const multiple, requeue = 1, 2
	w := &ch.conn.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	if !ch.isOpen() {
		return ch.failure()
	}
	ch.settleAll()
	w.out = appendSettle(w.out, ch.id, basicNack, 0, multiple|requeue)
	w.signal()
	return nil
}

// Ack acks the delivery with the tag, with others that are acked at about the
// same time.
func (ch *Channel) Ack(tag uint64) error {
	w := &ch.conn.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	if !ch.isOpen() {
		return ch.failure()
	}
	if len(ch.settling.acks) == 0 {
		w.acking = append(w.acking, ch)
	}
	ch.settling.acks = append(ch.settling.acks, tag)
	w.joined++
	w.signal()
	return nil
}

func (ch *Channel) settle(m method, tag uint64, bits byte) error {
	w := &ch.conn.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	if !ch.isOpen() {
		return ch.failure()
	}
	w.out = appendSettle(w.out, ch.id, m, tag, bits)
	ch.settling.early[tag] = struct{}{}
	w.signal()
	return nil
}

// settleAll writes the acks that wait: one for all that follow each other from
// the lowest tag that was not settled, and one each for the others. The
// writer's mu is held.
func (ch *Channel) settleAll() {
	s := &ch.settling
	if len(s.acks) == 0 || ch.err != nil {
		return
	}
	slices.Sort(s.acks)
	joined := 0
	for ; ; s.next++ {
		if joined < len(s.acks) && s.acks[joined] == s.next {
			joined++
		} else if _, settled := s.early[s.next]; settled {
			delete(s.early, s.next)
		} else {
			break
		}
	}
	w := &ch.conn.writer
	if joined > 0 {
		w.out = appendSettle(w.out, ch.id, basicAck, s.acks[joined-1], bit(joined > 1))
	}
	for _, tag := range s.acks[joined:] {
		w.out = appendSettle(w.out, ch.id, basicAck, tag, 0)
		s.early[tag] = struct{}{}
	}
	s.acks = s.acks[:0]
}

// appendSettle appends basic.ack, basic.nack or basic.reject.
func appendSettle(b []byte, channel uint16, m method, tag uint64, bits byte) []byte {
	b, from := beginFrame(b, frameMethod, channel)
	b = append(b, 0, classBasic, 0, byte(m))
	b = append(b, byte(tag>>56), byte(tag>>48), byte(tag>>40), byte(tag>>32), byte(tag>>24), byte(tag>>16), byte(tag>>8), byte(tag))
	return endFrame(append(b, bits), from)
}
