package enoki_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/enoki-go/enoki"
)

type login struct {
	User     string `json:"user"`
	Password string `json:"password" sensitive:"true"`
	PIN      int    `json:"pin" sensitive:"true"`
}

type doors struct {
	Open func(ctx context.Context, who login, card string, at int) error `args:"who,card,at" sensitive:"card,at"`
}

// TestSensitiveArguments logs arguments on both sides of a call.
func TestSensitiveArguments(t *testing.T) {
	t.Parallel()
	logged := make(chan string, 2)
	note := func(next enoki.Handler) enoki.Handler {
		return func(ctx context.Context, c *enoki.Call) error {
			logged <- fmt.Sprint(c.LogArgs())
			return next(ctx, c)
		}
	}
	b := newBroker(t)
	var got login
	open := func(_ context.Context, who login, _ string, _ int) error { got = who; return nil }
	running(t, b, &enoki.Options{Middleware: []enoki.Middleware{note}}, enoki.NewService("doors", enoki.RPC(doors{Open: open})))
	c := enoki.NewClient(b, &enoki.Options{Logger: quiet, CallMiddleware: []enoki.Middleware{note}})
	var d doors
	if err := enoki.Bind(c, "doors", &d); err != nil {
		t.Fatal(err)
	}
	who := login{"ada", "secret", 1234}
	if err := d.Open(t.Context(), who, "4711", 7); err != nil || got != who {
		t.Fatalf("%v, the handler got %+v", err, got)
	}
	for range 2 {
		if line := <-logged; line != "[{ada xxxxx 0} xxxxx xxxxx]" {
			t.Errorf("the log shows %s", line)
		}
	}
	_, err := c.Call(t.Context(), "doors", "open", []any{who, "4711", "secret"}, nil)
	<-logged
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "argument at does not fit") {
		t.Errorf("a sensitive argument of a wrong type: %v", err)
	}
	type misspelt struct {
		Open func(ctx context.Context, card string) error `args:"card" sensitive:"cart"`
	}
	if err := enoki.NewService("doors", enoki.Needs("x", &misspelt{})).Check(); err == nil || !strings.Contains(err.Error(), `"cart", which is no argument`) {
		t.Errorf("a misspelt name: %v", err)
	}
}
