package amqp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
)

const (
	// maxMessage is the largest body that is sent. RabbitMQ 4 refuses more,
	// and does so by closing the channel.
	maxMessage = 16 << 20 // bytes

	maxShortString = wire.MaxShort // bytes of a routing key or a property
)

// limits are what a broker takes, in bytes.
type limits struct {
	frame int // all properties and headers of a message go in one
	body  int // 0: nothing is known but maxMessage
}

// defaultLimits are those of a broker that is not known yet.
var defaultLimits = limits{frame: maxFrame}

// outgoing is one message on its way to the broker.
type outgoing struct {
	exchange, key string
	mandatory     bool
	repeatable    bool // may reach the broker twice
	resent        bool // is sent again if the broker refuses it; what is repeatable is so, too
	several       bool // may go to more than one queue
	msg           wire.Message
	headers       []byte // msg.Headers as they are written; made by check unless given

	// ended, if not nil, is called once with the outcome; nil means confirmed.
	// It must not block. Otherwise the outcome goes to done, but a nil one does
	// not if quiet is set.
	ended func(error)
	quiet bool

	unawaited bool // nobody waits for the outcome
	received  bool // its body came from this broker, which may take more than maxMessage

	state    atomic.Int32
	done     chan error
	on       *confirming // that it was sent on last
	returned bool        // there; of the goroutine that reads
}

func (o *outgoing) publishing() wire.Publishing {
	return wire.Publishing{Exchange: o.exchange, RoutingKey: o.key, Mandatory: o.mandatory, Message: &o.msg, Headers: o.headers}
}

// copy returns the same message to be sent once more.
func (o *outgoing) copy() *outgoing {
	return &outgoing{exchange: o.exchange, key: o.key, mandatory: o.mandatory, repeatable: o.repeatable, resent: o.resent, several: o.several,
		received: o.received, msg: o.msg, headers: o.headers}
}

// The states of an outgoing message.
const (
	waiting   int32 = iota // for the writer
	sent                   // or at least begun
	abandoned              // by its caller, before it was sent
	confirmed              // by the broker
)

// Returned implements [wire.Receipt].
func (o *outgoing) Returned(d *wire.Delivery) bool {
	is := o.mandatory && !o.returned && o.key == d.RoutingKey && o.exchange == d.Exchange &&
		o.msg.CorrelationID == d.CorrelationID && o.msg.MessageID == d.MessageID
	o.returned = o.returned || is
	return is
}

// Confirmed implements [wire.Receipt]: it ends o with what the broker says.
func (o *outgoing) Confirmed(ack bool) {
	if !ack {
		o.on.refused.Do(o.on.wear)
	}
	switch {
	case o.returned:
		o.end(errNoRoute)
	case !ack && o.several:
		o.end(fmt.Errorf("%w: %w for every subscription", broker.ErrUnknownOutcome, errNack))
	case !ack:
		o.end(fmt.Errorf("%w: %w", broker.ErrNotDelivered, errNack))
	default:
		o.state.Store(confirmed)
		o.end(nil)
	}
}

func (o *outgoing) end(err error) {
	switch {
	case o.ended != nil:
		o.ended(err)
	case err != nil || !o.quiet:
		o.done <- err
	}
}

// publisher sends messages over one channel with publisher confirms. A message
// that need not wait is sent at once; the others wait for one goroutine, so
// that their callers can give up at their deadlines.
type publisher struct {
	link   *link
	log    *slog.Logger
	queue  chan *outgoing
	queued atomic.Int64  // how many are in queue or about to be
	again  []*outgoing   // to be sent first; touched by run only
	gone   chan struct{} // closed when run has returned

	retired sync.WaitGroup   // channels that only wait for confirms
	back    chan []*outgoing // what is to be sent again of theirs; never empty

	nackPause time.Duration // the constant of that name but in tests

	channel atomic.Pointer[confirming] // nil while there is none
	mu      sync.Mutex
	changed chan struct{} // closed when channel changes
}

func newPublisher(l *link, log *slog.Logger) *publisher {
	return &publisher{link: l, log: log, queue: make(chan *outgoing, 64), back: make(chan []*outgoing), nackPause: nackPause,
		gone: make(chan struct{}), changed: make(chan struct{})}
}

// errNack says that a queue has refused a message: it is full, or it was
// deleted, or went with its consumer, while it got the message, or the node that
// led it has died; see wear.
var errNack = errors.New("the broker could not store it (nack)")

const (
	// nackAttempts is how often a message is sent that may be sent again. A queue
	// that is gone is not in the way of the second one, and one that has lost its
	// leader has another by the last.
	nackAttempts = 5
	nackPause    = 50 * time.Millisecond // before the second try, and twice as long before each further one
)

// publish sends o and waits for the broker's word on it. The error is
// ErrNotDelivered, ErrUnknownOutcome, ErrBlocked or ErrClosed, and satisfies
// the error of ctx too when ctx has ended.
func (p *publisher) publish(ctx context.Context, o *outgoing) error {
	for try := 1; ; try++ {
		err := p.publishOnce(ctx, o)
		if !p.maySendAgain(ctx, o, err, try) {
			return err
		}
		o = o.copy()
	}
}

// maySendAgain tells, after a pause, whether o is to be sent once more, which has
// ended with err after so many tries.
func (p *publisher) maySendAgain(ctx context.Context, o *outgoing, err error, tries int) bool {
	if !errors.Is(err, errNack) || !o.repeatable && !o.resent || tries >= nackAttempts {
		return false
	}
	pause := time.NewTimer(p.nackPause << (tries - 1))
	defer pause.Stop()
	select {
	case <-pause.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (p *publisher) publishOnce(ctx context.Context, o *outgoing) error {
	if err := p.submit(ctx, o); err != nil {
		return err
	}
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		return p.giveUp(ctx, o)
	case <-p.gone:
		return p.closed(o)
	}
}

// submit hands o to the writer. Its outcome comes by o.done; who stops
// waiting for it calls giveUp.
func (p *publisher) submit(ctx context.Context, o *outgoing) error {
	if err := o.check(p.limits()); err != nil {
		return err
	}
	if o.ended == nil {
		o.done = make(chan error, 1)
	}
	if p.queued.Load() == 0 {
		if ch := p.channel.Load(); ch != nil && ch.atOnce(o) {
			return nil
		}
	}
	p.queued.Add(1)
	select {
	case p.queue <- o:
		select {
		case <-p.gone:
			p.drain()
		default:
		}
		return nil
	case <-ctx.Done():
		p.queued.Add(-1)
		return p.notSent(ctx)
	case <-p.gone:
		p.queued.Add(-1)
		return broker.ErrClosed
	}
}

// drain ends what waits in the queue of a publisher that is gone.
func (p *publisher) drain() {
	for {
		select {
		case o := <-p.queue:
			p.queued.Add(-1)
			if o.state.CompareAndSwap(waiting, abandoned) {
				o.end(broker.ErrClosed)
			}
		default:
			return
		}
	}
}

// giveUp stops waiting for o, because ctx has ended, and says what is known.
func (p *publisher) giveUp(ctx context.Context, o *outgoing) error {
	if o.state.CompareAndSwap(waiting, abandoned) {
		return p.notSent(ctx)
	}
	select {
	case err := <-o.done:
		return err
	default:
	}
	if alarm := p.alarm(); alarm != "" {
		// The broker says that it blocks only when the first message reaches
		// it. That one is in its hands and will be handled after the alarm.
		return fmt.Errorf("%w (%s); this message had been handed over before that: %w: %w",
			broker.ErrBlocked, alarm, broker.ErrUnknownOutcome, ctx.Err())
	}
	return fmt.Errorf("%w: the broker has not confirmed the message yet: %w", broker.ErrUnknownOutcome, ctx.Err())
}

// notSent is the error for a message that ctx left no time to send.
func (p *publisher) notSent(ctx context.Context) error {
	if alarm := p.alarm(); alarm != "" {
		return fmt.Errorf("%w (%s): %w", broker.ErrBlocked, alarm, ctx.Err())
	}
	if err := p.link.ready(); err != nil {
		return fmt.Errorf("%w: %w: %w", broker.ErrNotDelivered, err, ctx.Err())
	}
	return fmt.Errorf("%w: too many messages wait to be sent: %w", broker.ErrNotDelivered, ctx.Err())
}

func (p *publisher) closed(o *outgoing) error {
	if o.state.CompareAndSwap(waiting, abandoned) {
		return broker.ErrClosed
	}
	select {
	case err := <-o.done:
		return err
	default:
		return fmt.Errorf("%w before the message was confirmed: %w", broker.ErrClosed, broker.ErrUnknownOutcome)
	}
}

// alarm returns why the broker takes no messages, empty when it does.
func (p *publisher) alarm() string {
	s := p.link.now()
	if s == nil {
		return ""
	}
	free, alarm := s.unblocked()
	select {
	case <-free:
		return ""
	default:
		return cmp.Or(alarm, "no reason given")
	}
}

// limits returns what the broker takes, as far as it is known.
func (p *publisher) limits() limits {
	if ch := p.channel.Load(); ch != nil {
		return ch.session.limits()
	}
	return defaultLimits
}

// check refuses what would make the broker close the connection, and so harm
// other messages.
func (o *outgoing) check(l limits) error {
	var err error
	if o.headers == nil && len(o.msg.Headers) > 0 {
		if o.headers, err = wire.AppendTable(nil, o.msg.Headers); err != nil {
			return fmt.Errorf("%w: %w", broker.ErrInvalid, err)
		}
	}
	p := o.publishing()
	if err := p.Check(l.frame); err != nil {
		return fmt.Errorf("%w: %w", broker.ErrInvalid, err)
	}
	return o.fits(l)
}

// fits refuses what is larger than the broker takes.
func (o *outgoing) fits(l limits) error {
	most := maxMessage
	if o.received {
		most = math.MaxInt
	}
	if l.body > 0 {
		most = min(most, l.body)
	}
	if n := len(o.msg.Body); n > most {
		return fmt.Errorf("%w: the body has %d bytes, more than %d", broker.ErrInvalid, n, most)
	}
	p := o.publishing()
	if err := p.CheckHeaders(l.frame); err != nil {
		return fmt.Errorf("%w: %w", broker.ErrInvalid, err)
	}
	return nil
}

// run keeps a confirming channel open and writes until ctx ends.
func (p *publisher) run(ctx context.Context) {
	defer p.drain()
	defer close(p.gone)
	defer func() { endClosed(p.again) }()
	defer p.retired.Wait()
	var wait backoff
	for {
		s, err := p.link.await(ctx)
		if err != nil {
			return
		}
		ch, err := openConfirming(ctx, s)
		if err != nil {
			p.log.Warn("can't open a channel to publish, trying again", "error", err)
			if !wait.wait(ctx, 0, nil) {
				return
			}
			continue
		}
		opened := time.Now()
		ch = p.use(ctx, ch)
		p.set(nil)
		if ctx.Err() != nil {
			p.sendLast(ch)
		}
		p.again = append(ch.finish(), p.again...)
		wait.worked(opened)
		if ctx.Err() != nil {
			return
		}
	}
}

// use writes on ch until it or ctx ends. Another channel takes its place when it
// is worn, and that one's in turn. The last one is returned.
func (p *publisher) use(ctx context.Context, ch *confirming) *confirming {
	for {
		p.set(ch)
		p.write(ctx, ch)
		if ctx.Err() != nil || !ch.isWorn() {
			return ch
		}
		next, err := openConfirming(ctx, ch.session)
		if err != nil {
			return ch
		}
		p.log.Debug("messages were refused (nack), going on on a new channel")
		worn := ch
		p.retired.Go(func() { p.retire(ctx, worn) })
		ch = next
	}
}

// retire ends ch when what was sent on it is settled.
func (p *publisher) retire(ctx context.Context, ch *confirming) {
	ch.retire(ctx)
	again := ch.finish()
	if len(again) == 0 {
		return
	}
	select {
	case p.back <- again:
	case <-ctx.Done():
		endClosed(again)
	}
}

func endClosed(all []*outgoing) {
	for _, o := range all {
		o.end(fmt.Errorf("%w: %w", broker.ErrClosed, broker.ErrUnknownOutcome))
	}
}

// write sends messages until the channel or ctx ends, or the channel is worn.
func (p *publisher) write(ctx context.Context, ch *confirming) {
	for ch.waitForRoom(ctx) {
		o := p.next(ctx, ch)
		if o == nil {
			return
		}
		if o.state.Load() == sent || o.state.CompareAndSwap(waiting, sent) {
			if !ch.send(o) {
				o.state.Store(waiting)
				p.again = append([]*outgoing{o}, p.again...)
				return
			}
		}
	}
}

// sendLast sends what its caller takes for sent. All else in the queue ends as
// not sent.
func (p *publisher) sendLast(ch *confirming) {
	for {
		select {
		case o := <-p.queue:
			p.queued.Add(-1)
			if !o.state.CompareAndSwap(waiting, sent) {
				continue
			}
			if !o.unawaited || !ch.session.takes() || !ch.send(o) {
				o.state.Store(abandoned)
				o.end(broker.ErrClosed)
			}
		default:
			return
		}
	}
}

// next returns nil when the channel or ctx has ended, or the channel is worn.
func (p *publisher) next(ctx context.Context, ch *confirming) *outgoing {
	if len(p.again) > 0 {
		o := p.again[0]
		p.again = p.again[1:]
		return o
	}
	select {
	case o := <-p.queue:
		p.queued.Add(-1)
		return o
	case p.again = <-p.back:
		return p.next(ctx, ch)
	case <-ch.worn:
		return nil
	case <-ch.Done():
		return nil
	case <-ctx.Done():
		return nil
	}
}

func (p *publisher) set(ch *confirming) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.channel.Store(ch)
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *publisher) ready() error {
	if p.channel.Load() == nil {
		return errors.New("no channel to publish on")
	}
	return nil
}

// await returns when there is a channel to publish on.
func (p *publisher) await(ctx context.Context) error {
	for {
		p.mu.Lock()
		up, changed := p.channel.Load() != nil, p.changed
		p.mu.Unlock()
		if up {
			return nil
		}
		select {
		case <-changed:
		case <-p.gone:
			return broker.ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
