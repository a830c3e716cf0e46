package amqp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
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
	*wire.Channel
	session *session
	opened  time.Time

	refused sync.Once     // at the first nack
	worn    chan struct{} // closed when another channel is to take its place
}

func openConfirming(ctx context.Context, s *session) (*confirming, error) {
	ch, err := s.Channel(ctx)
	if err != nil {
		return nil, err
	}
	if err := ch.Confirm(ctx); err != nil {
		s.leave(ch)
		return nil, err
	}
	return &confirming{Channel: ch, session: s, opened: time.Now(), worn: make(chan struct{})}, nil
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
	case <-c.Done():
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
	c.Retire()
	end := time.NewTimer(retirement)
	defer end.Stop()
	for !c.isIdle() {
		select {
		case <-c.Confirmed():
		case <-c.Done():
			return
		case <-end.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (c *confirming) isIdle() bool {
	messages, _ := c.Pending()
	return messages == 0
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
		case <-c.Confirmed():
		case <-c.worn:
			return false
		case <-c.Done():
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// fits counts no bytes of the next message, which is not known yet: the window
// is at most one message larger than its bound.
func (c *confirming) fits() bool {
	messages, bytes := c.Pending()
	return messages < windowMessages && bytes < windowBytes
}

// send writes o, and waits while much else is to be written. It returns false
// when the channel has ended before the broker could have got anything of o;
// otherwise the confirm or finish says what came of it.
func (c *confirming) send(o *outgoing) bool {
	for !c.try(o) {
		if !c.Await() {
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
	o.on, o.returned = c, false
	p := o.publishing()
	return c.Publish(&p, o)
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
	_ = c.Close(context.Background()) // it ends with its connection at the latest
	<-c.Done()
	pending, reason := c.Unconfirmed(), reasonOf(c.Channel)
	culprit := culprit(pending, reason)
	for i, r := range pending {
		o := r.(*outgoing)
		switch {
		case culprit >= 0 && i == culprit:
			o.end(c.refusal(reason))
		case culprit >= 0 && i > culprit:
			o.state.Store(waiting) // the broker ignored what came after
			again = append(again, o)
		case o.returned:
			o.end(errNoRoute)
		case culprit >= 0 && o.repeatable:
			again = append(again, o)
		default:
			o.end(fmt.Errorf("%w: %w", broker.ErrUnknownOutcome, reason))
		}
	}
	return again
}

// refusal is the error of the message that made the broker close the channel.
// A size is refused again, and by this side from now on.
func (c *confirming) refusal(reason error) error {
	refused, _ := errors.AsType[*wire.Error](reason)
	if refused.Code == wire.NotFound || refused.Code == wire.AccessRefused {
		return fmt.Errorf("%w: %w", broker.ErrNotDelivered, reason)
	}
	c.session.learn(refused)
	return fmt.Errorf("%w: %w", broker.ErrInvalid, reason)
}

// culprit returns which of the pending messages made the broker close the
// channel, -1 when it was none or can't be told.
func culprit(pending []wire.Receipt, reason error) int {
	refused, ok := errors.AsType[*wire.Error](reason)
	if !ok {
		return -1
	}
	return slices.IndexFunc(pending, func(r wire.Receipt) bool {
		o := r.(*outgoing)
		switch refused.Code {
		case wire.NotFound, wire.AccessRefused:
			return strings.Contains(refused.Reason, "exchange '"+o.exchange+"'")
		case wire.PreconditionFailed, wire.ContentTooLarge:
			return strings.Contains(refused.Reason, "message size "+strconv.Itoa(len(o.msg.Body))+" ")
		}
		return false
	})
}
