package websocket

import (
	"cmp"
	"time"
)

// Options are the settings of a hub's sockets. Nil and the zero value are
// useful.
type Options struct {
	// Origins are the origins of web pages that may open a socket, in addition to
	// the server's own: hosts ("app.example.com", "*.example.com") or scheme and
	// host ("https://app.example.com"). "*" lets every page of the web use the
	// cookies of its visitor. Clients that are not browsers send no origin and may
	// always open a socket. Default: the server's own.
	Origins []string

	MaxFrame int64 // bytes of a client's frame; a larger one closes the socket with 1009; negative means no limit. Default: 1 MiB.
	Queue    int   // the most frames that wait to be sent to one socket. Default: 256.
	Waiting  int   // the most calls of one socket that wait for the one before; then reading stops. Default: 16.

	WriteTimeout time.Duration // for the client to take one frame; negative means no limit. Default: 10 s.
	PingInterval time.Duration // between two pings, which keep proxies from closing idle sockets; negative means no pings. Default: 30 s.
	PongTimeout  time.Duration // for the answer to a ping; then the socket is closed. Default: 90 s.
}

func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	out.MaxFrame = cmp.Or(out.MaxFrame, 1<<20)
	out.WriteTimeout = cmp.Or(out.WriteTimeout, 10*time.Second)
	out.PingInterval = cmp.Or(out.PingInterval, 30*time.Second)
	if out.Queue <= 0 {
		out.Queue = 256
	}
	if out.Waiting <= 0 {
		out.Waiting = 16
	}
	if out.PongTimeout <= 0 {
		out.PongTimeout = 90 * time.Second
	}
	return out
}
