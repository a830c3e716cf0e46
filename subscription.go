package enoki

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/contract"
)

// On declares a handler for an event. It is a [Subscription] with all defaults:
// each event goes to one instance of the service, waits while none runs, and
// gets up to 5 attempts.
func On[T any](ev Event[T], fn func(ctx context.Context, payload T) error) Part {
	return Subscription[T]{Event: ev, Handle: fn}
}

// Subscription declares a handler for an event. Event and Handle must be set;
// all other fields are optional. Check of the service returns all mistakes of
// the declaration at once.
type Subscription[T any] struct {
	Event Event[T]

	// Handle handles one event. The event is done when Handle returns nil. An event
	// that can't be decoded, or whose handler panics, becomes a dead letter at
	// once, unless OnError says otherwise. Handle is called concurrently.
	Handle func(ctx context.Context, payload T) error

	// Name identifies the subscription on the broker, together with the name of the
	// service. It should stay the same over releases. It has ASCII letters, digits,
	// '_', '-' and single dots; it begins with a letter or '_'. Default: "on_" and
	// the name of the event.
	Name string

	// Delivery says which instances get an event: a [Pool], [Broadcast] or
	// [Singleton]. Default: Pool{}.
	Delivery Delivery

	// OnError says what happens to an event whose handler fails: a [Retry],
	// [Requeue] or [Drop]. Default: Retry{}.
	OnError ErrorPolicy

	// OrderBy returns the key of an event. Events with the same key are handled one
	// after another, in the order in which they were emitted. This holds over all
	// instances of the service, and over retries and restarts. Events with
	// different keys are handled concurrently. One active instance gets all events,
	// up to [broker.Window] ahead. Another instance takes over when it leaves or
	// dies. An event whose handler fails holds back the events with the same key
	// until it succeeds or becomes a dead letter, so keep its attempts few. OrderBy
	// may be called twice for one event and must not block. Events that can't be
	// decoded have the key "". Default: nil, which means no order.
	OrderBy func(payload T) string

	// Once is an inbox that lets Handle run once for each message id, for as long
	// as the inbox remembers the id. If an event comes again, or was emitted again
	// with the same id, it is done at once. A Broadcast needs an ID for this,
	// because all its instances handle the same event. Default: nil, which means no
	// inbox.
	Once Inbox
}

// Delivery says which instances get an event. It is a [Pool], [Broadcast] or
// [Singleton].
type Delivery interface {
	deliver(sub *subscription)
}

// Pool delivers each event to one instance of the service. It keeps events
// while no instance runs.
type Pool struct {
	// Ephemeral makes the broker forget the subscription and its waiting events
	// when its last instance is gone. Events that come while no instance runs are
	// lost. It is Nameko's reliable_delivery=False. Default: false.
	Ephemeral bool
}

func (p Pool) deliver(sub *subscription) { sub.mode, sub.ephemeral = broker.Pool, p.Ephemeral }

// Singleton delivers each event to one handler in the whole cluster, of any
// service.
type Singleton struct {
	// Ephemeral is that of Pool. Default: false.
	Ephemeral bool
}

func (s Singleton) deliver(sub *subscription) {
	sub.mode, sub.ephemeral = broker.Singleton, s.Ephemeral
}

// Broadcast delivers each event to every instance of the service that runs at
// that moment.
type Broadcast struct {
	// ID makes the broker keep events for an instance while it is away. An instance
	// must have the same id after a restart; its host name is an example. An id has
	// 1 to 100 ASCII letters, digits, '_', '-' and '.'. Instances with the same id
	// share its events. If an id never comes back, somebody has to delete its
	// events on the broker. Default: none, which means that events are lost while
	// the instance is away.
	ID string
}

func (b Broadcast) deliver(sub *subscription) {
	sub.mode, sub.broadcastID = broker.Broadcast, b.ID
	if b.ID != "" && !isBroadcastID(b.ID) {
		sub.mistake("broadcast id %q: give 1 to 100 ASCII letters, digits, '_', '-' and '.'", b.ID)
	}
}

func isBroadcastID(id string) bool {
	odd := func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-.", r)
	}
	return id != "" && len(id) <= 100 && !strings.ContainsFunc(id, odd)
}

// Inbox remembers what has been done, so that it is done only once. Package
// inbox has one in memory. Once may be called concurrently.
type Inbox interface {
	// Once runs do, unless do has returned nil for the same key before. In that
	// case it returns nil at once. While do runs for a key, other calls with the
	// key wait until it returns or their ctx ends. If do fails, Once returns its
	// error and remembers nothing.
	//
	// An inbox with transactions begins one and gives it to do in the context. It
	// stores the key in the same transaction. The key and everything that do has
	// written there are therefore stored together or not at all.
	Once(ctx context.Context, key string, do func(ctx context.Context) error) error
}

// subscription is a Subscription without its type parameter.
type subscription struct {
	source, event string
	handler       string
	mode          broker.Mode
	broadcastID   string
	ephemeral     bool
	policy        policy
	attempts      int
	first, last   time.Duration // between attempts
	inbox         Inbox
	orderBy       func(payload any) string // nil means no order
	payload       reflect.Type
	fn            Handler

	mistakes []error
}

func (s Subscription[T]) declare(service *Service) error {
	sub := &subscription{
		source: s.Event.Source, event: s.Event.Name, handler: s.Name, inbox: s.Once, payload: reflect.TypeFor[T](),
		mistakes: []error{s.Event.check()},
	}
	if s.Handle == nil {
		sub.mistake("it has no handler function")
	}
	sub.fn = func(ctx context.Context, c *Call) error {
		payload, _ := c.in[0].Interface().(T)
		return s.Handle(ctx, payload)
	}
	if s.OrderBy != nil {
		sub.orderBy = func(payload any) string {
			p, _ := payload.(T)
			return s.OrderBy(p)
		}
	}
	sub.complete(s.Delivery, s.OnError)
	return service.subscribe(sub)
}

func (sub *subscription) mistake(format string, a ...any) {
	sub.mistakes = append(sub.mistakes, fmt.Errorf(format, a...))
}

// complete sets the defaults of sub and finds the mistakes of the declaration.
func (sub *subscription) complete(delivery Delivery, onError ErrorPolicy) {
	if sub.handler == "" {
		sub.handler = "on_" + sub.event
	} else if err := contract.CheckName("handler", sub.handler); err != nil {
		sub.mistakes = append(sub.mistakes, err)
	}
	if delivery == nil {
		delivery = Pool{}
	}
	if onError == nil {
		onError = Retry{}
	}
	if isNil(delivery) {
		sub.mistake("Delivery is a nil %T; give a value, or leave it out", delivery)
	} else {
		delivery.deliver(sub)
	}
	if isNil(onError) {
		sub.mistake("OnError is a nil %T; give a value, or leave it out", onError)
	} else {
		onError.onError(sub)
	}
	switch {
	case sub.inbox == nil:
	case isNil(sub.inbox):
		sub.mistake("Once is a nil %T and has nothing to remember with; give it an inbox, or leave it out", sub.inbox)
	case sub.everyInstance():
		sub.mistake("Once lets one instance handle an event, a Broadcast all of them; leave out one of them, or give the Broadcast an ID")
	}
}

func (s *Service) subscribe(sub *subscription) error {
	if err := errors.Join(sub.mistakes...); err != nil {
		return fmt.Errorf("event %s.%s: %w", sub.source, sub.event, err)
	}
	for _, other := range s.subscriptions {
		if other.source == sub.source && other.event == sub.event && other.handler == sub.handler {
			return fmt.Errorf("event %s.%s has two handlers named %q; give one another Name", sub.source, sub.event, sub.handler)
		}
	}
	s.subscriptions = append(s.subscriptions, sub)
	return nil
}

// subscription describes sub to the broker.
func (i *instance) subscription(sub *subscription) broker.Subscription {
	return broker.Subscription{
		Source: sub.source, Event: sub.event, Mode: sub.mode, Handler: sub.handler,
		Ephemeral: sub.ephemeral, BroadcastID: sub.broadcastID, OrderBy: i.order(sub),
		Handle: i.handler(sub), Fail: i.lost(sub),
	}
}

// order returns the function that gives a driver the key of an event. It is nil
// if the subscription has no order.
func (i *instance) order(sub *subscription) func(m *broker.Message) string {
	if sub.orderBy == nil {
		return nil
	}
	return func(m *broker.Message) (key string) {
		// A goroutine of its own protects the driver's goroutine: if the key function
		// ended that one, all other messages would stop.
		err := apart(func() error {
			payload, _, err := i.payload(sub, m)
			if err != nil {
				return nil // its key is empty
			}
			return i.safely("OrderBy", func() error { key = sub.orderBy(payload.Interface()); return nil })
		})
		if err != nil {
			i.log.Error("an event has no key, it gets the empty one", "event", sub.source+"."+sub.event, "id", m.ID, "error", err)
		}
		return key
	}
}

// once wraps the handler in the inbox, if there is one.
func (sub *subscription) once(service string) Handler {
	if sub.inbox == nil {
		return sub.fn
	}
	prefix := fmt.Sprintf("%s.%s/%s.%s/", service, sub.handler, sub.source, sub.event)
	if sub.broadcastID != "" {
		prefix += sub.broadcastID + "/"
	}
	return func(ctx context.Context, c *Call) error {
		return sub.inbox.Once(ctx, prefix+MessageID(ctx), func(ctx context.Context) error { return sub.fn(ctx, c) })
	}
}

// everyInstance reports whether all instances handle an event under the same
// name.
func (sub *subscription) everyInstance() bool {
	return sub.mode == broker.Broadcast && sub.broadcastID == ""
}
