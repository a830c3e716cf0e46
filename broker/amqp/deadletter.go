package amqp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
	"github.com/enoki-go/enoki/internal/uuid"
)

// Headers of a dead letter, beside those it had.
const (
	headerID       = ownPrefix + "id"
	headerService  = ownPrefix + "service"
	headerHandler  = ownPrefix + "handler"
	headerSource   = ownPrefix + "source"
	headerEvent    = ownPrefix + "event"
	headerKind     = ownPrefix + "kind"
	headerReason   = ownPrefix + "reason"
	headerDied     = ownPrefix + "died" // RFC 3339
	headerAttempts = ownPrefix + "attempts"
	headerQueue    = ownPrefix + "queue"  // where it came from; a call has its exchange and routing key
	headerPacked   = ownPrefix + "packed" // how many bytes of the body are the headers of the message
)

// Kinds of dead letters that no handler made.
const (
	kindUnroutable = "unroutable" // it fell out of a queue of events that wait and says not where it goes
	kindTooLarge   = "too_large"  // what a retry adds to its headers has no room
)

// headerRevived says how often a message was retried as a dead letter. It
// stays with the message, and so does headerFirst.
const headerRevived = ownPrefix + "revived"

// lettersOnly are the headers that a message loses when it is retried.
var lettersOnly = []string{
	headerID, headerService, headerHandler, headerSource, headerEvent, headerKind, headerReason, headerDied,
	headerAttempts, headerQueue, headerAttempt, headerPacked,
	headerNoted, headerStart, headerHeld, headerRequeued,
	headerLeft, headerDeadline,
}

const (
	// maxReason and maxKind are how much of a reason and of a kind is kept, in
	// bytes: headers share one frame of 128 KiB.
	maxReason = 8 << 10
	maxKind   = 256

	// lockPause is the time between two looks whether somebody else has done
	// with the dead letters.
	lockPause = 50 * time.Millisecond

	// lockPatience is how many looks it takes until the log tells that.
	lockPatience = 40

	// keptPause is the time between two looks whether letters are there again,
	// and keptPatience how long that is looked at.
	keptPause    = 5 * time.Millisecond
	keptPatience = 5 * time.Second
)

// dead is the queue of the dead letters of all services.
var dead = queue{name: "enoki.dead"}

// deadLock is the queue that one who loops over the dead letters has alone,
// because nobody else could see those in his hand. It goes with its connection.
const deadLock = "enoki.dead.lock"

// cut returns valid text of at most limit bytes.
func cut(text string, limit int) string {
	return strings.ToValidUTF8(text[:min(len(text), limit)], "")
}

// bury keeps the message of d as a dead letter and acks it then. One with a
// queue goes back there when it is retried, any other to its exchange.
func (m *member) bury(d *delivery, queueName string, l broker.DeadLetter) {
	l.ID, l.Died = uuid.Short(), time.Now()
	l.Service, l.Attempts = m.service.Name, attemptOf(d.Headers)
	l.First, l.Revived = firstOf(d), revivedOf(d.Headers)
	l.Kind, l.Reason = cut(l.Kind, maxKind), cut(l.Reason, maxReason)
	l.Message = message(&d.Delivery)
	msg := copyOf(d)
	dropSuspicion(msg.Headers)
	for header, value := range map[string]any{
		headerID: l.ID, headerService: l.Service, headerHandler: l.Handler, headerSource: l.Source, headerEvent: l.Event,
		headerKind: l.Kind, headerReason: l.Reason, headerAttempts: int32(l.Attempts), headerQueue: queueName,
		headerDied: l.Died.UTC().Format(time.RFC3339Nano), headerFirst: l.First.UTC().Format(time.RFC3339Nano),
	} {
		msg.Headers[header] = value
	}
	keepRoute(msg.Headers, d)
	o := &outgoing{key: dead.name, mandatory: true, repeatable: true, received: true, msg: msg}
	if errors.Is(o.check(m.driver.publisher.limits()), broker.ErrInvalid) {
		o.msg, o.headers = packed(msg), nil
	}
	err := m.publishTo(d, m.driver.lasting(dead), o)
	if errors.Is(err, broker.ErrInvalid) { // the broker takes less than when it got the message
		o.msg, o.headers = stripped(msg), nil
		err = m.publishTo(d, m.driver.lasting(dead), o)
	}
	if m.replaced(d, err) && m.service.Buried != nil {
		m.service.Buried(l)
	}
}

// isAboutLetter tells whether a header is of the letter and not of the message.
func isAboutLetter(header string) bool {
	return strings.HasPrefix(header, ownPrefix) || header == headerCompression
}

// packed returns a dead letter whose message has too large headers to have more
// beside them: they go before the body.
func packed(msg wire.Message) wire.Message {
	own, others := wire.Table{}, wire.Table{}
	for k, v := range msg.Headers {
		if isAboutLetter(k) {
			own[k] = v
		} else {
			others[k] = v
		}
	}
	headers, err := wire.AppendTable(nil, others)
	if err != nil {
		return msg // for check to say so
	}
	own[headerPacked] = int64(len(headers))
	msg.Headers, msg.Body = own, slices.Concat(headers, msg.Body)
	return msg
}

// unpack has d as it was before packed.
func unpack(d *wire.Delivery) {
	n, ok := valueOf(d.Headers[headerPacked]).(int64)
	if !ok || n < 0 || n > int64(len(d.Body)) {
		return
	}
	headers, err := wire.DecodeTable(d.Body[:n])
	if err != nil {
		return
	}
	for k, v := range d.Headers {
		if isAboutLetter(k) {
			headers[k] = v
		}
	}
	delete(headers, headerPacked)
	d.Headers, d.Body = headers, d.Body[n:]
}

// stripped returns what can be kept of a dead letter that the broker does not
// take as it is.
func stripped(msg wire.Message) wire.Message {
	own := wire.Table{}
	for k, v := range msg.Headers {
		if strings.HasPrefix(k, ownPrefix) {
			own[k] = v
		}
	}
	own[headerReason] = cut(fmt.Sprintf("its body of %d bytes and its headers could not be kept, the broker takes less; %v", len(msg.Body), own[headerReason]), maxReason)
	msg.Headers, msg.Body = own, nil
	return msg
}

// DeadLetters implements [broker.Broker]. While a loop runs, those of others
// wait for its end: RabbitMQ shows a message to one reader at a time.
func (d *Driver) DeadLetters(ctx context.Context, f broker.DeadLetterFilter) iter.Seq2[*broker.HeldLetter, error] {
	return func(yield func(*broker.HeldLetter, error) bool) {
		err := d.readDead(ctx, f, func(l *broker.HeldLetter) bool { return yield(l, nil) })
		if err != nil {
			yield(nil, err)
		}
	}
}

func (d *Driver) readDead(ctx context.Context, f broker.DeadLetterFilter, yield func(*broker.HeldLetter) bool) error {
	if err := d.open(ctx); err != nil {
		return err
	}
	s, unlock, err := d.lockDead(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := d.declare(ctx, d.lasting(dead)); err != nil {
		return err
	}
	ch, err := s.Channel(ctx)
	if err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	// Whatever the channel has got and not acked goes back, in its order.
	defer s.leave(ch) // when the loop panics
	r := &deadReader{driver: d, ch: ch, filter: f}
	err = r.read(ctx, yield)
	r.renewing.Wait()
	_ = ch.NackAll()                             // before the answer to Close: the end of a channel gives a quorum queue back only what it notices later
	if closeErr := ch.Close(d.ctx); err == nil { // the broker has read all acks then
		err = closeErr
	}
	d.awaitKept(s, r.kept)
	if gone, ok := errors.AsType[*wire.Error](err); ok && gone.Code == wire.NotFound {
		d.undeclare(d.lasting(dead))
		return nil // somebody has deleted them all
	}
	if err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	return nil
}

// awaitKept returns when so many dead letters are there, for the next loop would
// miss what a quorum queue has not taken back yet. Somebody may have removed some
// meanwhile, so it does not wait for long.
func (d *Driver) awaitKept(s *session, kept int) {
	if kept == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(d.ctx, keptPatience)
	defer cancel()
	ch, err := s.Channel(ctx)
	if err != nil {
		return // the link is lost, and it goes back with that
	}
	defer s.leave(ch) // a refusal has closed it already
	for ; ctx.Err() == nil; time.Sleep(keptPause) {
		if state, err := ch.FindQueue(ctx, dead.wire()); err != nil || state.Messages >= kept {
			return
		}
	}
}

// lockDead waits until nobody else reads dead letters.
func (d *Driver) lockDead(ctx context.Context) (s *session, unlock func(), err error) {
	select {
	case d.reading <- struct{}{}: // the broker tells connections apart, not loops
	case <-ctx.Done():
		return nil, nil, fmt.Errorf("this program reads dead letters already: %w", ctx.Err())
	}
	defer func() {
		if err != nil {
			<-d.reading
		}
	}()
	for looks := 0; ; looks++ {
		if looks == lockPatience {
			d.log.Warn("somebody else reads the dead letters; waiting until that is done", "queue", deadLock)
		}
		if s, err = d.consuming.await(ctx); err != nil {
			return nil, nil, err
		}
		ch, err := s.Channel(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("read dead letters: %w", err)
		}
		err = ch.DeclareQueue(ctx, wire.Queue{Name: deadLock, Exclusive: true})
		if err == nil {
			return s, func() {
				s.politely(func(ctx context.Context) {
					_ = ch.DeleteQueue(ctx, deadLock, false) // if not, it goes with the connection
					_ = ch.Close(ctx)
				})
				<-d.reading
			}, nil
		}
		s.leave(ch)
		if taken, ok := errors.AsType[*wire.Error](err); !ok || taken.Code != wire.ResourceLocked {
			return nil, nil, fmt.Errorf("declare queue %q: %w", deadLock, err)
		}
		select {
		case <-time.After(lockPause):
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("somebody else reads the dead letters: %w", ctx.Err())
		}
	}
}

// deadReader is one loop over the dead letters. All of them stay on its
// channel, unacked, until the channel is closed.
type deadReader struct {
	driver *Driver
	ch     *wire.Channel
	filter broker.DeadLetterFilter

	renewing sync.WaitGroup // letters that are published anew
	kept     int            // letters that were looked at and stay
}

// read gets the letters that are there now, one by one. How many there are says
// the first one: what a declaration says of a quorum queue is 0 when its leader
// is busy.
func (r *deadReader) read(ctx context.Context, yield func(*broker.HeldLetter) bool) error {
	wanted := slices.Clone(r.filter.IDs)
	seen := map[string]bool{}
	for n, there := 0, 1; n < there; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		got, left, err := r.ch.Get(ctx, dead.name)
		if err != nil || got == nil {
			return err
		}
		if n == 0 {
			there += left
		}
		asItIs := *got
		held, settled := r.hold(got)
		if seen[held.ID] { // its confirm was lost, and so it was sent twice
			if err := got.Ack(); err != nil {
				return err
			}
			continue
		}
		seen[held.ID] = got.Headers[headerID] != nil
		goOn := true
		if r.filter.Picks(&held.DeadLetter) {
			goOn = yield(held)
		}
		if !*settled {
			r.kept++
			r.renew(&asItIs)
		}
		if !goOn {
			return nil
		}
		wanted = slices.DeleteFunc(wanted, func(id string) bool { return id == held.ID })
		if len(r.filter.IDs) > 0 && len(wanted) == 0 {
			return nil
		}
	}
	return nil
}

// letter reads a dead letter, which is d as it was before packed then. One that
// can't be read says so.
func (r *deadReader) letter(d *wire.Delivery) (l broker.DeadLetter) {
	var failed error
	func() {
		defer guard(r.driver.log, "a dead letter", &failed)
		unpack(d)
		l = deadLetter(d)
	}()
	if failed != nil {
		l = broker.DeadLetter{ID: foreignID(d), Kind: broker.KindUnreadable, Reason: failed.Error(),
			Message: &broker.Message{ID: d.MessageID, ContentType: d.ContentType, Body: d.Body, Attempt: 1}}
	}
	return l
}

func (r *deadReader) hold(d *wire.Delivery) (held *broker.HeldLetter, settled *bool) {
	held = &broker.HeldLetter{DeadLetter: r.letter(d)}
	settled = new(bool) // by one of the two
	once := func(do func() error) error {
		if *settled {
			return broker.ErrGone
		}
		err := do()
		*settled = err == nil
		return err
	}
	held.Retry = func(ctx context.Context) error {
		return once(func() error { return r.retry(ctx, d, &held.DeadLetter) })
	}
	held.Discard = func(ctx context.Context) error {
		return once(func() error { return r.discard(ctx, d, held.ID) })
	}
	return held, settled
}

// inHand fails when the letters in hand have gone back, or are to stay.
func (r *deadReader) inHand(ctx context.Context) error {
	err := r.driver.open(ctx)
	if err == nil && r.ch.Err() != nil {
		err = fmt.Errorf("%w: the link was lost, or the loop is over; it is still there", broker.ErrNotDelivered)
	}
	return err
}

func (r *deadReader) discard(ctx context.Context, d *wire.Delivery, id string) error {
	err := r.inHand(ctx)
	if err == nil {
		err = d.Ack()
	}
	if err != nil {
		return fmt.Errorf("discard dead letter %s: %w", id, err)
	}
	return nil
}

// retry publishes a dead letter to where it came from and then acks it.
func (r *deadReader) retry(ctx context.Context, d *wire.Delivery, l *broker.DeadLetter) error {
	what := fmt.Sprintf("retry dead letter %s of %s.%s", l.ID, l.Service, l.Handler)
	if err := r.inHand(ctx); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	o, err := revive(d, l)
	if err == nil && o.check(r.driver.publisher.limits()) != nil {
		o.headers = nil
		maps.DeleteFunc(o.msg.Headers, func(k string, _ any) bool { return strings.HasPrefix(k, ownPrefix) }) // its own leave no room
	}
	if err == nil {
		err = r.driver.publisher.publish(ctx, o)
	}
	if errors.Is(err, errNoRoute) {
		return fmt.Errorf("%s: %w: its queue is not there any more; discard it, or start the service that has it", what, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := d.Ack(); err != nil {
		return fmt.Errorf("%s: it went back, but is still there: %w: %w", what, broker.ErrUnknownOutcome, err)
	}
	return nil
}

// revive makes the message that goes back: an event straight to its queue, a
// call by its exchange, for who serves it reads the method from the routing
// key.
func revive(d *wire.Delivery, l *broker.DeadLetter) (*outgoing, error) {
	o := &outgoing{key: textOf(d, headerQueue), mandatory: true, repeatable: true, received: true, msg: copyOf(&delivery{Delivery: *d})}
	if o.key == "" && isUnroutable(d) {
		o.exchange, o.key = textOf(d, headerLater), d.RoutingKey
		if o.exchange == "" {
			return nil, fmt.Errorf("%w: it does not say which exchange it waited for", broker.ErrInvalid)
		}
	} else if o.key == "" {
		o.exchange, o.key = textOf(d, headerExchange), textOf(d, headerRoutingKey)
	}
	if o.key == "" {
		return nil, fmt.Errorf("%w: it does not say where it came from", broker.ErrNotDelivered)
	}
	for _, header := range lettersOnly {
		delete(o.msg.Headers, header)
	}
	o.msg.Headers[headerRevived] = int32(l.Revived + 1)
	if was := message(d); was.ContentType != l.Message.ContentType || !bytes.Equal(was.Body, l.Message.Body) {
		o.msg.Body, o.msg.ContentType, o.msg.ContentEncoding = l.Message.Body, l.Message.ContentType, encodingOf(l.Message.ContentType)
		delete(o.msg.Headers, headerCompression)
	}
	return o, nil
}

func textOf(d *wire.Delivery, header string) string {
	s, _ := d.Headers[header].(string) // somebody else may publish there
	return s
}

func deadLetter(d *wire.Delivery) broker.DeadLetter {
	m := message(d)
	m.Redelivered = false // a dead letter is one by being looked at
	l := broker.DeadLetter{
		ID:      textOf(d, headerID),
		Service: textOf(d, headerService), Handler: textOf(d, headerHandler),
		Source: textOf(d, headerSource), Event: textOf(d, headerEvent),
		Kind: textOf(d, headerKind), Reason: textOf(d, headerReason),
		Revived: revivedOf(d.Headers), Message: m,
	}
	l.Attempts = int(countOf(d.Headers[headerAttempts]))
	l.Died, _ = time.Parse(time.RFC3339Nano, textOf(d, headerDied))
	l.First, _ = time.Parse(time.RFC3339Nano, textOf(d, headerFirst))
	if isUnroutable(d) {
		l.Kind, l.Attempts, l.Source = kindUnroutable, attemptOf(d.Headers), strings.TrimSuffix(textOf(d, headerLater), ".events")
		l.Event, l.Reason = d.RoutingKey, fmt.Sprintf("exchange %q, where events wait that are due later, leads it nowhere", d.Exchange)
	}
	if l.ID == "" {
		l.ID = foreignID(d)
	}
	return l
}

// foreignID returns the id of a dead letter that says none, of a foreign sender.
func foreignID(d *wire.Delivery) string {
	sum := sha256.Sum256(slices.Concat([]byte(d.MessageID), []byte(d.CorrelationID), d.Body))
	return hex.EncodeToString(sum[:6])
}

// isUnroutable tells whether a letter is what no exchange led on from a queue of
// events that wait.
func isUnroutable(d *wire.Delivery) bool {
	return d.Headers[headerID] == nil && (strings.HasPrefix(d.Exchange, laterExchange) || strings.HasPrefix(d.Exchange, oldLaterExchange))
}

// revivedOf returns how often a message was retried as a dead letter.
func revivedOf(headers wire.Table) int {
	return int(countOf(headers[headerRevived]))
}
