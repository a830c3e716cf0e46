package enoki

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/entrypoint"
	"github.com/enoki-go/enoki/fault"
	"github.com/enoki-go/enoki/internal/callpolicy"
	"github.com/enoki-go/enoki/resilience"
)

// Options are the settings of Run and NewClient. A nil pointer and the zero
// value are useful; each field's comment ends with its default.
type Options struct {
	// Logger receives what happens. Default: slog.Default().
	Logger *slog.Logger

	// Workers is how many handlers one service runs at once, and how many
	// messages each of its consumers takes ahead. Default: 100.
	Workers int

	// Timeout bounds every call and emit that has no deadline of its own.
	// Default: 10 s.
	Timeout time.Duration

	// Grace is how long handlers may go on once Run has to stop; then their
	// contexts are cancelled. Default: 25 s.
	Grace time.Duration

	// HTTPAddress is where web entrypoints listen that name no address of
	// their own. Default: 127.0.0.1:8000.
	HTTPAddress string

	// HTTPHosts are the names under which web entrypoints on a loopback address
	// are asked for, beside those of this machine; see Hosts of web.Options.
	// Default: none.
	HTTPHosts []string

	// Memory bounds what arrives and is not done yet, for all services together.
	// Give the same to a driver's configuration that takes one.
	// Default: a new one of entrypoint.DefaultMemory.
	Memory *entrypoint.Memory

	// CallsTracked is how many callers the call stack of a handler shows
	// beside itself. Default: 10.
	CallsTracked int

	// Middleware is put around every handler, outside that of its service.
	Middleware []Middleware

	// CallMiddleware is put around every call and emit.
	CallMiddleware []Middleware

	// Errors are the error types that cross the wire as themselves, for every
	// service and client. Default: none.
	Errors []fault.Type

	// Serializer is the form of the requests and events that are sent. Replies
	// have that of their request. Default: JSON.
	Serializer *Serializer

	// Accept are the forms that are read beside JSON and Serializer.
	// Default: none.
	Accept []Serializer

	// Breakers puts a circuit breaker before each method that is called over the
	// broker. It refuses calls with Unavailable for some 5 s while at least half
	// of 20 or more within 10 s end with Unavailable, UnknownOutcome, or a
	// deadline of 100 ms or more. new(false) switches them off. Default: true.
	Breakers *bool

	// Retries has calls sent again that surely did not run, or are marked
	// idempotent. new(false) switches that off. Default: true.
	Retries *bool

	// OnBreaker is told of each change of a circuit breaker's state, and
	// OnRetry of each call that is sent again. They must not block.
	OnBreaker func(service, method string, state resilience.State)
	OnRetry   func(service, method string)

	// OnDeadLetter is told of each message that a service could not handle, once
	// it is kept as a dead letter. It may be called concurrently and should
	// not block. A line in the log says the same.
	OnDeadLetter func(l broker.DeadLetter)

	// CloudEvents puts every event that is emitted into the JSON envelope of
	// CloudEvents 1.0, see AsCloudEvent. Events are read in both forms anyway.
	// Default: false.
	CloudEvents bool

	// Isolated has extensions that need another kind of broker do nothing
	// instead of refusing to start: publishers of package nameko publish to
	// nobody and its consumers get nothing. It is for trials, as enoki shadow
	// makes. Default: false.
	Isolated bool

	// OnReady is called once, when every service takes work.
	OnReady func()
}

// check finds what is nil or empty and must not be.
func (o *Options) check() error {
	if o == nil {
		return nil
	}
	mistakes := []error{checkMiddleware("Options.Middleware", o.Middleware), checkMiddleware("Options.CallMiddleware", o.CallMiddleware)}
	if err := fault.Types(o.Errors).Check(); err != nil {
		mistakes = append(mistakes, fmt.Errorf("Options.Errors: %w", err))
	}
	forms := o.Accept
	if o.Serializer != nil {
		forms = append([]Serializer{*o.Serializer}, forms...)
	}
	for _, s := range forms {
		if s.ContentType == "" || s.Decode == nil || s.Encode == nil {
			mistakes = append(mistakes, fmt.Errorf("serializer %q of Options has no content type, or no function to decode or to encode; give it all three", s.Name))
		}
	}
	return errors.Join(mistakes...)
}

func checkMiddleware(where string, list []Middleware) error {
	for n, m := range list {
		if m == nil {
			return fmt.Errorf("%s: middleware %d of %d is nil; give a function or leave it out", where, n+1, len(list))
		}
	}
	return nil
}

// isOn reads an option that is on by default.
func isOn(option *bool) bool { return option == nil || *option }

func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	if out.Logger == nil {
		out.Logger = slog.Default()
	}
	out.Logger = slog.New(LogHandler(out.Logger.Handler()))
	if out.Workers <= 0 {
		out.Workers = 100
	}
	if out.Timeout <= 0 {
		out.Timeout = 10 * time.Second
	}
	if out.Grace <= 0 {
		out.Grace = 25 * time.Second
	}
	if out.HTTPAddress == "" {
		out.HTTPAddress = "127.0.0.1:8000"
	}
	if out.Memory == nil {
		out.Memory = entrypoint.NewMemory(entrypoint.DefaultMemory)
	}
	if out.CallsTracked <= 0 {
		out.CallsTracked = 10
	}
	if out.OnBreaker == nil {
		out.OnBreaker = func(string, string, resilience.State) {}
	}
	if out.OnRetry == nil {
		out.OnRetry = func(string, string) {}
	}
	if out.OnDeadLetter == nil {
		out.OnDeadLetter = func(broker.DeadLetter) {}
	}
	if out.OnReady == nil {
		out.OnReady = func() {}
	}
	return out
}

// policy returns how calls are guarded. What the hooks panic with is logged.
func (o *Options) policy() callpolicy.Options {
	return callpolicy.Options{
		Breakers: isOn(o.Breakers), Retries: isOn(o.Retries),
		OnBreaker: func(service, method string, state resilience.State) {
			log := o.Logger.Warn
			if state == resilience.Closed {
				log = o.Logger.Info
			}
			log("circuit breaker of a method that is called", "service", service, "method", method, "state", string(state))
			_ = safely(o.Logger, "OnBreaker", func() error { o.OnBreaker(service, method, state); return nil })
		},
		OnRetry: func(service, method string) {
			_ = safely(o.Logger, "OnRetry", func() error { o.OnRetry(service, method); return nil })
		},
	}
}
