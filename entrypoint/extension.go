package entrypoint

import (
	"context"

	"github.com/enoki-go/enoki/broker"
)

// Kind says how work arrived, or how it leaves.
type Kind string

// The kinds of work.
const (
	RPC       Kind = "rpc"
	Event     Kind = "event"
	Timer     Kind = "timer"
	HTTP      Kind = "http"
	WebSocket Kind = "websocket"
	Message   Kind = "message" // of a queue or to an exchange, see package nameko
)

// Extension is an entrypoint that brings work of its own kind to a service.
type Extension interface {
	// Check returns all that would keep it from starting, before anything
	// starts.
	Check() error

	// Start begins to take work and returns once it does. The scope serves
	// until Stop has returned; ctx is cancelled when the service must stop at
	// once.
	Start(ctx context.Context, scope *Scope) error

	// Stop stops taking work and waits for what runs, until ctx ends.
	Stop(ctx context.Context) error

	// Describe says what it serves, one Description for each thing.
	Describe() []Description
}

// Preparer is an Extension that gives handlers something to use.
type Preparer interface {
	Extension

	// Prepare is called once at each start, before the service takes work.
	Prepare(ctx context.Context, scope *Scope) error
}

// Description is what one entrypoint says of itself. Text is for people; the
// rest is for documents, consoles and gates, and has what fits its kind.
type Description struct {
	Kind Kind
	Name string // as logs and metrics have it: the method, the handler, the timer, the route
	Text string // a line for people, such as "rpc check_registered(id)"

	Method   *broker.Method // of an RPC method
	Event    *broker.Event  // that is handled
	Schedule string         // of a timer: a cron line, or "every 1m0s"
	Route    *Route         // of HTTP
}

// String returns the Text.
func (d Description) String() string { return d.Text }

// Route is where an HTTP entrypoint is found.
type Route struct {
	Method string // "" for any
	Path   string // a pattern of net/http
}
