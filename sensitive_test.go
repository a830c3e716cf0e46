package enoki_test

import (
	"context"
	"encoding/json"
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
	if err := c.Bind("doors", &d); err != nil {
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

type (
	embedded struct {
		Card string `json:"card" sensitive:"true"`
	}
	deep struct {
		embedded
		List    []*login          `json:"list,omitempty"`
		ByCard  map[string]login  `json:"by_card,omitempty"`
		Pair    [2]login          `json:"pair,omitzero"`
		Any     any               `json:"any,omitempty"`
		Self    *deep             `json:"self,omitempty"`
		Nothing map[string]string `json:"nothing,omitempty"`
	}
)

// TestSensitiveFieldsLieDeep logs fields in all that structs may lie in, and in a
// value that contains itself.
func TestSensitiveFieldsLieDeep(t *testing.T) {
	t.Parallel()
	who := login{"ada", "secret", 1234}
	value := deep{embedded: embedded{"secret"}, List: []*login{&who}, ByCard: map[string]login{"a": who}, Pair: [2]login{who, who}, Any: []any{&who, who, nil, 7}}
	circle := &deep{embedded: embedded{"secret"}}
	circle.Self = circle
	logged := make(chan []any, 1)
	note := func(enoki.Handler) enoki.Handler {
		return func(_ context.Context, c *enoki.Call) error {
			logged <- c.LogArgs()
			return nil
		}
	}
	type contract struct {
		Keep func(ctx context.Context, value deep, circle *deep) error `args:"value,circle"`
	}
	var c contract
	if err := enoki.NewClient(newBroker(t), &enoki.Options{Logger: quiet, CallMiddleware: []enoki.Middleware{note}}).Bind("vault", &c); err != nil {
		t.Fatal(err)
	}
	_ = c.Keep(t.Context(), value, circle) // goes no further than the middleware
	args := <-logged
	text, err := json.Marshal(args)
	if err != nil || strings.Contains(string(text), "secret") || strings.Contains(string(text), "1234") || strings.Count(string(text), "ada") != 6 {
		t.Errorf("the log shows %s, %v", text, err)
	}
	if who.Password != "secret" || value.Card != "secret" {
		t.Error("the arguments themselves were changed")
	}
}
