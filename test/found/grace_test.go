package found

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
)

// neverReturns ignores its context until it is let go.
func neverReturns(begun, free chan struct{}) func(context.Context) error {
	return func(context.Context) error {
		close(begun)
		<-free
		return nil
	}
}

// TestHandlerThatNeverReturns: when the grace period is over the log says
// which handlers still run, and where.
func TestHandlerThatNeverReturns(t *testing.T) {
	sold := enoki.NewEvent[string]("shop", "sold")
	var emit enoki.Emit[string]
	for name, services := range map[string]func(handle func(context.Context) error) []*enoki.Service{
		"timer": func(handle func(context.Context) error) []*enoki.Service {
			return []*enoki.Service{enoki.NewService("stuck", enoki.Every(time.Hour, handle, enoki.Eager(), enoki.TimerName("wait")))}
		},
		"event": func(handle func(context.Context) error) []*enoki.Service {
			sell := func(ctx context.Context) error { return emit(ctx, "ink") }
			return []*enoki.Service{
				enoki.NewService("stuck", enoki.On(sold, func(ctx context.Context, _ string) error { return handle(ctx) })),
				enoki.NewService("shop", enoki.Emits(sold, &emit), enoki.Every(time.Hour, sell, enoki.Eager(), enoki.TimerName("sell"))),
			}
		},
		"call": func(handle func(context.Context) error) []*enoki.Service {
			return []*enoki.Service{enoki.NewService("stuck", enoki.Method("wait", handle))}
		},
	} {
		t.Run(name, func(t *testing.T) {
			begun, free := make(chan struct{}), make(chan struct{})
			defer close(free)
			url := "memory:"
			if name == "call" {
				url = server.URL()
			}
			a := startApp(t, services(neverReturns(begun, free)), "--broker", url, "--grace", "50ms")
			a.ready(t)
			if name == "call" {
				client := client(t, dialNATS(t, url))
				go func() { _, _ = client.Call(t.Context(), "stuck", "wait", nil, nil) }() // never answered
			}
			<-begun
			a.stop()
			if code := a.end(t); code != 124 {
				t.Errorf("it ends with %d, want 124", code)
			}
			line, _ := a.await(t, "handler still runs when the grace period is over", 0)
			handler, _ := line["handler"].(string)
			stack, _ := line["stack"].(string)
			if !strings.Contains(handler, "found.") || !strings.Contains(stack, "neverReturns") {
				t.Errorf("the handler is %q, in\n%s", handler, stack)
			}
		})
	}
}
