// Package web are the cases of HTTP: POST /users/{id}/documents with a JSON
// document, which is decoded and checked, and answered with 201 and the
// document. The client is by hand and the same for every case, so that what
// differs is the service.
package web

import (
	"slices"

	"github.com/enoki-go/enoki/bench/harness"
)

var (
	sizes   = []int{128}
	callers = []int{connections}
)

// Groups are routes without middleware, and with it.
func Groups() []harness.Group { return []harness.Group{bare(), complete()} }

func bare() harness.Group {
	return harness.Group{
		Name: "http", About: "HTTP POST with a path parameter, a JSON body decoded and checked, 64 connections",
		Base: "net-http", Sizes: sizes, Callers: callers,
		Goals: slices.Concat(
			harness.Reach(0.8, "enoki", "net-http", "rate", "service CPU"),
			harness.Reach(1.0, "enoki", "huma", "rate", "service CPU"),
		),
		Cases: []harness.Case{
			{Name: "net-http", About: "net/http, decoded and checked by hand", Serve: serveNetHTTP, Dial: dial},
			{Name: "enoki", About: "Enoki: typed route, OpenAPI, request id; no deadline, nothing logged", Serve: serveEnoki, Dial: dial},
			{Name: "huma", About: "huma on net/http: typed route, OpenAPI", Serve: serveHuma, Dial: dial},
			{Name: "chi", About: "chi, decoded and checked by hand", Serve: serveChi, Dial: dial},
			{Name: "gin", About: "gin, bound and checked by its validator", Serve: serveGin, Dial: dial},
			{Name: "echo", About: "echo, bound by it and checked by hand", Serve: serveEcho, Dial: dial},
		},
	}
}

func complete() harness.Group {
	return harness.Group{
		Name: "http-complete", About: "the same with request id, access log, deadline and recovery",
		Base: "net-http", Sizes: sizes, Callers: callers,
		Goals: slices.Concat(
			harness.Reach(0.6, "enoki", "net-http", "rate", "service CPU"),
			harness.Reach(1.0, "enoki", "net-http-complete", "rate", "service CPU"),
		),
		Cases: []harness.Case{
			{Name: "net-http", About: "net/http without any of it", Serve: serveNetHTTP, Dial: dial},
			{Name: "enoki", About: "Enoki, all on: its log goes nowhere, as JSON", Serve: serveEnokiComplete, Dial: dial},
			{Name: "net-http-complete", About: "net/http with all of it by hand", Serve: serveNetHTTPComplete, Dial: dial},
		},
	}
}
