package web

import (
	"cmp"
	"net"
	"net/http"
	"time"
)

// DefaultAddr is where a service listens that was told no address: port 8000
// of this machine only.
const DefaultAddr = "127.0.0.1:8000"

// Options of Serve. Nil and zero values are useful.
type Options struct {
	// Addr is the TCP address to listen on, such as "127.0.0.1:8000" or
	// ":8000" for every network of this machine. Default: HTTPAddress of
	// enoki.Options, else DefaultAddr.
	Addr string

	// Listener is taken instead of listening on Addr. It is closed when the
	// service stops, so the service can run once only. Default: none.
	Listener net.Listener

	Title       string // of the API in its documentation. Default: the service's name.
	Version     string // of the API. Default: "1.0.0".
	Description string // of the API, in Markdown. Default: none.

	// NoDocs leaves out /openapi.json, /openapi.yaml and /apidocs/.
	NoDocs bool

	// Middleware is put around all that is served, the first one outermost: the
	// routes, the documentation and what answers 404 and 405. It is inside of
	// what Enoki does for every request (a net for panics, the log, the checks
	// of host and origin, CORS, the largest body of any route), and outside of
	// a route's own middleware, which is outside of the checks of the request,
	// the worker slot, the service's enoki.Middleware and the handler.
	//
	// What it puts into the request's context is in the handler's, see
	// enoki.WithCaller; what it answers itself reaches no handler, see Refuse.
	Middleware []func(http.Handler) http.Handler

	// Security is how clients say who they are: one of these. The document and
	// its page tell it, and a route is served only when middleware has found
	// the caller (enoki.WithCaller); else the answer is 401. A route may have its
	// own, see Secured. Default: none, every route is open.
	Security []Security

	// SecureDocs serves the documentation to known callers only, too.
	SecureDocs bool

	// CORS lets pages of other origins read answers. Default: none may.
	CORS *CORS

	// TrustedOrigins are origins, such as "https://www.example.com" or
	// "https://*.example.com", whose pages may send requests that change
	// something, and open WebSockets, with the cookies of their visitor, beside
	// those of CORS. Default: the server's own.
	TrustedOrigins []string

	// UnsafeAnyOrigin lets the pages of every origin do so. Default: false; see
	// the RouteOption of this name.
	UnsafeAnyOrigin bool

	// Hosts are the names under which a service that listens on a loopback
	// address is asked for, beside those of this machine: "api.example.com",
	// "*.example.com", or "*" for every name. A proxy on this machine that hands
	// on the Host of its clients needs them; with others, a web page could
	// reach the service by a name of its own that leads to 127.0.0.1.
	// Default: HTTPHosts of enoki.Options.
	Hosts []string

	// Timeout is how long a handler has, unless its route says otherwise;
	// negative is no deadline. Default: 10 s.
	Timeout time.Duration

	MaxBody   int64 // bytes of a request's body; negative is no limit. Default: 1 MiB.
	MaxHeader int   // bytes of a request's line and header, about. Default: 64 KiB.

	// MaxSockets is how many WebSockets of a route may be open; more are answered
	// 503. Negative is no limit. Default: 10,000.
	MaxSockets int

	// MaxConnections is how many connections may be open; more wait until others
	// close. Negative is no limit. Default: 20,000.
	MaxConnections int

	// The timeouts of a connection; a negative one is none.
	ReadHeaderTimeout time.Duration // for the line and header to arrive. Default: 10 s.
	ReadTimeout       time.Duration // for the whole request to arrive; while it waits for memory or a worker, or nobody reads, doesn't count. Default: 30 s.
	WriteTimeout      time.Duration // for the client to take one write; running handlers don't count. Default: 30 s.
	IdleTimeout       time.Duration // of a connection between two requests. Default: 2 min.
}

// withDefaults returns a copy of o that has every default but those of the
// service: Addr and Title.
func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	out.Version = cmp.Or(out.Version, "1.0.0")
	out.Timeout = cmp.Or(out.Timeout, 10*time.Second)
	out.MaxBody = cmp.Or(out.MaxBody, 1<<20)
	out.MaxHeader = cmp.Or(out.MaxHeader, 64<<10)
	out.MaxSockets = cmp.Or(out.MaxSockets, 10_000)
	out.MaxConnections = cmp.Or(out.MaxConnections, 20_000)
	out.ReadHeaderTimeout = cmp.Or(out.ReadHeaderTimeout, 10*time.Second)
	out.ReadTimeout = cmp.Or(out.ReadTimeout, 30*time.Second)
	out.WriteTimeout = cmp.Or(out.WriteTimeout, 30*time.Second)
	out.IdleTimeout = cmp.Or(out.IdleTimeout, 2*time.Minute)
	return out
}
