package found

import (
	"context"
	"encoding/json"
	"math"
	"testing"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/serializer"
)

// TestAnyKeepsWhatCame has values go through two services as any and as
// json.RawMessage, typed and untyped, in calls and back.
func TestAnyKeepsWhatCame(t *testing.T) {
	onEveryBroker(t, func(t *testing.T, dial func() broker.Broker) {
		run(t, dial(), enoki.Options{}, enoki.NewService("keeper",
			enoki.Method("any", func(_ context.Context, v any) (any, error) { return v, nil }, "v"),
			enoki.Method("odd", func(_ context.Context, v struct {
				withID
				V any `json:"v"`
			}) (any, error) {
				return v.V, nil
			}, "v"),
			enoki.Method("float", func(_ context.Context, v float64) (float64, error) { return v, nil }, "v"),
			enoki.Method("point", func(_ context.Context, v point) (point, error) { return v, nil }, "v"),
			enoki.Method("raw", func(_ context.Context, v json.RawMessage) (json.RawMessage, error) { return v, nil }, "v"),
			enoki.Method("text", func(_ context.Context, v string) (string, error) { return v, nil }, "v")))
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c := client(t, dial())
		for _, text := range []string{
			`9007199254740993`, `-9223372036854775808`, `123456789012345678901234567890`, `1.5`, `1.0`, `[1,[2.0,{"a":3,"b":-3.0}]]`, `1e+21`,
			`{"__type__":"date","__value__":"2020-01-01"}`, `{"__type__":"uuid","__value__":{"hex":"8f1d5e9c3b7a4d2e9f60718293a4b5c6"}}`,
			`{"a":{"__type__":"decimal","__value__":"1.10"}}`, `{"__type__":"own","__value__":1}`,
		} {
			for _, method := range []string{"any", "raw"} {
				if got, err := c.Call(ctx, "keeper", method, []any{json.RawMessage(text)}, nil); err != nil || string(got) != text {
					t.Errorf("%s(%s): %s, %v", method, text, got, err)
				}
			}
			if got, err := c.Call(ctx, "keeper", "odd", []any{json.RawMessage(`{"id":1,"v":` + text + `}`)}, nil); err != nil || string(got) != text {
				t.Errorf("odd(%s): %s, %v", text, got, err)
			}
		}
		for method, text := range map[string]string{"float": `2.0`, "point": `{"id":1,"x":1.0,"y":[2.0,0.5]}`} {
			if got, err := c.Call(ctx, "keeper", method, []any{json.RawMessage(text)}, nil); err != nil || string(got) != text {
				t.Errorf("%s(%s): %s, %v", method, text, got, err)
			}
		}
		if got, err := c.Call(ctx, "keeper", "raw", []any{map[string]any{"f": 1.0, "n": 1}}, nil); err != nil || string(got) != `{"f":1.0,"n":1}` {
			t.Errorf("a float of Go's came as %s, %v", got, err)
		}
		if got, err := c.Call(ctx, "keeper", "text", []any{json.RawMessage(`{"__type__":"decimal","__value__":"1.10"}`)}, nil); err != nil || string(got) != `"1.10"` {
			t.Errorf("a Decimal as text: %s, %v", got, err)
		}
		var one struct {
			Any func(ctx context.Context, v float64) (float64, error) `rpc:"any" args:"v"`
		}
		if err := c.Bind("keeper", &one); err != nil {
			t.Fatal(err)
		}
		if got, err := one.Any(ctx, math.NaN()); err != nil || !math.IsNaN(got) {
			t.Errorf("NaN: %v, %v", got, err)
		}
		if got, err := one.Any(ctx, math.Inf(-1)); err != nil || !math.IsInf(got, -1) {
			t.Errorf("-Infinity: %v, %v", got, err)
		}
	})
}

type withID struct {
	ID int `json:"id"`
}

// point has floats in a form that is left to encoding/json.
type point struct {
	withID
	X float32   `json:"x"`
	Y []float64 `json:"y"`
}

// TestOtherFormsCarryTheSame has floats and characters go through two services
// in YAML and MessagePack.
func TestOtherFormsCarryTheSame(t *testing.T) {
	for _, form := range []enoki.Serializer{serializer.YAML(), serializer.MsgPack()} {
		t.Run(form.Name, func(t *testing.T) {
			onEveryBroker(t, func(t *testing.T, dial func() broker.Broker) {
				o := enoki.Options{Serializer: &form}
				run(t, dial(), o, enoki.NewService("forms",
					enoki.Method("float", func(_ context.Context, v float64) (float64, error) { return v, nil }, "v"),
					enoki.Method("any", func(_ context.Context, v any) (any, error) { return v, nil }, "v"),
					enoki.Method("text", func(_ context.Context, v string) (string, error) { return v, nil }, "v")))
				var in struct {
					Float func(ctx context.Context, v float64) (float64, error) `args:"v"`
					Text  func(ctx context.Context, v string) (string, error)   `args:"v"`
				}
				if err := enoki.NewClient(dial(), &o).Bind("forms", &in); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				for _, v := range []float64{0, 1, -1.5, 1e-7, 1e20, 1e21, math.MaxFloat64, math.SmallestNonzeroFloat64} {
					if got, err := in.Float(ctx, v); err != nil || got != v {
						t.Errorf("%g came as %g, %v", v, got, err)
					}
				}
				c := enoki.NewClient(dial(), &o)
				for _, text := range []string{`1`, `1.0`, `[-2.0,2,{"a":0.0},1.5]`} {
					if got, err := c.Call(ctx, "forms", "any", []any{json.RawMessage(text)}, nil); err != nil || string(got) != text {
						t.Errorf("any(%s): %s, %v", text, got, err)
					}
				}
				for _, v := range []string{"", "1e-7", "\x1b[0m", "\x00", "\x7f", "\u0085\u009f\ufeff\u2028", "\\\"\n\t", "🏴\U000E0067\U000E007F", "- a: [", "2020-01-01", "yes"} {
					if got, err := in.Text(ctx, v); err != nil || got != v {
						t.Errorf("%+q came as %+q, %v", v, got, err)
					}
				}
			})
		})
	}
}
