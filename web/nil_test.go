package web_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/web"
	"github.com/enoki-go/enoki/websocket"
)

// TestNil gives nothing where something must be: the mistakes are told together
// before anything starts, and no declaration panics.
func TestNil(t *testing.T) {
	t.Parallel()
	fn := func(context.Context, *struct{}) (*struct{}, error) { return nil, nil }
	plain := func(context.Context, *http.Request) (*web.Text, error) { return nil, nil }
	hub := websocket.NewHub(nil)
	err := enoki.NewService("api", web.Serve(
		&web.Options{Middleware: []func(http.Handler) http.Handler{nil}, Security: []web.Security{{}}},
		web.Get("/get", fn, web.Summary("x"), nil),
		web.Plain("GET", "/plain", plain, nil),
		web.Handle("/handle", http.NotFoundHandler(), nil),
		web.WebSocket("/ws", hub).With(nil),
		web.WebSocket("/empty", hub, web.SocketFunction{}),
		web.Route{},
		web.Post("/post", fn, web.Middleware(nil)),
		web.Put("/put", fn, web.Secured(web.Security{})),
		web.Delete("/delete", fn).With(nil).With(web.Summary("x"), nil),
	)).Check()
	if err == nil {
		t.Fatal("no mistake is found")
	}
	for _, want := range []string{
		"Options.Middleware: middleware 1 of 1 is nil",
		"route GET /get can't be served: option 2 of 2 is nil; leave it out",
		"route /handle can't be served: option 1 of 1 is nil",
		"route GET /plain can't be served: option 1 of 1 is nil",
		"route WS /ws can't be served: option 1 of 1 is nil",
		"route WS /empty can't be served: method 1 of 1 is empty",
		"route 6 of 9 is empty",
		"route POST /post can't be served: middleware 1 of 1 is nil",
		"a Security is empty",
		"route DELETE /delete can't be served: option 2 of 2 is nil",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no mistake says %q:\n%v", want, err)
		}
	}
}
