package websocket

import (
	"cmp"
	"time"
)

// Options of a hub's sockets. Nil and zero values are useful.
type Options struct {
	// Origins are the origins of web pages, beside the server's own, that may
	// open a socket: hosts ("app.example.com", "*.example.com") or scheme and
	// host ("https://app.example.com"). "*" lets every page of the web use the
	// cookies of a visitor. Clients that are no browsers send no origin and may
	// always. Default: the server's own.
	Origins []string

	MaxFrame int64 // bytes of a frame from a client; a larger one closes its socket with 1009; negative is no limit. Default: 1 MiB.
	Queue    int   // frames that wait to be sent to one socket. Default: 256.
	Waiting  int   // calls of one socket that wait for the one before; then it is not read on. Default: 16.

	WriteTimeout time.Duration // for the client to take one frame; negative is none. Default: 10 s.
	PingInterval time.Duration // between two pings, which keep proxies from closing idle sockets; negative is no pings. Default: 30 s.
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
