package enoki

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/enoki-go/enoki/broker"
)

// subscription is an event handler of a service.
type subscription struct {
	source, event string
	handler       string
	mode          broker.Mode
	broadcastID   string
	ephemeral     bool
	attempts      int
	first, last   time.Duration // between attempts
	inbox         Inbox
	orderBy       func(payload reflect.Value) string // nil for no order
	onError       errorPolicy
	payload       reflect.Type
	fn            Handler

	modes, policies []string // the options given that say mode and onError
	mistakes        []error
}

// errorPolicy says what becomes of an event whose handler fails.
type errorPolicy int

const (
	retryOnError errorPolicy = iota
	requeueOnError
	dropOnError
)

// defaultAttempts is how often an event is tried unless Retry says otherwise.
const defaultAttempts = 5

// Delays of events that are tried again.
const (
	firstDelay = time.Second
	lastDelay  = 5 * time.Minute
)

// SubscribeOption changes a subscription made by On.
type SubscribeOption func(*subscription)

// Broadcast delivers each event to every instance of the service that is
// there at that moment, instead of to one of them.
func Broadcast() SubscribeOption {
	return func(s *subscription) { s.mode, s.modes = broker.Broadcast, append(s.modes, "Broadcast") }
}

// BroadcastID is Broadcast that lasts: events are kept for the instance while
// it is not there, under an id that stays its own over restarts, such as the
// name of its host. Instances with the same id share its events. An id that
// never comes back leaves events behind that somebody has to delete on the
// broker.
func BroadcastID(id string) SubscribeOption {
	return func(s *subscription) {
		Broadcast()(s)
		s.broadcastID = id
		if !isBroadcastID(id) {
			s.mistakes = append(s.mistakes, fmt.Errorf("broadcast id %q: give 1 to 100 ASCII letters, digits, '_', '-' and '.'", id))
		}
	}
}

// Singleton delivers each event to one handler in the whole cluster, of
// whichever service.
func Singleton() SubscribeOption {
	return func(s *subscription) { s.mode, s.modes = broker.Singleton, append(s.modes, "Singleton") }
}

// Ephemeral loses the events that come while no instance is there: the broker
// forgets the subscription, with what waits for it, when the last instance that
// has it is gone. It is Nameko's reliable_delivery=False. A Broadcast is so
// anyway unless it has a BroadcastID.
func Ephemeral() SubscribeOption {
	return func(s *subscription) { s.ephemeral = true }
}

// Retry sets how often one event is tried at most, the first time included;
// 1 is never again. The default is 5. Between attempts lies a delay that
// doubles from 1 s to 5 min, with full jitter. An event whose last attempt
// fails is kept as a dead letter, and so is at once one whose handler panics or
// returns an error that is [Permanent] or has the code InvalidArgument.
func Retry(attempts int) SubscribeOption {
	return func(s *subscription) {
		s.onError, s.policies = retryOnError, append(s.policies, "Retry")
		s.attempts = attempts
	}
}

// Backoff sets the delays between attempts: at most first after the first
// attempt, twice as much after each further one, and never more than last, each
// time a random part of it. The default is Backoff(time.Second, 5*time.Minute).
func Backoff(first, last time.Duration) SubscribeOption {
	return func(s *subscription) {
		s.policies = append(s.policies, "Retry")
		s.first, s.last = first, last
		if first <= 0 || last < first {
			s.mistakes = append(s.mistakes, fmt.Errorf("Backoff(%v, %v): give a first delay above 0 and a last one that is no shorter", first, last))
		}
	}
}

// RequeueOnError has an event whose handler fails or panics delivered again at
// once, to any instance: Nameko's requeue_on_error=True. One that always fails
// keeps the service busy for ever, or, on a quorum queue of RabbitMQ with its
// limit of deliveries, for 20 times, and is a dead letter then; prefer Retry. An event
// that cannot be decoded, or whose error is [Permanent], is kept as a dead
// letter all the same.
func RequeueOnError() SubscribeOption {
	return func(s *subscription) { s.onError, s.policies = requeueOnError, append(s.policies, "RequeueOnError") }
}

// DropOnError forgets an event whose handler fails or panics, and one that
// cannot be decoded, and logs it as an error: Nameko's default.
func DropOnError() SubscribeOption {
	return func(s *subscription) { s.onError, s.policies = dropOnError, append(s.policies, "DropOnError") }
}

// Named gives the handler a name, which the broker knows the subscription by
// and which should stay the same over releases. The default is "on_" and the
// event's name.
func Named(handler string) SubscribeOption {
	return func(s *subscription) { s.handler = handler }
}

func (s *Service) subscribe(sub *subscription) error {
	if err := sub.check(); err != nil {
		return fmt.Errorf("event %s.%s: %w", sub.source, sub.event, err)
	}
	for _, other := range s.subscriptions {
		if other.source == sub.source && other.event == sub.event && other.handler == sub.handler {
			return fmt.Errorf("event %s.%s has two handlers named %q; name one with enoki.Named", sub.source, sub.event, sub.handler)
		}
	}
	s.subscriptions = append(s.subscriptions, sub)
	return nil
}

// check finds options that can't be meant.
func (sub *subscription) check() error {
	mistakes := append(sub.mistakes, checkName("handler", sub.handler))
	for _, given := range [][]string{sub.modes, sub.policies} {
		slices.Sort(given)
		if names := slices.Compact(given); len(names) > 1 {
			mistakes = append(mistakes, fmt.Errorf("enoki.%s exclude each other; give one of them", strings.Join(names, " and enoki.")))
		}
	}
	if sub.attempts < 1 {
		mistakes = append(mistakes, fmt.Errorf("Retry(%d) would never handle it; give it at least 1", sub.attempts))
	}
	if sub.ephemeral && sub.broadcastID != "" {
		mistakes = append(mistakes, errors.New("enoki.BroadcastID keeps events while the instance is away, enoki.Ephemeral loses them; give one of them"))
	}
	if sub.inbox != nil && sub.everyInstance() {
		mistakes = append(mistakes, errors.New("enoki.Once lets one instance handle an event, enoki.Broadcast all of them; give one of them, or a BroadcastID"))
	}
	return errors.Join(mistakes...)
}

func isBroadcastID(id string) bool {
	odd := func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-.", r)
	}
	return id != "" && len(id) <= 100 && !strings.ContainsFunc(id, odd)
}

// subscription is the subscription in the broker's words.
func (i *instance) subscription(sub *subscription) broker.Subscription {
	return broker.Subscription{
		Source: sub.source, Event: sub.event, Mode: sub.mode, Handler: sub.handler,
		Ephemeral: sub.ephemeral, BroadcastID: sub.broadcastID, OrderBy: i.order(sub),
		Handle: i.handler(sub), Fail: i.lost(sub),
	}
}

// unread says what becomes of an event that can't be decoded: another try
// would find the same.
func (sub *subscription) unread(kind string, err error) broker.Settlement {
	if sub.onError == dropOnError {
		return broker.Settlement{}
	}
	return broker.Settlement{Verdict: broker.Reject, Reason: err.Error(), Kind: kind}
}

// settle says what becomes of an event whose handler failed.
func (sub *subscription) settle(ctx context.Context, attempt int, err error) broker.Settlement {
	panicked := errors.Is(err, errPanic)
	switch {
	case !panicked && ctx.Err() != nil: // stopped at once: no fault of the event
		return broker.Settlement{Verdict: broker.HandBack}
	case sub.onError == dropOnError:
		return broker.Settlement{}
	case sub.onError == requeueOnError && !isPermanent(err):
		return broker.Settlement{Verdict: broker.HandBack, Reason: textOf(err), Kind: kindOf(err)}
	case panicked, isPermanent(err), CodeOf(err) == InvalidArgument, attempt >= sub.attempts:
		return broker.Settlement{Verdict: broker.Reject, Reason: textOf(err), Kind: kindOf(err)}
	}
	return broker.Settlement{Verdict: broker.Retry, Delay: sub.backoff(attempt)}
}

// lost says what becomes of an event whose handler did not return: one that
// ended its goroutine is one that panicked; another try of one that ends its
// process would end the next process.
func (sub *subscription) lost(attempt int, err error) broker.Settlement {
	switch {
	case sub.onError == dropOnError:
		return broker.Settlement{}
	case errors.Is(err, broker.ErrNoOutcome):
		return broker.Settlement{Verdict: broker.Reject, Reason: err.Error(), Kind: broker.KindNoOutcome}
	}
	return sub.settle(context.Background(), attempt, &Error{Code: Internal, Message: err.Error(), cause: errPanic})
}

// backoff returns the delay after an attempt, with full jitter, so that what
// failed together does not come back together.
func (sub *subscription) backoff(attempt int) time.Duration {
	delay := sub.first
	for range attempt - 1 {
		if delay >= sub.last/2 {
			delay = sub.last
			break
		}
		delay *= 2
	}
	return rand.N(delay) + 1
}
