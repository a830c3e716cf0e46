package web

import (
	"cmp"
	"net"
	"net/http"
	"time"
)

// DefaultAddr is the address of a service that names none: port 8000, for this
// machine only.
const DefaultAddr = "127.0.0.1:8000"

// Options are the settings of Serve. Nil and the zero value are useful.
type Options struct {
	// Addr is the TCP address to listen on, such as "127.0.0.1:8000", or ":8000"
	// for every network of this machine. Default: HTTPAddress of enoki.Options, or
	// else DefaultAddr.
	Addr string

	// Listener is used in place of Addr. It is closed when the service stops, so
	// the service can run only once. Default: none.
	Listener net.Listener

	Title       string // the API's title in its documentation. Default: the service's name.
	Version     string // the API's version. Default: "1.0.0".
	Description string // the API's description, in Markdown. Default: none.

	// NoDocs leaves out /openapi.json, /openapi.yaml and /apidocs/. Default: false.
	NoDocs bool

	// Middleware wraps everything that is served: the routes, the documentation and
	// the responses 404 and 405. The first one is outermost. Outside of it runs
	// what Enoki does for every request: recovery of panics, the log, the checks of
	// host and origin, CORS, the largest body of any route. Inside of it run the
	// route's own middleware, then the checks of the request, the worker slot, the
	// service's enoki.Middleware and the handler.
	//
	// Values that it puts into the request's context reach the handler, see
	// enoki.WithCaller. It can also respond itself, see Refuse; the handler then
	// does not run. Default: none.
	Middleware []func(http.Handler) http.Handler

	// Security lists the ways in which clients may say who they are; one is enough.
	// The document and its page show them. A route is served only after middleware
	// has found the caller (enoki.WithCaller); otherwise the response is 401. A
	// route may have security of its own, see Secured. Default: none, which leaves
	// every route open.
	Security []Security

	// SecureDocs serves the documentation only to known callers. Default: false.
	SecureDocs bool

	// CORS lets pages of other origins read responses. Default: no page may.
	CORS *CORS

	// TrustedOrigins are origins such as "https://www.example.com" or
	// "https://*.example.com". Their pages may send requests that change something,
	// and open WebSockets, with the cookies of their visitor. The origins of CORS
	// may do so too. Default: the server's own.
	TrustedOrigins []string

	// UnsafeAnyOrigin lets the pages of every origin do the same. Default: false;
	// see the RouteOption of this name.
	UnsafeAnyOrigin bool

	// Hosts are the host names that a service on a loopback address accepts, in
	// addition to the names of this machine: "api.example.com", "*.example.com", or
	// "*" for every name. They are needed behind a proxy on this machine that
	// passes on the Host of its clients. The check stops a web page that reaches
	// the service by a name of its own that leads to 127.0.0.1. Default: HTTPHosts
	// of enoki.Options.
	Hosts []string

	// Timeout is how long a handler may run, unless its route says otherwise. A
	// negative value means no deadline. Default: 10 s.
	Timeout time.Duration

	MaxBody   int64 // bytes of a request's body; negative means no limit. Default: 1 MiB.
	MaxHeader int   // bytes of a request's line and header, about. Default: 64 KiB.

	// MaxSockets is how many WebSockets of a route may be open. Further ones get
	// 503. A negative value means no limit. Default: 10,000.
	MaxSockets int

	// MaxConnections is how many connections may be open. Further ones wait until
	// others close. A negative value means no limit. Default: 20,000.
	MaxConnections int

	// The timeouts of a connection. A negative value means none.
	ReadHeaderTimeout time.Duration // until the line and the header have arrived. Default: 10 s.
	ReadTimeout       time.Duration // until the whole request has arrived; time in which it waits for memory or a worker, or nobody reads, does not count. Default: 30 s.
	WriteTimeout      time.Duration // for the client to take one write; time in the handler does not count. Default: 30 s.
	IdleTimeout       time.Duration // between two requests of a connection. Default: 2 min.
}

// withDefaults returns a copy of o with every default except Addr and Title,
// which come from the service.
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
