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

// On declares a handler for an event. It is short for a [Subscription] of
// which nothing else is said: each event goes to one instance of the service,
// waits while none is there, and is tried 5 times.
func On[T any](ev Event[T], fn func(ctx context.Context, payload T) error) Part {
	return Subscription[T]{Event: ev, Handle: fn}
}

// Subscription declares a handler for an event. Only Event and Handle must be
// set. What can't be meant is reported by Check of the service, all of it at
// once.
type Subscription[T any] struct {
	Event Event[T]

	// Handle handles one event, which is done when it returns nil. An event
	// that can't be decoded, and one whose handler panics, becomes a dead
	// letter at once unless OnError says otherwise. It runs concurrently.
	Handle func(ctx context.Context, payload T) error

	// Name is what the broker knows the subscription by, together with the name
	// of the service; it should stay the same over releases. It is made of
	// ASCII letters, digits, '_' and '-', a letter first. Default: "on_" and
	// the name of the event.
	Name string

	// Delivery says which instances get one event: a [Pool], [Broadcast] or
	// [Singleton]. Default: Pool{}.
	Delivery Delivery

	// OnError says what becomes of an event whose handler fails: a [Retry],
	// [Requeue] or [Drop]. Default: Retry{}.
	OnError ErrorPolicy

	// OrderBy returns the key of an event. Events of one key are handled one
	// after the other, in the order in which they were emitted, over all
	// instances of the service and over retries and restarts; events of
	// different keys are handled side by side. One instance is the active one
	// and gets them all, up to [broker.Window] ahead; another one takes over
	// when it leaves or dies. An event whose handler fails holds back those of
	// its key until it succeeds or becomes a dead letter, so keep its attempts
	// few. OrderBy may be called twice for one event and must not block. Events
	// that can't be decoded have the key "". Default: nil, no order.
	OrderBy func(payload T) string

	// Once has Handle run once for each message id, as far as the inbox
	// remembers: an event that comes again, or was emitted again with the same
	// id, is done at once. A Broadcast needs an ID for it, as all its instances
	// handle the same event. Default: nil, no inbox.
	Once Inbox
}

// Delivery says which instances get one event: it is a [Pool], [Broadcast] or
// [Singleton].
type Delivery interface {
	deliver(sub *subscription)
}

// Pool delivers each event to one instance of the service, and keeps it while
// none is there.
type Pool struct {
	// Ephemeral loses the events that come while no instance is there: the
	// broker forgets the subscription, with what waits for it, when the last
	// instance that has it is gone. It is Nameko's reliable_delivery=False.
	// Default: false.
	Ephemeral bool
}

func (p Pool) deliver(sub *subscription) { sub.mode, sub.ephemeral = broker.Pool, p.Ephemeral }

// Singleton delivers each event to one handler in the whole cluster, of
// whichever service.
type Singleton struct {
	// Ephemeral is that of Pool.
	Ephemeral bool
}

func (s Singleton) deliver(sub *subscription) {
	sub.mode, sub.ephemeral = broker.Singleton, s.Ephemeral
}

// Broadcast delivers each event to every instance of the service that is there
// at that moment.
type Broadcast struct {
	// ID keeps events for the instance while it is not there, under an id that
	// stays its own over restarts, such as the name of its host: 1 to 100 ASCII
	// letters, digits, '_', '-' and '.'. Instances with the same id share its
	// events. An id that never comes back leaves events behind that somebody
	// has to delete on the broker. Default: none, and events that come while
	// the instance is not there are lost.
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

// Inbox remembers what was done, so that it is done once. Package inbox has
// one in memory. Its method may be called concurrently.
type Inbox interface {
	// Once runs do, unless it has returned nil for the same key before: then
	// it returns nil at once. While do runs for the key, others with the key
	// wait, until ctx ends. When do fails, its error is Once's, and nothing is
	// remembered.
	//
	// An inbox with transactions begins one, gives it to do in its context and
	// remembers the key in it, so that what do has written there and the key
	// are stored together or not at all.
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
	orderBy       func(payload any) string // nil for no order
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

// complete fills what sub has by default and finds what can't be meant.
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

// subscription is the subscription in the broker's words.
func (i *instance) subscription(sub *subscription) broker.Subscription {
	return broker.Subscription{
		Source: sub.source, Event: sub.event, Mode: sub.mode, Handler: sub.handler,
		Ephemeral: sub.ephemeral, BroadcastID: sub.broadcastID, OrderBy: i.order(sub),
		Handle: i.handler(sub), Fail: i.lost(sub),
	}
}

// order returns the function by which a driver knows the key of an event of
// sub; nil without an order.
func (i *instance) order(sub *subscription) func(m *broker.Message) string {
	if sub.orderBy == nil {
		return nil
	}
	return func(m *broker.Message) (key string) {
		// In a goroutine of its own: what a key function does to that of its
		// driver would reach all other messages.
		err := apart(func() error {
			payload, _, err := i.payload(sub, m)
			if err != nil {
				return nil // it has the empty key
			}
			return i.safely("OrderBy", func() error { key = sub.orderBy(payload.Interface()); return nil })
		})
		if err != nil {
			i.log.Error("an event has no key, it gets the empty one", "event", sub.source+"."+sub.event, "id", m.ID, "error", err)
		}
		return key
	}
}

// once puts the inbox, if there is one, around fn.
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

// everyInstance tells whether all instances handle one event, under the same
// name.
func (sub *subscription) everyInstance() bool {
	return sub.mode == broker.Broadcast && sub.broadcastID == ""
}
