package found

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
)

// purchase is what a team that writes Python sends.
type purchase struct {
	Item  string    `json:"item"`
	Count int       `json:"count"`
	Due   time.Time `json:"due"`
	Tags  []string  `json:"tags"`
	Note  string    `json:"note,omitempty"`
	Gift  *string   `json:"gift"`
}

const wholePurchase = `{"item":"tea","count":1,"due":"2026-01-02T03:04:05Z","tags":[]}`

// lacking are purchases that lack something, and what is to be said of them.
var lacking = map[string]string{
	`null`: "is null",
	`{"count":1,"due":"2026-01-02T03:04:05Z","tags":[]}`:              "field item is missing",
	`{"item":null,"count":1,"due":"2026-01-02T03:04:05Z","tags":[]}`:  "field item is null",
	`{"item":"a","due":"2026-01-02T03:04:05Z","tags":[]}`:             "field count is missing",
	`{"item":"a","count":1,"due":null,"tags":[]}`:                     "field due is null",
	`{"item":"a","count":1,"due":"2026-01-02T03:04:05Z","tags":null}`: "field tags is null",
	`{}`: "field item is missing",
}

// TestNullArgument sends what lacks something to a method, which must not run.
func TestNullArgument(t *testing.T) {
	onEveryBroker(t, func(t *testing.T, dial func() broker.Broker) {
		ran := make(chan purchase, 100)
		order := func(_ context.Context, p purchase, note string, list []int) error { ran <- p; return nil }
		run(t, dial(), enoki.Options{}, enoki.NewService("shop", enoki.Method("order", order, "purchase", "note?", "list?")))
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c := client(t, dial())
		for text, want := range lacking {
			for _, args := range []struct {
				args   []any
				kwargs map[string]any
			}{{[]any{json.RawMessage(text)}, nil}, {nil, map[string]any{"purchase": json.RawMessage(text)}}} {
				_, err := c.Call(ctx, "shop", "order", args.args, args.kwargs)
				if enoki.CodeOf(err) != enoki.IncorrectSignature || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "argument purchase") {
					t.Errorf("%s: %v, want that %s", text, err, want)
				}
			}
		}
		if len(ran) > 0 {
			t.Errorf("the method ran with %+v", <-ran)
		}
		if _, err := c.Call(ctx, "shop", "order", []any{json.RawMessage(wholePurchase), nil, nil}, nil); err != nil {
			t.Errorf("null for what may be left out: %v", err)
		}
	})
}

// TestNullPayload emits the same: each is a dead letter that says what lacks.
func TestNullPayload(t *testing.T) {
	onEveryBroker(t, func(t *testing.T, dial func() broker.Broker) {
		buried, handled := make(chan broker.DeadLetter, 100), make(chan purchase, 100)
		bought := enoki.NewEvent[purchase]("shop", "bought")
		run(t, dial(), enoki.Options{OnDeadLetter: func(l broker.DeadLetter) { buried <- l }}, enoki.NewService("till",
			enoki.On(bought, func(_ context.Context, p purchase) error { handled <- p; return nil })))
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c := client(t, dial())
		for text, want := range lacking {
			if err := c.Emit(ctx, "shop", "bought", json.RawMessage(text)); err != nil {
				t.Fatal(err)
			}
			select {
			case l := <-buried:
				if l.Kind != broker.KindWrongType || !strings.Contains(l.Reason, want) {
					t.Errorf("%s: a letter of kind %s for %q, want %q", text, l.Kind, l.Reason, want)
				}
			case <-ctx.Done():
				t.Fatalf("%s: no dead letter came", text)
			}
		}
		if err := c.Emit(ctx, "shop", "bought", json.RawMessage(wholePurchase)); err != nil {
			t.Fatal(err)
		}
		select {
		case p := <-handled:
			if p.Item != "tea" {
				t.Errorf("handled %+v", p)
			}
		case <-ctx.Done():
			t.Error("a whole one is not handled")
		}
	})
}

// TestNilIsAnsweredAsEmpty has nil slices and maps go out, as results and as
// events; and a result that lacks something stays what a client makes of it.
func TestNilIsAnsweredAsEmpty(t *testing.T) {
	type answer struct {
		List  []string       `json:"list"`
		Table map[string]int `json:"table"`
		None  *int           `json:"none"`
	}
	onEveryBroker(t, func(t *testing.T, dial func() broker.Broker) {
		run(t, dial(), enoki.Options{}, enoki.NewService("nil",
			enoki.Method("list", func(context.Context) ([]int, error) { return nil, nil }),
			enoki.Method("table", func(context.Context) (map[string]int, error) { return nil, nil }),
			enoki.Method("deep", func(context.Context) ([]answer, error) { return make([]answer, 1), nil }),
			enoki.Method("pointer", func(context.Context) (*answer, error) { return nil, nil })))
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c := client(t, dial())
		for method, want := range map[string]string{"list": "[]", "table": "{}", "deep": `[{"list":[],"table":{},"none":null}]`, "pointer": "null"} {
			if got, err := c.Call(ctx, "nil", method, nil, nil); err != nil || string(got) != want {
				t.Errorf("%s: %s, %v; want %s", method, got, err, want)
			}
		}
		var in struct {
			Pointer func(ctx context.Context) (answer, error)   `rpc:"pointer"`
			Deep    func(ctx context.Context) ([]string, error) `rpc:"deep"`
		}
		if err := c.Bind("nil", &in); err != nil {
			t.Fatal(err)
		}
		if got, err := in.Pointer(ctx); err != nil || got.List != nil {
			t.Errorf("null as a result: %+v, %v", got, err)
		}
		if _, err := in.Deep(ctx); enoki.CodeOf(err) != enoki.Internal {
			t.Errorf("a result of another shape: %v", err)
		}
	})
}
