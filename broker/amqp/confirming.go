package amqp

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/rabbitmq/amqp091-go"

	"github.com/enoki-go/enoki/broker"
)

// What may be sent and not confirmed at one time.
const (
	windowMessages = 1024
	windowBytes    = maxMessage // so that the largest message fits
)

// errNoRoute says that the broker had no queue for a mandatory message.
var errNoRoute = fmt.Errorf("%w: no queue takes it (NO_ROUTE)", broker.ErrNotDelivered)

// confirming is the life of one channel in confirm mode.
type confirming struct {
	session *session
	ch      *amqp091.Channel
	ended   chan struct{} // closed when the channel is gone and err is set
	err     error

	mu      sync.Mutex
	pending []*outgoing // sent and unconfirmed, in the order of their tags
	bytes   int         // of the bodies of pending

	room chan struct{} // has an item when pending got shorter
}

func openConfirming(s *session) (*confirming, error) {
	ch, err := s.conn.Channel()
	if err != nil {
		return nil, err
	}
	if err := ch.Confirm(false); err != nil {
		return nil, errors.Join(err, ch.Close())
	}
	c := &confirming{session: s, ch: ch, ended: make(chan struct{}), room: make(chan struct{}, 1)}
	// Unbuffered: the library hands over one notification before it reads the
	// next, so a return is seen before the confirm of the same message.
	returns := ch.NotifyReturn(make(chan amqp091.Return))
	confirms := ch.NotifyPublish(make(chan amqp091.Confirmation))
	closes := ch.NotifyClose(make(chan *amqp091.Error, 1))
	go c.watch(returns, confirms, closes)
	return c, nil
}

// watch reads what the broker says until the channel ends.
func (c *confirming) watch(returns <-chan amqp091.Return, confirms <-chan amqp091.Confirmation, closes <-chan *amqp091.Error) {
	defer close(c.ended)
	for {
		select {
		case r, ok := <-returns:
			if !ok {
				returns = nil // the others are closed too, or soon will be
				continue
			}
			c.returned(&r)
		case confirm, ok := <-confirms:
			if !ok {
				c.err = broker.ErrClosed
				if err, ok := <-closes; ok {
					c.err = err
				}
				return
			}
			c.confirmed(confirm.Ack)
		}
	}
}

// returned notes the return on the message it is about. The broker names no
// tag in a return, only the message itself.
func (c *confirming) returned(r *amqp091.Return) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.pending {
		if o.mandatory && o.returned == nil && o.key == r.RoutingKey && o.exchange == r.Exchange &&
			o.msg.CorrelationId == r.CorrelationId && o.msg.MessageId == r.MessageId {
			o.returned = r
			return
		}
	}
}

// confirmed settles the oldest message: the library puts confirms in the
// order of the messages.
func (c *confirming) confirmed(ack bool) {
	c.mu.Lock()
	if len(c.pending) == 0 {
		c.mu.Unlock()
		return
	}
	o := c.pending[0]
	c.pending[0] = nil
	c.pending = c.pending[1:]
	c.bytes -= len(o.msg.Body)
	c.mu.Unlock()
	select {
	case c.room <- struct{}{}:
	default:
	}
	switch {
	case o.returned != nil:
		o.done <- errNoRoute
	case !ack:
		o.done <- fmt.Errorf("%w: the broker could not take it (nack)", broker.ErrNotDelivered)
	default:
		o.done <- nil
	}
}

// waitForRoom waits until the broker takes messages and the window has room,
// and returns false when the channel or ctx ends first.
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
		case <-c.ended:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// fits counts no bytes of the next message, which is not known yet: the window
// is at most one message larger than its bound.
func (c *confirming) fits() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.pending) < windowMessages && c.bytes < windowBytes
}

// send writes o. It returns false when the channel has ended before the broker
// could have got all of o; otherwise watch or finish says what came of it.
func (c *confirming) send(o *outgoing) bool {
	o.returned = nil
	c.mu.Lock()
	c.pending = append(c.pending, o) // before it is sent: the confirm may be fast
	c.bytes += len(o.msg.Body)
	c.mu.Unlock()
	err := c.ch.Publish(o.exchange, o.key, o.mandatory, false, o.msg)
	switch {
	case err == nil:
		return true
	case errors.Is(err, amqp091.ErrClosed):
		c.mu.Lock()
		defer c.mu.Unlock()
		c.pending = c.pending[:len(c.pending)-1]
		return false
	default:
		// Part of it may have been written. The library shuts the connection
		// down then, but not for what it can't encode; either way the tags
		// are no longer those of pending.
		c.session.close()
		return true
	}
}

// finish settles what was not confirmed when the channel ended, and returns
// what is to be sent again on the next one.
func (c *confirming) finish() (again []*outgoing) {
	_ = c.ch.Close() // it may still be open when ctx has ended
	<-c.ended
	c.mu.Lock()
	defer c.mu.Unlock()
	culprit := c.culprit()
	for i, o := range c.pending {
		switch {
		case culprit >= 0 && i == culprit:
			o.done <- fmt.Errorf("%w: %w", broker.ErrNotDelivered, c.err)
		case culprit >= 0 && i > culprit:
			o.state.Store(waiting) // the broker ignored what came after
			again = append(again, o)
		case o.returned != nil:
			o.done <- errNoRoute
		case culprit >= 0 && o.repeatable:
			again = append(again, o)
		default:
			o.done <- fmt.Errorf("%w: %w", broker.ErrUnknownOutcome, c.err)
		}
	}
	c.pending = nil
	return again
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
			if strings.Contains(refused.Reason, "exchange '"+o.exchange+"'") {
				return i
			}
		}
	case amqp091.PreconditionFailed, amqp091.ContentTooLarge:
		for i, o := range c.pending {
			if strings.Contains(refused.Reason, "message size "+strconv.Itoa(len(o.msg.Body))+" ") {
				return i
			}
		}
	}
	return -1
}
