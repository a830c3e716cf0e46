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
	deliver  <-chan amqp091.Delivery // of the channel at hand
	channel  *amqp091.Channel
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
		err = t.check(s)
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
	return t.attach(s)
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
		case d, open := <-t.deliver:
			if !open {
				return nil
			}
			take(t.copyOf(&d))
		case <-look.C:
			if err := t.stillServed(); err != nil {
				return err
			}
		}
	}
}

// stillServed returns an error when the service's queue is gone: from then on
// this tap would keep callers from hearing that the service is unknown.
func (t *Tap) stillServed() error {
	s := t.link.now()
	if s == nil || t.channel.IsClosed() {
		return nil // the reader notices
	}
	err := t.checkService(s)
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
		if err = t.attach(s); err == nil {
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
func (t *Tap) attach(s *session) error {
	if err := t.check(s); err != nil {
		return err
	}
	ch, err := s.open()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	q := queue{name: "enoki.tap-" + t.service + "-" + uuid.New()}
	if err := t.consume(ch, q); err != nil {
		_ = ch.Close() // the broker may have closed it
		return explainDeclare(q, err)
	}
	t.channel, t.attached = ch, time.Now()
	return nil
}

// consume takes without acks: nothing is held back, nothing comes twice.
func (t *Tap) consume(ch *amqp091.Channel, q queue) error {
	if err := checkName("queue", q.name); err != nil {
		return err
	}
	limits := amqp091.Table{
		amqp091.QueueMaxLenArg: int32(tapMessages), amqp091.QueueMaxLenBytesArg: int32(tapBytes),
		amqp091.QueueOverflowArg: amqp091.QueueOverflowDropHead, amqp091.QueueTypeArg: amqp091.QueueTypeClassic,
	}
	if _, err := ch.QueueDeclare(q.name, false, true, true, false, limits); err != nil {
		return err
	}
	var err error
	if t.deliver, err = ch.Consume(q.name, "", true, true, false, false, nil); err != nil {
		return err
	}
	for _, key := range []string{"*", t.service + ".*"} {
		if err := ch.QueueBind(q.name, key, t.config.RPCExchange, false, nil); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tap) copyOf(d *amqp091.Delivery) Copy {
	c := Copy{CorrelationID: d.CorrelationId, ReplyTo: d.RoutingKey, Message: message(d)}
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
func (t *Tap) check(s *session) error {
	e := exchange{name: t.config.RPCExchange, kind: amqp091.ExchangeTopic}
	there, err := exists(s, func(ch *amqp091.Channel) error {
		return ch.ExchangeDeclarePassive(e.name, e.kind, true, false, false, false, nil)
	})
	if err != nil {
		return explainDeclare(e, err)
	}
	if !there {
		return refusedSetting{fmt.Errorf("there is no %s on vhost %q at %s: check the vhost, and what the services there have as rpc_exchange",
			e, t.link.address.vhost, t.link.address.masked)}
	}
	return t.checkService(s)
}

func (t *Tap) checkService(s *session) error {
	q := queue{name: "rpc-" + t.service}
	there, err := exists(s, func(ch *amqp091.Channel) error {
		_, err := ch.QueueDeclarePassive(q.name, true, false, false, false, nil)
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
func exists(s *session, passive func(*amqp091.Channel) error) (bool, error) {
	ch, err := s.open()
	if err != nil {
		return false, err
	}
	defer ch.Close() // a no has closed it already
	err = passive(ch)
	if no, ok := errors.AsType[*amqp091.Error](err); ok {
		switch no.Code {
		case amqp091.NotFound:
			return false, nil
		case amqp091.ResourceLocked:
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
	ch, err := here.open()
	if err != nil {
		return false, err
	}
	defer ch.Close()
	mark := queue{name: "enoki.tap-mark-" + uuid.New()}
	if _, err := ch.QueueDeclare(mark.name, false, true, true, false, nil); err != nil {
		return false, explainDeclare(mark, err)
	}
	defer func() { _, _ = ch.QueueDelete(mark.name, false, false, false) }() // else it ends with the connection
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
	return exists(other.now(), func(ch *amqp091.Channel) error {
		_, err := ch.QueueDeclarePassive(mark.name, false, true, true, false, nil)
		return err
	})
}
