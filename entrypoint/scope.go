package entrypoint

import (
	"context"
	"log/slog"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/fault"
	"github.com/enoki-go/enoki/internal/emission"
)

// Scope is what a service offers to its extensions. It may be used
// concurrently.
type Scope struct {
	Service     string
	Logger      *slog.Logger
	HTTPAddress string        // enoki.Options.HTTPAddress
	HTTPHosts   []string      // enoki.Options.HTTPHosts
	Isolated    bool          // enoki.Options.Isolated
	Memory      *Memory       // enoki.Options.Memory
	Errors      fault.Types   // the error types of the service and of enoki.Options.Errors
	Broker      broker.Broker // for what only one kind of broker can do

	Worker
	Sender
}

// Worker runs work in the same way as the service.
type Worker interface {
	// Handle runs fn as a handler of the service: with a worker slot, a call id and
	// the service's middleware. A panic of fn becomes an error. Handle blocks until
	// there is a free worker and fn has returned. The error is that of fn, or that
	// of ctx if ctx ended before there was a free worker.
	Handle(ctx context.Context, kind Kind, name string, fn func(ctx context.Context) error) error

	// Received returns a context for Handle, for work that came with m. It has the
	// message's context data and its call stack.
	Received(ctx context.Context, m *broker.Message) context.Context

	// Yield gives back the worker slot of HTTP work before its fn returns, so that
	// a waiting stream does not occupy a worker. ctx is the context of fn.
	Yield(ctx context.Context)

	// Decode decodes the body of a message into the value that v points to. It
	// reads every form that the service accepts.
	Decode(m *broker.Message, v any) error

	// DeadLettered logs a dead letter and calls enoki.Options.OnDeadLetter.
	DeadLettered(l broker.DeadLetter)
}

// Sender sends in the same way as the service.
type Sender interface {
	// Send runs fn, which sends something, with the call middleware. If ctx has no
	// deadline, fn gets the service's timeout.
	Send(ctx context.Context, kind Kind, service, method string, payload any, fn func(ctx context.Context) error) error

	// Message returns a message that carries payload like an event: in the
	// service's form, with a new id and with the context data of ctx.
	Message(ctx context.Context, payload any) (*broker.Message, error)

	// EventMessage returns the message that an emit with these options would hand
	// to the broker. It is for extensions that keep events before the broker gets
	// them. The error has the code InvalidArgument, even if only the broker could
	// never take the event; see [broker.Broker.CheckEvent].
	EventMessage(ctx context.Context, source, event string, payload any, options ...emission.Option) (*broker.Message, error)
}
