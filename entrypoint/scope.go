package entrypoint

import (
	"context"
	"log/slog"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/fault"
	"github.com/enoki-go/enoki/internal/emission"
)

// Scope is what a service offers to its extensions. It may be used concurrently.
type Scope struct {
	Service     string
	Logger      *slog.Logger
	HTTPAddress string        // enoki.Options.HTTPAddress
	HTTPHosts   []string      // enoki.Options.HTTPHosts
	Isolated    bool          // enoki.Options.Isolated
	Memory      *Memory       // enoki.Options.Memory
	Errors      fault.Types   // what the service and enoki.Options.Errors declare
	Broker      broker.Broker // for what only one kind of broker can do

	Worker
	Sender
}

// Worker runs work as the service does.
type Worker interface {
	// Handle runs fn as a handler of the service: with a worker slot, a call
	// id, the service's middleware and a net for panics. The error is that of
	// fn, or of ctx when it ended before there was a free worker.
	Handle(ctx context.Context, kind Kind, name string, fn func(ctx context.Context) error) error

	// Received returns the context of work that m has brought, for Handle: with
	// its context data, and its call stack below the id of the handler.
	Received(ctx context.Context, m *broker.Message) context.Context

	// Yield gives back the worker slot of work of kind HTTP, by the context that
	// its fn has, before fn returns: a stream that waits does not keep a worker
	// from others.
	Yield(ctx context.Context)

	// Decode decodes the body of a message into what v points to, in any of the
	// forms that the service accepts.
	Decode(m *broker.Message, v any) error

	// DeadLettered logs and counts a dead letter; see broker.Service.
	DeadLettered(l broker.DeadLetter)
}

// Sender sends as the service does.
type Sender interface {
	// Send runs fn as something that the service sends: with the call
	// middleware and, if ctx has no deadline, the service's timeout.
	Send(ctx context.Context, kind Kind, service, method string, payload any, fn func(ctx context.Context) error) error

	// Message returns a message that carries payload as an event would: in the
	// service's form, with a new id and the context data of ctx.
	Message(ctx context.Context, payload any) (*broker.Message, error)

	// EventMessage returns the message that an emit of the event with these
	// options would hand to the broker, for extensions that keep events before
	// the broker gets them. The error has the code InvalidArgument, also when
	// the broker could never take the event; see [broker.Broker.CheckEvent].
	EventMessage(ctx context.Context, source, event string, payload any, options ...emission.Option) (*broker.Message, error)
}
