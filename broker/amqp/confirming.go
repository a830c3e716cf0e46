package amqp

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/enoki-go/enoki/broker"
)

// What may be sent and not confirmed at one time.
const (
	windowMessages = 1024
	windowBytes    = maxMessage // so that the largest message fits
)

const (
	// channelLasts is how old a channel is at least when another one takes its
	// place because messages were refused on it.
	channelLasts = 500 * time.Millisecond

	// retirement is how long a channel stays then for the confirms that are due.
	retirement = 30 * time.Second
)

// errNoRoute says that the broker had no queue for a mandatory message.
var errNoRoute = fmt.Errorf("%w: no queue takes it (NO_ROUTE)", broker.ErrNotDelivered)

// confirming is the life of one channel in confirm mode.
type confirming struct {
	session *session
	ch      *amqp091.Channel
	lane    *lane
	opened  time.Time
	ended   chan struct{} // closed when the channel is gone and err is set
	err     error

	refused sync.Once     // at the first nack
	worn    chan struct{} // closed when another channel is to take its place

	order sync.Mutex // held while a message gets its tag and is written

	mu      sync.Mutex
	pending []*outgoing // sent, by their tags; nil once confirmed
	first   uint64      // the tag of pending[0]
	count   int         // of those that are not nil
	bytes   int         // of their bodies
	over    bool        // nothing is sent any more

	settled []*outgoing   // by the confirm at hand; of the goroutine that reads
	room    chan struct{} // has an item when less is pending
}

func openConfirming(s *session) (*confirming, error) {
	ch, l, err := s.openLane()
	if err != nil {
		return nil, err
	}
	c := &confirming{session: s, ch: ch, lane: l, opened: time.Now(), first: 1, ended: make(chan struct{}), worn: make(chan struct{}), room: make(chan struct{}, 1)}
	l.bounce, l.confirm = c.returned, c.confirmed
	if err := ch.Confirm(false); err != nil {
		return nil, errors.Join(err, ch.Close())
	}
	closes := ch.NotifyClose(make(chan *amqp091.Error, 1))
	go func() {
		defer close(c.ended)
		c.err = broker.ErrClosed
		if err, ok := <-closes; ok { // closed with the channel
			c.err = err
		}
	}()
	return c, nil
}

// returned notes the return on the message it is about. The broker names no
// tag in a return, only the message itself.
func (c *confirming) returned(r *delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.pending {
		if o != nil && o.mandatory && !o.returned && o.key == r.RoutingKey && o.exchange == r.Exchange &&
			o.msg.CorrelationId == r.CorrelationId && o.msg.MessageId == r.MessageId {
			o.returned = true
			return
		}
	}
}

// confirmed settles the message with the tag, or all up to it.
func (c *confirming) confirmed(tag uint64, multiple, ack bool) {
	c.mu.Lock()
	last := tag - c.first + 1 // in pending, and one more
	if tag < c.first || last > uint64(len(c.pending)) {
		c.mu.Unlock()
		return
	}
	from := last - 1
	if multiple {
		from = 0
	}
	for i := from; i < last; i++ {
		if o := c.pending[i]; o != nil {
			c.pending[i] = nil
			c.count--
			c.bytes -= len(o.msg.Body)
			c.settled = append(c.settled, o)
		}
	}
	done := 0
	for done < len(c.pending) && c.pending[done] == nil {
		done++
	}
	c.pending, c.first = c.pending[done:], c.first+uint64(done)
	c.mu.Unlock()
	select {
	case c.room <- struct{}{}:
	default:
	}
	if !ack {
		c.refused.Do(c.wear)
	}
	for i, o := range c.settled {
		o.confirmed(ack)
		c.settled[i] = nil
	}
	c.settled = c.settled[:0]
}

// wear has another channel take the place of this one. RabbitMQ 3.10 notes for
// each channel and quorum queue who led the queue when the channel first
// published to it; if that node had died just before, the channel has every
// message for the queue refused until the node is back. A new channel asks
// anew.
func (c *confirming) wear() {
	time.AfterFunc(time.Until(c.opened.Add(channelLasts)), func() { close(c.worn) })
}

// isWorn tells whether another channel is to take the place of this one, which
// goes on meanwhile.
func (c *confirming) isWorn() bool {
	select {
	case <-c.ended:
		return false
	case <-c.worn:
		return true
	default:
		return false
	}
}

// retire has nothing sent on c any more, and returns when the broker has settled
// what was, or after the time of the retirement.
func (c *confirming) retire(ctx context.Context) {
	c.order.Lock() // whoever is sending has done so
	c.mu.Lock()
	c.over = true
	c.mu.Unlock()
	c.order.Unlock()
	end := time.NewTimer(retirement)
	defer end.Stop()
	for !c.isIdle() {
		select {
		case <-c.room:
		case <-c.ended:
			return
		case <-end.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (c *confirming) isIdle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count == 0
}

// waitForRoom waits until the broker takes messages and the window has room,
// and returns false when the channel or ctx ends first, or the channel is worn.
func (c *confirming) waitForRoom(ctx context.Context) bool {
	for {
		free, _ := c.session.unblocked()
		select {
		case <-free:
			if c.fits() {
				return true
			}
			free = nil
		default:
		}
		select {
		case <-free:
		case <-c.room:
		case <-c.worn:
			return false
		case <-c.ended:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

func (c *confirming) fits() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hasRoom()
}

// hasRoom counts no bytes of the next message, which is not known yet: the
// window is at most one message larger than its bound.
func (c *confirming) hasRoom() bool { return c.count < windowMessages && c.bytes < windowBytes }

// send writes o, and waits while much else is to be written. It returns false
// when the channel has ended before the broker could have got anything of o;
// otherwise the confirm or finish says what came of it.
func (c *confirming) send(o *outgoing) bool {
	for !c.try(o) {
		if !c.lane.await() {
			return false
		}
	}
	return true
}

// try is send that never waits: it returns false, too, when there is too much
// else to be written.
func (c *confirming) try(o *outgoing) bool {
	if err := o.fits(c.session.limits()); err != nil { // they may be lower than when it was checked
		o.end(err)
		return true
	}
	c.order.Lock()
	defer c.order.Unlock()
	c.mu.Lock()
	if c.over {
		c.mu.Unlock()
		return false
	}
	o.returned = false
	c.pending = append(c.pending, o) // before it is sent: the confirm may be fast
	c.count++
	c.bytes += len(o.msg.Body)
	c.mu.Unlock()
	if c.lane.publish(o) {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over { // finish takes only what it finds
		c.pending = c.pending[:len(c.pending)-1]
		c.count--
		c.bytes -= len(o.msg.Body)
	}
	return false
}

// atOnce sends o if nothing has to be waited for: the broker takes messages,
// the window has room, and little else is to be written.
func (c *confirming) atOnce(o *outgoing) bool {
	if !c.session.takes() || !c.fits() || !o.state.CompareAndSwap(waiting, sent) {
		return false
	}
	if c.try(o) {
		return true
	}
	o.state.Store(waiting)
	return false
}

// finish settles what was not confirmed when the channel ended, and returns
// what is to be sent again on the next one.
func (c *confirming) finish() (again []*outgoing) {
	if !c.lane.isOver() { // else the library hears so next, with the reason, which a close of ours would hide
		_ = c.ch.Close()
	}
	<-c.ended
	c.order.Lock() // whoever is sending sees the end first
	c.mu.Lock()
	pending, culprit := c.pending, c.culprit()
	c.pending, c.count, c.bytes, c.over = nil, 0, 0, true
	c.mu.Unlock()
	c.order.Unlock()
	for i, o := range pending {
		switch {
		case o == nil: // confirmed
		case culprit >= 0 && i == culprit:
			o.end(c.refusal())
		case culprit >= 0 && i > culprit:
			o.state.Store(waiting) // the broker ignored what came after
			again = append(again, o)
		case o.returned:
			o.end(errNoRoute)
		case culprit >= 0 && o.repeatable:
			again = append(again, o)
		default:
			o.end(fmt.Errorf("%w: %w", broker.ErrUnknownOutcome, c.err))
		}
	}
	return again
}

// refusal is the error of the message that made the broker close the channel.
// A size is refused again, and by this side from now on.
func (c *confirming) refusal() error {
	refused, _ := errors.AsType[*amqp091.Error](c.err)
	if refused.Code == amqp091.NotFound || refused.Code == amqp091.AccessRefused {
		return fmt.Errorf("%w: %w", broker.ErrNotDelivered, c.err)
	}
	c.session.learn(refused)
	return fmt.Errorf("%w: %w", broker.ErrInvalid, c.err)
}

// culprit returns which of the pending messages made the broker close the
// channel, -1 when it was none or can't be told.
func (c *confirming) culprit() int {
	refused, ok := errors.AsType[*amqp091.Error](c.err)
	if !ok || !refused.Server {
		return -1
	}
	switch refused.Code {
	case amqp091.NotFound, amqp091.AccessRefused:
		for i, o := range c.pending {
			if o != nil && strings.Contains(refused.Reason, "exchange '"+o.exchange+"'") {
				return i
			}
		}
	case amqp091.PreconditionFailed, amqp091.ContentTooLarge:
		for i, o := range c.pending {
			if o != nil && strings.Contains(refused.Reason, "message size "+strconv.Itoa(len(o.msg.Body))+" ") {
				return i
			}
		}
	}
	return -1
}
