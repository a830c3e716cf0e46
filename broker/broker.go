// Package broker says what Enoki asks of a message broker. A service joins,
// takes calls and events, and leaves. A client calls and emits. Exchanges,
// queues, subjects and streams are a driver's own business and never show here.
// Drivers live in the packages below this one. Package brokertest proves that a
// driver keeps the promises of this package.
//
// The bodies of messages are opaque to a driver; package enoki encodes them.
package broker

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// Broker is a link to a message broker. Its methods may be called concurrently.
// A Broker recovers a lost link by itself and never gives up. It waits between
// attempts for 100 ms to 30 s, with full jitter. After a recovery every member
// takes work again.
type Broker interface {
	// Call sends a request to one instance of service. It blocks until the reply
	// comes or ctx ends; ctx should carry a deadline. If ctx ends first, Call tells
	// the instance that has the request, if it can be reached. The context of its
	// handler is then cancelled. If the request still waits for a free worker, it
	// is not run. Message.ID identifies the call, so each call needs an id of its
	// own.
	//
	// A request with Message.Instance goes only to that instance and bypasses the
	// queue of its service. If the instance is not there, the error is
	// ErrUnknownService at once. A request with Message.OneWay has no reply: Call
	// returns nil and nil as soon as the broker has stored the request. A broker
	// that stores no requests returns when an instance has started it.
	//
	// The error is ErrInvalid, ErrUnknownService, ErrNotDelivered,
	// ErrUnknownOutcome, ErrBlocked, ErrClosed or the error of ctx. Use errors.Is
	// to compare it.
	Call(ctx context.Context, service, method string, req *Message) (*Message, error)

	// Emit publishes an event of the service source. A nil error means that the
	// broker has stored the event for every existing subscription that lasts,
	// whether or not an instance runs to handle it. An event without any
	// subscription is dropped, which is not an error. An event with a due time is
	// stored at once. It is delivered to the subscriptions that exist when it is
	// due.
	//
	// The error is ErrInvalid, ErrNotDelivered, ErrUnknownOutcome, ErrBlocked,
	// ErrClosed or the error of ctx. After ErrUnknownOutcome the event may be
	// emitted again with the same Message.ID. A broker that remembers ids drops an
	// event that it has received within the last two minutes.
	Emit(ctx context.Context, source, event string, m *Message) error

	// CheckEvent returns the ErrInvalid that Emit would return for the event, or
	// nil. It does not ask the broker and does not block. It is for extensions that
	// keep events until the broker can take them. It does not know of a limit that
	// an operator lowers later.
	CheckEvent(source, event string, m *Message) error

	// Join attaches a service instance. It returns when the broker has confirmed
	// every one of its consumers, or when ctx ends. A setting that the broker
	// refuses for good (a queue that exists with other flags, a missing permission)
	// is an error that says what to do about it.
	Join(ctx context.Context, s Service) (Member, error)

	// Services asks every instance on the broker to describe itself. It returns the
	// instances that answer, sorted by name and id. It waits up to a second for the
	// first answer and 300 ms for each further one, but never longer than ctx.
	Services(ctx context.Context) ([]Instance, error)

	// DeadLetters yields the dead letters that f picks, oldest first. It yields
	// those that exist when it begins. A letter stays where it is, unless the loop
	// retries or discards it. Break when you have enough. Do not begin a second
	// loop inside a loop: a loop may have to wait until another one ends.
	//
	// An error comes last and without a letter: ErrClosed, the error of ctx, or the
	// broker's own error.
	DeadLetters(ctx context.Context, f DeadLetterFilter) iter.Seq2[*HeldLetter, error]

	// Lock blocks until the caller alone holds name on this broker, or until ctx
	// ends. All links of the broker compete for the name. When a holder releases
	// the name or closes its link, the next one gets it at once. When a holder or
	// its link dies, the next one gets it within 5 seconds. Lock goes on waiting
	// while the broker is down.
	//
	// The error is ErrClosed, the error of ctx, or what the broker refuses for
	// good. A name is any text of up to 150 bytes.
	Lock(ctx context.Context, name string) (Lock, error)

	// Backlog returns how many events wait in the subscriptions of this link's
	// members. If the broker can tell, it also covers all other subscriptions to
	// the sources of which this link has emitted events. It returns how full their
	// stores are, and whether the broker keeps this link from sending. It sends the
	// broker one request for each of them. Use it for people and for metrics, not
	// on the path of a message.
	//
	// The error is ErrClosed, the error of ctx, or the broker's own error. What was
	// found before the error is returned with it.
	Backlog(ctx context.Context) (Backlog, error)

	// Ready returns nil while the link works and the broker has confirmed every
	// consumer of every member. Otherwise its error says what is missing. It does
	// not block.
	Ready() error

	// Close gives up the link. Pending calls end with ErrClosed. Members should
	// leave before. Members that have not left are cut off, and their unsettled
	// messages go back to the broker. Close may be called twice.
	Close() error
}

// Member is a service instance that has joined.
type Member interface {
	// Ready is like Broker.Ready, for the consumers of this member only.
	Ready() error

	// Leave stops taking work. It waits until the running handlers have returned
	// and their outcome is settled. It hands back the messages that no handler has
	// started, and detaches the instance. If ctx ends first, the contexts of the
	// running handlers are cancelled, their unsettled messages go back to the
	// broker as far as possible, and the error is that of ctx. Leave may be called
	// twice; the second call waits like the first.
	Leave(ctx context.Context) error
}

// Service is a service instance that joins, and the functions that do its work.
type Service struct {
	Instance

	// Workers is how many messages each consumer of this instance prefetches. It is
	// therefore also how many handlers each consumer runs at once. It is at least
	// 1.
	Workers int

	// Serve handles the calls to this service; nil means that it takes none. Each
	// call runs in a goroutine of its own. The result is the reply. A nil reply
	// means that the call was not started; if the broker can, it gives the call to
	// another instance. ctx ends when the caller gives up or when the member has to
	// leave at once. Calls with Message.Instance have as many workers again. Such
	// calls and one-way calls must get a reply, because no other instance would
	// serve them.
	Serve func(ctx context.Context, method string, req *Message) *Message

	// Fail makes the reply to a request if Serve gave none that can be sent. err
	// wraps ErrExited, ErrPanic, ErrTooLarge or ErrNoOutcome. If Fail is nil, the
	// reply is the text of err. Fail may be called concurrently.
	Fail func(method string, req *Message, err error) *Message

	// Drain, if not nil, is called once by Leave. At that time the instance takes
	// no more calls to its service and no more events, and the handlers of both
	// have returned. Calls with Message.Instance are served until Drain returns.
	// ctx ends when the member has to leave at once.
	Drain func(ctx context.Context)

	// AtMostOnce announces requests with Message.AtMostOnce. Without it they are
	// served too, but may not be cheaper.
	AtMostOnce bool

	// Subscriptions are the events that this service handles.
	Subscriptions []Subscription

	// Buried, if not nil, is called for each dead letter of this instance, once the
	// broker has stored it. It may be called concurrently and should not block.
	Buried func(l DeadLetter)
}

// Instance describes a running instance of a service. Broker.Services returns
// it.
type Instance struct {
	Name    string    `json:"name"`    // the service's name: letters, digits, '_', '-' and single dots
	ID      string    `json:"id"`      // the instance's id, unique on the broker
	Version string    `json:"version"` // semantic version; empty means 0.0.0
	Methods []Method  `json:"methods"` // the RPC methods that it serves
	Handles []Event   `json:"handles"` // the events it subscribes to
	Emits   []Event   `json:"emits"`   // the events that it declares to emit
	Crons   []Cron    `json:"crons"`   // its cron timers
	Host    string    `json:"host"`    // the machine it runs on
	Started time.Time `json:"started"`
}

// Method describes an RPC method. Args are the names of the arguments in order.
// An optional argument ends in "?". As in Python, "*" stands before an argument
// that collects further ones by position, and "**" before one that collects
// further ones by name. Types and Results are Go types of the arguments and the
// results.
type Method struct {
	Name    string   `json:"name"`
	Args    []string `json:"args"`
	Types   []string `json:"types"`
	Results []string `json:"results"`
}

// Event names an event by the service that emits it and by its type.
type Event struct {
	Source string `json:"source"`
	Name   string `json:"name"`
	Mode   Mode   `json:"mode,omitempty"` // for a subscription: its mode
}

// Cron is a timer that runs by the clock, once for all instances of a service.
type Cron struct {
	Name     string `json:"name"`
	Schedule string `json:"schedule"` // such as 0 3 * * *, with its time zone
}

// Subscription is one event handler of a service.
type Subscription struct {
	Source string // the service that emits the event
	Event  string // its type: letters, digits, '_', '-' and single dots
	Mode   Mode   // which instances get an event; the zero value is Pool

	// Handler is the name of the handler within its service. The names of service
	// and handler identify the pool, so both should stay the same over releases.
	Handler string

	// Ephemeral makes the broker forget the subscription and its waiting events
	// when its last instance is gone. That is at once if the instance leaves with
	// nothing unsettled, and within 5 minutes otherwise. A Broadcast without
	// BroadcastID is always ephemeral. Join refuses an ephemeral subscription under
	// the name of an existing lasting one, and the other way round.
	Ephemeral bool

	// BroadcastID keeps a Broadcast while its instance is away. The broker stores
	// the events for the next instance with the same id. An id has letters, digits,
	// '_', '-' and '.'. It should be unique among the instances that run at one
	// time; instances with the same id share its events.
	BroadcastID string

	// OrderBy returns the key of an event; nil means that there is no order. With
	// an order, events with the same key are handled one after another, in the
	// order in which they were emitted. One active instance handles all events and
	// takes up to Window events ahead. A retried or handed back event holds back
	// the events with its key, but no others. When the active instance leaves or is
	// lost to the broker, another one takes over. It begins with the oldest
	// unsettled event. The events that the lost instance was handling come again,
	// and an unfinished delay may be cut short. Join refuses an order for an
	// existing subscription without one, and the other way round. OrderBy is called
	// in the order of the events and must not change m.
	OrderBy func(m *Message) string

	// Handle takes one event and returns what happens to it. Each event runs in a
	// goroutine of its own. ctx ends when the member has to leave at once, or when
	// the broker has taken the event back because it was held for too long. With
	// OrderBy it also ends when the instance has lost the event.
	Handle func(ctx context.Context, m *Message) Settlement

	// Fail settles an event if Handle did not. err wraps ErrExited, ErrPanic or
	// ErrNoOutcome. If Fail is nil, the event is rejected. Fail may be called
	// concurrently.
	Fail func(m *Message, err error) Settlement
}

// Window is how many events the active instance of an ordered subscription
// takes before it has settled the first of them. If so many wait behind events
// with their key, all further events have to wait too.
const Window = 1000

// Lasts reports whether the broker keeps the subscription and its events while
// no instance runs.
func (s *Subscription) Lasts() bool {
	return s.BroadcastID != "" || s.Mode != Broadcast && !s.Ephemeral
}

// Check returns the mistakes in a subscription. Every driver refuses it in
// Join.
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

// Mode says which instances get an event.
type Mode string

const (
	Pool      Mode = ""          // one instance of each service and handler
	Broadcast Mode = "broadcast" // every instance that runs at that moment
	Singleton Mode = "singleton" // one handler in the whole cluster, of any service
)

// Message is a request, a reply or an event.
type Message struct {
	// ID is made once by the sender. It stays the same over retries and
	// redeliveries.
	ID string

	// Context is the context data that travels with the message: the call stack,
	// the remaining time and the user's values. A value is nil, bool, int64,
	// float64, string, time.Time, []any or map[string]any. A driver gives back the
	// same types, with these exceptions. An integer of any Go type arrives as
	// int64. A nil value is left out. A time arrives in UTC and in whole seconds.
	// Text that is not UTF-8 arrives with U+FFFD in its place.
	//
	// These are ErrInvalid: a value of another type, an integer beyond int64, a key
	// of more than 248 bytes, a list or map of more than 8192 elements, a list or
	// map within 32 others, and more than 96 KiB in all. Replies carry no context
	// data.
	Context map[string]any

	// ContentType is the media type of Body. It is empty if the sender gave none.
	ContentType string
	Body        []byte

	// Instance is for requests. It is the id of the only instance that may serve
	// the request. Empty means any instance of the service.
	Instance string

	// OneWay is for requests. It says that nobody waits for a reply. The handler is
	// not cancelled when the context of Call ends.
	OneWay bool

	// Reject is for replies. It says why the request could not be read, or why a
	// one-way request failed. A driver that has nowhere to send the reply keeps the
	// request as a dead letter, with Reject as its reason and RejectKind as its
	// kind.
	Reject, RejectKind string

	// AtMostOnce is for requests. It says that the request may be lost but must not
	// be handled twice. If that makes the call cheaper, a driver does not protect
	// the request from the death of an instance or of the broker. If the request or
	// its reply is lost, the caller gets ErrUnknownOutcome or the error of ctx.
	AtMostOnce bool

	// Due is for events. The event is delivered at this time, and never sooner, by
	// the clocks of the emitter and the broker. It comes at most a second late, or
	// 1 % of the delay, even over restarts of both. The zero time means at once.
	// Only Emit reads it; a delivered event has none. A driver takes any time
	// within 366 days.
	Due time.Time

	// Attempt is the number of the current attempt, from 1. It counts the earlier
	// deliveries of the event to this subscription that were settled with Retry. It
	// also counts the deliveries that were noted before they began and had no
	// outcome, see AttemptsAlone. The driver sets it.
	Attempt int

	// Redelivered is true if the broker may have delivered the message before, for
	// example to an instance that died. The driver sets it.
	Redelivered bool
}

// Settlement says what happens to a delivered event. The zero value is Done.
type Settlement struct {
	Verdict Verdict
	Delay   time.Duration // for Retry: the least time until the next attempt
	Reason  string        // for Reject: why; for HandBack: why its handler failed, empty if it was not started
	Kind    string        // for Reject: the kind of failure, see DeadLetter
}

// Verdict is the kind of a Settlement.
type Verdict int

const (
	// Done means that the event was handled. The broker forgets it.
	Done Verdict = iota
	// Retry delivers the event again after Delay, to any instance. Its Attempt is
	// one higher.
	Retry
	// Reject keeps the event as a dead letter.
	Reject
	// HandBack means that the event was not started. It is delivered again, to any
	// instance, and no attempt is counted. With a Reason it means that the handler
	// failed and wants the event again. A broker that limits deliveries makes it a
	// dead letter in the end.
	HandBack
)
