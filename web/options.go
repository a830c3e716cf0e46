package web

import (
	"cmp"
	"net"
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

	// Timeout is how long a handler has, unless its route says otherwise;
	// negative is no deadline. Default: 10 s.
	Timeout time.Duration

	MaxBody   int64 // bytes of a request's body; negative is no limit. Default: 1 MiB.
	MaxHeader int   // bytes of a request's line and header, about. Default: 64 KiB.

	// The timeouts of a connection; a negative one is none.
	ReadHeaderTimeout time.Duration // for the line and header to arrive. Default: 10 s.
	ReadTimeout       time.Duration // for the whole request to arrive. Default: 30 s.
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
	out.ReadHeaderTimeout = cmp.Or(out.ReadHeaderTimeout, 10*time.Second)
	out.ReadTimeout = cmp.Or(out.ReadTimeout, 30*time.Second)
	out.WriteTimeout = cmp.Or(out.WriteTimeout, 30*time.Second)
	out.IdleTimeout = cmp.Or(out.IdleTimeout, 2*time.Minute)
	return out
}
