package entrypoint

import (
	"context"

	"github.com/enoki-go/enoki/broker"
)

// Kind says how work arrived or how it leaves.
type Kind string

// The kinds of work.
const (
	RPC       Kind = "rpc"
	Event     Kind = "event"
	Timer     Kind = "timer"
	HTTP      Kind = "http"
	WebSocket Kind = "websocket"
	Message   Kind = "message" // from a queue or to an exchange, see package nameko
)

// Extension is an entrypoint that brings its own kind of work to a service. The
// service calls Check, Start and Stop one after another. Describe may be called
// at any time.
type Extension interface {
	// Check returns all mistakes that would keep it from starting. It is called
	// before anything starts.
	Check() error

	// Start returns once the extension takes work. The scope can be used until Stop
	// has returned. ctx is cancelled when the service must stop at once.
	Start(ctx context.Context, scope *Scope) error

	// Stop stops taking work. It waits for the running work until ctx ends.
	Stop(ctx context.Context) error

	// Describe returns one Description for each thing that it serves.
	Describe() []Description
}

// Preparer is an Extension that fills something that handlers use.
type Preparer interface {
	Extension

	// Prepare is called once at each start, before the service takes work.
	Prepare(ctx context.Context, scope *Scope) error
}

// Description is what one entrypoint says about itself. Text is for people. The
// other fields are data for documents, consoles and gates; only the fields that
// fit the kind are set.
type Description struct {
	Kind Kind
	Name string // the name in logs and metrics: the method, the handler, the timer, the route
	Text string // a line for people, such as "rpc check_registered(id)"

	Method   *broker.Method // of an RPC method
	Event    *broker.Event  // the event that is handled
	Schedule string         // of a timer: a cron line, or "every 1m0s"
	Route    *Route         // of an HTTP route
}

// String returns Text.
func (d Description) String() string { return d.Text }

// Route is the method and path of an HTTP entrypoint.
type Route struct {
	Method string // "" for any method
	Path   string // a pattern of net/http
}
