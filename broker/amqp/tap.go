package amqp

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
	"github.com/enoki-go/enoki/internal/uuid"
)

const (
	// What waits in a tap's queue when nobody reads fast enough; the oldest
	// goes first.
	tapMessages = 10_000
	tapBytes    = 64 << 20

	tapAttachTimeout = 10 * time.Second

	// tapWatch is how often a tap looks whether it stands alone.
	tapWatch = 5 * time.Second
)

// Tap sees the requests to one service, and the replies of all, as they pass
// the RPC exchange. It gets copies: everything goes its way as before. All
// that it has on the broker is a bounded queue of its own, which ends with its
// connection; it declares no exchange and publishes nothing.
//
// Its methods are for one goroutine, but for Close.
type Tap struct {
	config   Config
	service  string
	link     *link
	copies   *mailbox // of the channel at hand
	channel  *wire.Channel
	attached time.Time

	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// Copy is what a Tap has seen: a request to its service, or any reply.
type Copy struct {
	Method        string // of a request; empty for a reply
	CorrelationID string
	ReplyTo       string        // where the reply to a request goes, or a reply went
	Timeout       time.Duration // until a request expires; 0 when it does not
	Message       *broker.Message
}

// DialTap connects to RabbitMQ and looks whether the RPC exchange and the
// service's queue are there. Without that queue a caller is told at once that
// the service is unknown, and would not be any more if a tap took its request.
// The Config's Owner names the connection.
func DialTap(ctx context.Context, c Config, service string) (*Tap, error) {
	c = c.withDefaults()
	address, err := c.address()
	if err != nil {
		return nil, err
	}
	t := &Tap{config: c, service: service}
	t.link, _ = newLinks(address, c)
	if err := t.link.connect(ctx); err != nil {
		return nil, err
	}
	var life context.Context
	life, t.cancel = context.WithCancel(context.Background())
	t.wg.Go(func() { t.link.run(life) })
	s, err := t.link.await(ctx)
	if err == nil {
		err = t.check(ctx, s)
	}
	if err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// Close ends the tap; the broker removes its queue. It may be called twice.
func (t *Tap) Close() {
	t.cancel()
	t.link.close()
	t.wg.Wait()
}

// Attach has the broker copy from now on; the copies wait, in bounded number,
// for Run.
func (t *Tap) Attach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tapAttachTimeout)
	defer cancel()
	s, err := t.link.await(ctx)
	if err != nil {
		return err
	}
	return t.attach(ctx, s)
}

// Run hands every copy to take, which must not block, until ctx ends or the tap
// is closed, and then returns nil. It attaches again after a lost connection; what passed meanwhile
// it has not seen. The error says why that can't work, or that the queue of
// the service has been deleted.
func (t *Tap) Run(ctx context.Context, take func(Copy)) error {
	for {
		if err := t.read(ctx, take); err != nil || ctx.Err() != nil {
			return err
		}
		if again, err := t.attachAgain(ctx); !again {
			return err
		}
	}
}

// read returns nil when ctx or the channel has ended.
func (t *Tap) read(ctx context.Context, take func(Copy)) error {
	look := time.NewTicker(tapWatch)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.copies.ready:
			t.handOver(take)
		case <-t.channel.Cancelled():
			t.handOver(take)
			return nil
		case <-look.C:
			if err := t.stillServed(ctx); err != nil {
				return err
			}
		}
	}
}

func (t *Tap) handOver(take func(Copy)) {
	for d := t.copies.take(); d != nil; d = t.copies.take() {
		take(t.copyOf(d))
	}
}

// stillServed returns an error when the service's queue is gone: from then on
// this tap would keep callers from hearing that the service is unknown.
func (t *Tap) stillServed(ctx context.Context) error {
	s := t.link.now()
	if s == nil || t.channel.Err() != nil {
		return nil // the reader notices
	}
	err := t.checkService(ctx, s)
	if _, gone := errors.AsType[refusedSetting](err); gone {
		return err
	}
	return nil
}

// attachAgain attaches to the session of the moment until that works, or ctx
// ends, or the tap is closed, or the broker refuses.
func (t *Tap) attachAgain(ctx context.Context) (attached bool, err error) {
	var wait backoff
	wait.worked(t.attached)
	for wait.wait(ctx, 0, nil) {
		s, err := t.link.await(ctx)
		if err != nil {
			return false, nil // ctx has ended, or the tap is closed
		}
		if err = t.attach(ctx, s); err == nil {
			return true, nil
		}
		if _, refused := errors.AsType[refusedSetting](err); refused {
			return false, err
		}
		t.config.Logger.Warn("can't tap, trying again", "error", err)
	}
	return false, nil
}

// attach binds for requests last, so that no request is seen whose reply is
// not.
func (t *Tap) attach(ctx context.Context, s *session) error {
	if err := t.check(ctx, s); err != nil {
		return err
	}
	ch, err := s.Channel(ctx)
	if err != nil {
		return err
	}
	q := queue{name: "enoki.tap-" + t.service + "-" + uuid.New()}
	if err := t.consume(ctx, ch, q); err != nil {
		s.leave(ch) // the broker may have closed it
		return explainDeclare(q, err)
	}
	t.channel, t.attached = ch, time.Now()
	return nil
}

// consume takes without acks: nothing is held back, nothing comes twice.
func (t *Tap) consume(ctx context.Context, ch *wire.Channel, q queue) error {
	if err := checkName("queue", q.name); err != nil {
		return err
	}
	limits := wire.Table{
		"x-max-length": int32(tapMessages), "x-max-length-bytes": int32(tapBytes),
		"x-overflow": "drop-head", "x-queue-type": "classic",
	}
	if err := ch.DeclareQueue(ctx, wire.Queue{Name: q.name, Exclusive: true, AutoDelete: true, Arguments: limits}); err != nil {
		return err
	}
	t.copies = newMailbox(tapMessages)
	if err := ch.Consume(ctx, wire.Consumption{Queue: q.name, NoAck: true, Exclusive: true}, t.copies.put); err != nil {
		return err
	}
	for _, key := range []string{"*", t.service + ".*"} {
		if err := ch.BindQueue(ctx, wire.Binding{From: t.config.RPCExchange, To: q.name, Key: key}); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tap) copyOf(d *wire.Delivery) Copy {
	c := Copy{CorrelationID: d.CorrelationID, ReplyTo: d.RoutingKey, Message: message(d)}
	if method, isRequest := strings.CutPrefix(d.RoutingKey, t.service+"."); isRequest {
		c.Method, c.ReplyTo = method, d.ReplyTo
		if ms, ok := valueOf(d.Headers[headerLeft]).(int64); ok {
			c.Timeout = time.Duration(ms) * time.Millisecond
		} else if ms, err := strconv.ParseInt(d.Expiration, 10, 32); err == nil {
			c.Timeout = time.Duration(ms) * time.Millisecond
		}
	}
	return c
}

// check returns an error unless the exchange and the service's queue exist.
func (t *Tap) check(ctx context.Context, s *session) error {
	e := exchange{name: t.config.RPCExchange, kind: "topic"}
	there, err := exists(ctx, s, func(ch *wire.Channel) error {
		return ch.FindExchange(ctx, e.wire())
	})
	if err != nil {
		return explainDeclare(e, err)
	}
	if !there {
		return refusedSetting{fmt.Errorf("there is no %s on vhost %q at %s: check the vhost, and what the services there have as rpc_exchange",
			e, t.link.address.vhost, t.link.address.masked)}
	}
	return t.checkService(ctx, s)
}

func (t *Tap) checkService(ctx context.Context, s *session) error {
	q := queue{name: "rpc-" + t.service}
	there, err := exists(ctx, s, func(ch *wire.Channel) error {
		_, err := ch.FindQueue(ctx, q.wire())
		return err
	})
	if err != nil {
		return explainDeclare(q, err)
	}
	if !there {
		return refusedSetting{fmt.Errorf("there is no %s on vhost %q at %s: no service %s has run there; check the name",
			q, t.link.address.vhost, t.link.address.masked, t.service)}
	}
	return nil
}

// exists asks by a passive declaration, which changes nothing. A queue that is
// another connection's alone exists.
func exists(ctx context.Context, s *session, passive func(*wire.Channel) error) (bool, error) {
	ch, err := s.Channel(ctx)
	if err != nil {
		return false, err
	}
	defer s.leave(ch) // a no has closed it already
	err = passive(ch)
	if no, ok := errors.AsType[*wire.Error](err); ok {
		switch no.Code {
		case wire.NotFound:
			return false, nil
		case wire.ResourceLocked:
			return true, nil
		}
	}
	return err == nil, err
}

// SameBroker reports whether c leads to the tap's own broker and vhost, under
// whatever name: it makes a queue of its own on this side and looks for it on
// that one.
func (t *Tap) SameBroker(ctx context.Context, c Config) (bool, error) {
	here, err := t.link.await(ctx)
	if err != nil {
		return false, err
	}
	ch, err := here.Channel(ctx)
	if err != nil {
		return false, err
	}
	defer here.leave(ch)
	mark := queue{name: "enoki.tap-mark-" + uuid.New()}
	if err := ch.DeclareQueue(ctx, wire.Queue{Name: mark.name, Exclusive: true, AutoDelete: true}); err != nil {
		return false, explainDeclare(mark, err)
	}
	defer here.politely(func(ctx context.Context) { _ = ch.DeleteQueue(ctx, mark.name, false) }) // else it ends with the connection
	c = c.withDefaults()
	address, err := c.address()
	if err != nil {
		return false, err
	}
	other, _ := newLinks(address, c)
	if err := other.connect(ctx); err != nil {
		return false, err
	}
	defer other.close()
	return exists(ctx, other.now(), func(ch *wire.Channel) error {
		_, err := ch.FindQueue(ctx, mark.wire())
		return err
	})
}
