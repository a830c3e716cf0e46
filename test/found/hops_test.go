package found

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"

	"github.com/enoki-go/enoki/web"
)

// inner is a service behind others, as they believe it to be.
type inner struct {
	None   func(ctx context.Context) error           `rpc:"none"`
	Wrong  func(ctx context.Context, a string) error `rpc:"typed" args:"a"`
	Fewer  func(ctx context.Context) error           `rpc:"fewer"`
	Absent func(ctx context.Context) error           `rpc:"absent"`
	Unfit  func(ctx context.Context, v any) error    `rpc:"any" args:"a"`
	Leave  func(ctx context.Context) error           `rpc:"leave"`
}

// uncoded is an error of a user's type, and coded one that says its code.
type (
	uncoded struct{}
	coded   struct{}
)

func (uncoded) Error() string { return "secret" }
func (coded) Error() string   { return "there is one of it" }
func (coded) Unwrap() error   { return enoki.AlreadyExists }

// TestFaultBehindAHandler has handlers whose own calls, parts and errors are at
// fault: the client of the HTTP route and the caller of the method are told of
// an error of the service, not of a mistake of theirs. What a service behind
// says on purpose goes through.
func TestFaultBehindAHandler(t *testing.T) {
	forgotten := enoki.NewPerCall(func(context.Context) (int, error) { return 1, nil }, func(context.Context, int, error) error { return nil })
	var in inner
	for name, test := range map[string]struct {
		do     func(ctx context.Context) error
		status int
		code   enoki.Code // of the method's error
	}{
		"method_not_found":    {func(ctx context.Context) error { return in.Absent(ctx) }, 500, enoki.Internal},
		"incorrect_signature": {func(ctx context.Context) error { return in.Fewer(ctx) }, 500, enoki.Internal},
		"wrong type":          {func(ctx context.Context) error { return in.Wrong(ctx, "a") }, 500, enoki.Internal},
		"wrapped":             {func(ctx context.Context) error { return fmt.Errorf("in vain: %w", in.Absent(ctx)) }, 500, enoki.Internal},
		"not to be encoded":   {func(ctx context.Context) error { return in.Unfit(ctx, func() {}) }, 500, enoki.Internal},
		"forgotten part":      {func(ctx context.Context) error { _, err := forgotten.Get(ctx); return err }, 500, enoki.Internal},
		"canceled there":      {func(ctx context.Context) error { return in.Leave(ctx) }, 503, enoki.Unavailable},
		"a type without code": {func(context.Context) error { return uncoded{} }, 500, enoki.Unknown},
		"a type with a code":  {func(context.Context) error { return coded{} }, 409, enoki.AlreadyExists},
		"said on purpose":     {func(ctx context.Context) error { return in.None(ctx) }, 404, enoki.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			onEveryBroker(t, func(t *testing.T, dial func() broker.Broker) {
				run(t, dial(), enoki.Options{}, enoki.NewService("inner",
					enoki.Method("none", func(context.Context) error { return enoki.Errorf(enoki.NotFound, "no such thing") }),
					enoki.Method("leave", func(context.Context) error { return context.Canceled }),
					enoki.Method("fewer", func(context.Context, int) error { return nil }, "a"),
					enoki.Method("typed", func(context.Context, int) error { return nil }, "a")))
				var log logbook
				listener, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				route := web.Get("/x", func(ctx context.Context, _ *struct{}) (*struct{}, error) { return nil, test.do(ctx) })
				run(t, dial(), enoki.Options{Logger: log.logger()}, enoki.NewService("outer", enoki.Needs("inner", &in),
					enoki.Method("m", test.do), web.Serve(&web.Options{Listener: listener}, route)))

				res, err := http.Get("http://" + listener.Addr().String() + "/x")
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				var p web.Problem
				if err := json.NewDecoder(res.Body).Decode(&p); err != nil {
					t.Fatal(err)
				}
				if res.StatusCode != test.status || strings.Contains(p.Error(), "secret") {
					t.Errorf("HTTP: %d %+v, want %d", res.StatusCode, p, test.status)
				}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				_, err = client(t, dial()).Call(ctx, "outer", "m", nil, nil)
				if code := enoki.CodeOf(err); code != test.code {
					t.Errorf("RPC: [%s] %v, want %s", code, err, test.code)
				}
				level := `"level":"ERROR"`
				if got := strings.Count(log.String(), level); (got == 2) != (test.status >= 500) || got != 0 && got != 2 {
					t.Errorf("the log has %d lines of %s:\n%s", got, level, log.String())
				}
			})
		})
	}
}

// TestCodeIsSaidOnce has an error that is nothing but its code cross two hops.
func TestCodeIsSaidOnce(t *testing.T) {
	onEveryBroker(t, func(t *testing.T, dial func() broker.Broker) {
		var in inner
		run(t, dial(), enoki.Options{}, enoki.NewService("inner", enoki.Method("none", func(context.Context) error { return enoki.NotFound })))
		run(t, dial(), enoki.Options{}, enoki.NewService("outer", enoki.Needs("inner", &in),
			enoki.Method("m", func(ctx context.Context) error { return in.None(ctx) })))
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c := client(t, dial())
		for call, want := range map[[2]string]string{{"inner", "none"}: "NotFound", {"outer", "m"}: "RemoteError: NotFound"} {
			_, err := c.Call(ctx, call[0], call[1], nil, nil)
			if err == nil || err.Error() != want || !errors.Is(err, enoki.NotFound) {
				t.Errorf("%s: %v, want %s", call, err, want)
			}
		}
	})
}
