// Package broker says what Enoki asks of a message broker, in Enoki's words:
// a service joins, takes calls and events, and leaves; a client calls and
// emits. Exchanges, queues, subjects and streams are a driver's own business
// and never show here. Drivers live in the packages below this one, and
// package brokertest proves that a driver keeps what is promised here.
//
// The bodies of messages are opaque to a driver; package enoki encodes them.
package broker

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// Broker is a link to a message broker. Its methods may be called
// concurrently. A Broker recovers a lost link by itself, for ever, with full
// jitter between 100 ms and 30 s, and re-attaches every service that joined.
type Broker interface {
	// Call sends a request to one instance of service and waits for its
	// reply, or until ctx ends; ctx should carry a deadline. When ctx ends
	// first, the instance that has the request is told so, as far as it can
	// be reached, and the context of its handler is cancelled; a request that
	// still waits for a free worker is not run then. It is known by its
	// Message.ID, so another call needs another one.
	//
	// A request with Message.Instance goes to that instance alone, past the
	// queue of its service: the error is ErrUnknownService at once when the
	// instance is not there. One that is Message.OneWay has no reply: Call
	// returns nil and nil as soon as the broker has stored the request, or an
	// instance has started it where the broker stores none.
	//
	// The error is ErrInvalid, ErrUnknownService, ErrNotDelivered, ErrUnknownOutcome,
	// ErrBlocked, ErrClosed or the error of ctx, to be told by errors.Is.
	Call(ctx context.Context, service, method string, req *Message) (*Message, error)

	// Emit publishes an event of the service source. A nil error means that
	// the broker has stored it for every subscription that exists and lasts,
	// whether or not an instance is there to handle it. An event that nobody
	// subscribes to is dropped, and that is no error. An event that is due
	// later is stored at once, and delivered to the subscriptions that are
	// there when it is due.
	//
	// The error is ErrInvalid, ErrNotDelivered, ErrUnknownOutcome, ErrBlocked,
	// ErrClosed or the error of ctx. After ErrUnknownOutcome the event may be emitted
	// again with the same Message.ID: a broker that remembers ids drops what
	// it has got within the last two minutes.
	Emit(ctx context.Context, source, event string, m *Message) error

	// CheckEvent returns the ErrInvalid that Emit would return for the event,
	// or nil. It asks nobody and does not wait, so it serves those who keep
	// events until the broker can take them. A limit that an operator lowers
	// later is not known to it.
	CheckEvent(source, event string, m *Message) error

	// Join attaches a service instance and returns when the broker has
	// confirmed every one of its consumers, or when ctx ends. A setting that
	// the broker refuses for good (a queue that exists with other flags, a
	// missing permission) is an error that says what to do about it.
	Join(ctx context.Context, s Service) (Member, error)

	// Services asks every instance on the broker to show itself and returns
	// those that answer, in the order of their names and ids. It waits until
	// answers stop coming: up to a second for the first one, 300 ms for each
	// after it, and never longer than ctx.
	Services(ctx context.Context) ([]Instance, error)

	// DeadLetters yields the dead letters that f picks and that are there when
	// it begins, oldest first. Each stays where it is, unless it is retried or
	// discarded while it is in hand. Break off when there are enough. Begin no
	// second loop within one: it may have to wait until the first one ends, as
	// the loops of others may.
	//
	// An error comes last and without a letter: ErrClosed, that of ctx, or the
	// broker's own.
	DeadLetters(ctx context.Context, f DeadLetterFilter) iter.Seq2[*HeldLetter, error]

	// Lock waits until it alone holds name on this broker, among all that ask
	// for it over any link, or until ctx ends. When a holder releases the name
	// or its link is closed, the next one has it at once; when a holder or its
	// link dies, within 5 seconds. While the broker is down Lock waits on.
	//
	// The error is ErrClosed or the error of ctx, or says what the broker
	// refuses for good. A name is up to 150 bytes of any text.
	Lock(ctx context.Context, name string) (Lock, error)

	// Backlog tells what waits in the subscriptions of this link's members and,
	// where the broker can tell, in those of anybody to the sources that this
	// link has emitted events of; how full the stores of all these are; and
	// whether the broker keeps this link from sending. It asks the broker once for each of them, so it is for people and for
	// metrics, not for the path of a message.
	//
	// The error is ErrClosed, that of ctx, or the broker's own. What was learnt
	// before it is returned as well.
	Backlog(ctx context.Context) (Backlog, error)

	// Ready returns nil while the link works and every consumer of every
	// member is confirmed by the broker, and otherwise what is missing.
	Ready() error

	// Close gives up the link. Pending calls end with ErrClosed. Members
	// should have left before; those that have not are cut off and their
	// unsettled messages go back to the broker. Close may be called twice.
	Close() error
}

// Member is a service instance that has joined.
type Member interface {
	// Ready is Broker.Ready for this member's consumers only.
	Ready() error

	// Leave stops taking work, waits until running handlers have returned
	// and their outcome is settled, hands back what they did not start, and
	// detaches the instance. When ctx ends first, the contexts of the
	// handlers still running are cancelled, what they have not settled goes
	// back to the broker as far as it can, and the error is that of ctx.
	// Leave may be called twice; the second call waits like the first.
	Leave(ctx context.Context) error
}

// Service is what joins: a name, an instance and where its work goes.
type Service struct {
	Instance

	// Workers is how many messages each consumer of this instance takes
	// before it has settled the first of them, and so how many handlers it
	// runs at once; at least 1.
	Workers int

	// Serve takes the calls to this service; nil takes none. It runs in a
	// goroutine of its own for each call and answers with a reply. A nil
	// reply means that the call was not started: it is handed back for
	// another instance where the broker can do that. ctx ends when the
	// caller has lost interest or the member has to leave at once. Calls to
	// this instance alone (Message.Instance) have as many workers again. They,
	// and one-way calls, must get a reply: nobody else would serve them.
	Serve func(ctx context.Context, method string, req *Message) *Message

	// Fail makes the reply to a request for which Serve gave none that can be
	// sent: err wraps ErrExited, ErrPanic, ErrTooLarge or ErrNoOutcome. With nil
	// the reply is the text of err. It may be called concurrently.
	Fail func(method string, req *Message, err error) *Message

	// Drain, if not nil, is called once by Leave, when the instance takes no
	// calls to its service and no events any more and the handlers of both
	// have returned. Calls to this instance alone are served until Drain
	// returns. ctx ends when the member has to leave at once.
	Drain func(ctx context.Context)

	// AtMostOnce tells that requests with Message.AtMostOnce are expected. They
	// are served without it, too, but may not be cheaper then.
	AtMostOnce bool

	// Subscriptions are the events that this service handles.
	Subscriptions []Subscription

	// Buried, if not nil, is told of each dead letter of this instance once
	// the broker has stored it. It may be called concurrently and should not
	// block.
	Buried func(l DeadLetter)
}

// Instance describes one running instance of a service, as Broker.Services
// shows it.
type Instance struct {
	Name    string    `json:"name"`    // of the service: letters, digits, '_' and '-'
	ID      string    `json:"id"`      // of the instance, unique on the broker
	Version string    `json:"version"` // semantic version; empty means 0.0.0
	Methods []Method  `json:"methods"` // what it serves by RPC
	Handles []Event   `json:"handles"` // the events it subscribes to
	Emits   []Event   `json:"emits"`   // the events it declares to emit
	Crons   []Cron    `json:"crons"`   // what it runs by the clock
	Host    string    `json:"host"`    // the machine it runs on
	Started time.Time `json:"started"`
}

// Method is one RPC method as shown to others: its name, the names of its
// arguments in order (an optional one ends in "?", and as in Python, "*" stands
// before one that takes any further ones by position, and "**" before one that
// takes any others by name), and their types and those
// of its results in Go's notation.
type Method struct {
	Name    string   `json:"name"`
	Args    []string `json:"args"`
	Types   []string `json:"types"`
	Results []string `json:"results"`
}

// Event names an event: the service that emits it and its type.
type Event struct {
	Source string `json:"source"`
	Name   string `json:"name"`
	Mode   Mode   `json:"mode,omitempty"` // of a subscription to it
}

// Cron is what runs by the clock, once for all instances of a service.
type Cron struct {
	Name     string `json:"name"`
	Schedule string `json:"schedule"` // such as 0 3 * * *, with its time zone
}

// Subscription is one event handler of a service.
type Subscription struct {
	Source string // the service that emits the event
	Event  string // its type: letters, digits, '_' and '-'
	Mode   Mode   // who gets one event; the zero value is Pool

	// Handler names the handler within its service. The pool of a
	// subscription is known by the service's name and this one, so it should
	// stay the same over releases.
	Handler string

	// Ephemeral has the broker forget the subscription, and the events that
	// wait for it, when the last instance that has it is gone: at once when
	// that one leaves with nothing unsettled, and within 5 minutes otherwise.
	// A Broadcast without BroadcastID is so anyway. Join refuses to make one
	// of a subscription that is there and lasts, and the other way round.
	Ephemeral bool

	// BroadcastID keeps a Broadcast over the absence of its instance: the
	// broker stores the events for whoever joins with the same id next. It is
	// letters, digits, '_', '-' and '.', and unique among the instances that
	// are there at one time; those with the same id share its events.
	BroadcastID string

	// OrderBy gives an event its key; nil means that there is no order. With
	// it, events of one key are handled one after the other, in the order in
	// which they were emitted, and only by one instance at a time, the active
	// one, which takes up to Window events ahead. An event that is retried or
	// handed back holds back those of its key, and no others. When the active
	// instance leaves, or is lost to the broker, another one takes over, from
	// the oldest event that is not settled; what the other was handling comes
	// again, and a delay that has not passed may be cut short. Join refuses to give an order to a subscription that is there and
	// has none, and the other way round. OrderBy is called in the order of
	// the events, and must not change m.
	OrderBy func(m *Message) string

	// Handle takes one event and says what becomes of it. It runs in a
	// goroutine of its own for each event. ctx ends when the member has to
	// leave at once, when the broker has taken the event back because it was
	// held for too long, and, with OrderBy, when the instance has lost the event.
	Handle func(ctx context.Context, m *Message) Settlement

	// Fail says what becomes of an event when Handle did not: err wraps
	// ErrExited, ErrPanic or ErrNoOutcome. With nil it is Reject. It may be
	// called concurrently.
	Fail func(m *Message, err error) Settlement
}

// Window is how many events of a subscription that has an order its active
// instance takes before it has settled the first of them: so many may wait
// behind events of their key before the others have to.
const Window = 1000

// Lasts tells whether the broker keeps the subscription, and events for it,
// while no instance is there.
func (s *Subscription) Lasts() bool {
	return s.BroadcastID != "" || s.Mode != Broadcast && !s.Ephemeral
}

// Check returns what can't be meant by a subscription. Every driver refuses it
// in Join.
func (s *Subscription) Check() error {
	var wrong string
	switch {
	case s.Handle == nil:
		wrong = "has no function"
	case s.Mode != Pool && s.Mode != Broadcast && s.Mode != Singleton:
		wrong = fmt.Sprintf("has mode %q, want %q, %q or %q", s.Mode, Pool, Broadcast, Singleton)
	case s.BroadcastID != "" && s.Mode != Broadcast:
		wrong = fmt.Sprintf("has the broadcast id %q and mode %q; only a broadcast has an id", s.BroadcastID, s.Mode)
	case s.BroadcastID != "" && s.Ephemeral:
		wrong = fmt.Sprintf("is ephemeral and has the broadcast id %q, which is for one that lasts; drop one of the two", s.BroadcastID)
	default:
		return nil
	}
	return fmt.Errorf("handler %q of event %s.%s %s", s.Handler, s.Source, s.Event, wrong)
}

// Mode says who gets one event.
type Mode string

const (
	Pool      Mode = ""          // one instance of each service and handler
	Broadcast Mode = "broadcast" // every instance that is there at that moment
	Singleton Mode = "singleton" // one handler in the whole cluster, of any service
)

// Message is a request, a reply or an event.
type Message struct {
	// ID is made once, by the sender, and stays the same over retries and
	// redeliveries.
	ID string

	// Context is the context data that travels with the message: call stack,
	// remaining time, user's values. Values are nil, bool, int64, float64,
	// string, time.Time, []any and map[string]any; a driver gives back the
	// same types (integers of any size arrive as int64), and leaves out nil
	// values. A time arrives in UTC and in whole seconds, and what is not UTF-8
	// in a text as U+FFFD. ErrInvalid is a value of another type or beyond an
	// int64, a key of more than 248 bytes, a list or map of more than 8192
	// elements or within 32 others, and more than 96 KiB in all. Replies carry
	// none.
	Context map[string]any

	// ContentType is the media type of Body; empty when none was given.
	ContentType string
	Body        []byte

	// Instance, of a request, is the id of the one instance that is to serve
	// it. Empty: any instance of the service.
	Instance string

	// OneWay, of a request, says that nobody waits for a reply. Its handler is
	// not cancelled when the context of Call ends.
	OneWay bool

	// Reject is set on a reply to a request that could not be read, or to a
	// one-way request that failed, and says why. A driver that has nowhere to
	// send the reply keeps the request as a dead letter with this reason, and
	// with RejectKind as its kind.
	Reject, RejectKind string

	// AtMostOnce says of a request that it may be lost rather than be handled
	// twice: a driver spares what would keep it over the death of an instance
	// or of the broker, if that makes the call cheaper. A caller whose request
	// or reply is lost has ErrUnknownOutcome or the error of ctx.
	AtMostOnce bool

	// Due has an event delivered no sooner than then, by the clocks of emitter
	// and broker, and within a second or 1 % of the delay, over restarts of
	// both; the zero time is at once. Only Emit reads it: a delivery has none.
	// A driver takes any time within 366 days.
	Due time.Time

	// Attempt counts the deliveries of an event to this subscription that
	// were settled with Retry, and those that were noted before they began and
	// had no outcome (see AttemptsAlone), plus one. Set by the driver.
	Attempt int

	// Redelivered is true when the broker may have delivered this message
	// before, for example to an instance that died. Set by the driver.
	Redelivered bool
}

// Settlement says what becomes of a delivered event. The zero value is Done.
type Settlement struct {
	Verdict Verdict
	Delay   time.Duration // of Retry: the least time until the next attempt
	Reason  string        // of Reject: why; of HandBack: why its handler failed, empty when it was not started
	Kind    string        // of Reject: what kind of failure it is; see DeadLetter
}

// Verdict is the kind of a Settlement.
type Verdict int

const (
	// Done: the event has been handled and is forgotten.
	Done Verdict = iota
	// Retry: deliver it again after Delay, to any instance, with Attempt
	// one higher.
	Retry
	// Reject: keep it as a dead letter.
	Reject
	// HandBack: it was not started; deliver it again, to any instance,
	// without counting an attempt. With a Reason its handler has failed and
	// asks for it once more: then a broker that limits this makes it a dead
	// letter in the end.
	HandBack
)
