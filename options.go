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
// value are both useful. The comment of each field ends with the field's
// default.
type Options struct {
	// Logger receives all log lines. Default: slog.Default().
	Logger *slog.Logger

	// Workers is how many handlers a service runs at once. It is also how many
	// messages each of its consumers prefetches. Default: 100.
	Workers int

	// Timeout bounds every call and every emit whose context has no deadline.
	// Default: 10 s.
	Timeout time.Duration

	// Grace is how long handlers may go on after Run begins to stop. After that,
	// their contexts are cancelled. Default: 25 s.
	Grace time.Duration

	// HTTPAddress is the address on which web entrypoints listen if they name none.
	// Default: 127.0.0.1:8000.
	HTTPAddress string

	// HTTPHosts are the host names that web entrypoints on a loopback address
	// accept, in addition to the names of this machine; see Hosts of web.Options.
	// Default: none.
	HTTPHosts []string

	// Memory bounds the messages and requests that have arrived and are not done.
	// All services of a Run share it. Give the same value to a driver's
	// configuration if it has such a field. Default: a new one with
	// entrypoint.DefaultMemory.
	Memory *entrypoint.Memory

	// CallsTracked is how many callers a handler's call stack shows, besides the
	// handler itself. Default: 10.
	CallsTracked int

	// Middleware wraps every handler, outside the middleware of its service.
	// Default: none.
	Middleware []Middleware

	// CallMiddleware wraps every call and every emit. Default: none.
	CallMiddleware []Middleware

	// Errors are the error types that keep their type across the wire, for every
	// service and client. Default: none.
	Errors []fault.Type

	// Serializer is the form of outgoing requests and events. A reply has the form
	// of its request. Default: JSON.
	Serializer *Serializer

	// Accept are further forms that are read, besides JSON and Serializer. Default:
	// none.
	Accept []Serializer

	// Breakers puts a circuit breaker before each method that is called over the
	// broker. A breaker opens when, within 10 s, 20 or more calls were made and at
	// least half of them failed. A failure is Unavailable, UnknownOutcome, or the
	// end of a deadline of 100 ms or more. An open breaker refuses calls with
	// Unavailable for about 5 s. new(false) switches the breakers off. Default:
	// true.
	Breakers *bool

	// Retries sends a failed call again if it surely did not run, or if its method
	// is marked idempotent. new(false) switches that off. Default: true.
	Retries *bool

	// OnBreaker is called at each change of a circuit breaker's state. OnRetry is
	// called for each call that is sent again. They may be called concurrently and
	// must not block. Default: none.
	OnBreaker func(service, method string, state resilience.State)
	OnRetry   func(service, method string)

	// OnDeadLetter is called for each message that a service could not handle, once
	// the broker has stored it as a dead letter. It may be called concurrently and
	// should not block. The log has a line about it in any case. Default: none.
	OnDeadLetter func(l broker.DeadLetter)

	// CloudEvents puts every emitted event into the JSON envelope of CloudEvents
	// 1.0, see AsCloudEvent. Handlers read both forms in any case. Default: false.
	CloudEvents bool

	// Isolated disables the extensions that need another kind of broker; otherwise
	// they refuse to start. Publishers of package nameko then publish nothing, and
	// its consumers get nothing. It is for trial runs, such as those of enoki
	// shadow. Default: false.
	Isolated bool

	// OnReady is called once, when every service takes work. Default: none.
	OnReady func()
}

// check returns an error for a part that is nil or empty and must not be.
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

// policy returns the settings of the breakers and retries. It logs the panics
// of the hooks.
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
