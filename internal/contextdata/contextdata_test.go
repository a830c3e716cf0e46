package contextdata

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestContextForms: what brokertest does not send, and how it looks.
func TestContextForms(t *testing.T) {
	at := time.Date(2026, 11, 23, 8, 30, 5, 123456789, time.FixedZone("", 3600))
	for _, c := range []struct {
		sent any
		text string
		want any
	}{
		{int(5), `{"k":5}`, int64(5)},
		{uint64(1 << 62), `{"k":4611686018427387904}`, int64(1 << 62)},
		{float32(0.5), `{"k":0.5}`, 0.5},
		{1e300, `{"k":1e+300}`, 1e300},
		{math.Copysign(0, -1), `{"k":-0.0}`, math.Copysign(0, -1)},
		{math.Inf(-1), `{"k":{"$float":"-Inf"}}`, math.Inf(-1)},
		{at, `{"k":{"$time":"2026-11-23T07:30:05Z"}}`, at.Truncate(time.Second)},
		{[]any{nil, 1.0}, `{"k":[null,1.0]}`, []any{nil, 1.0}},
		{map[string]any{"a": nil}, `{"k":{}}`, map[string]any{}},
		{map[string]any{"$time": "x"}, `{"k":{"$map":{"$time":"x"}}}`, map[string]any{"$time": "x"}},
		{map[string]any{"$map": map[string]any{}}, `{"k":{"$map":{"$map":{}}}}`, map[string]any{"$map": map[string]any{}}},
		{"a\r\nEnoki-Id: b", `{"k":"a\r\nEnoki-Id: b"}`, "a\r\nEnoki-Id: b"},
	} {
		text, err := Append(nil, map[string]any{"k": c.sent})
		if err != nil || string(text) != c.text {
			t.Errorf("%#v: got %s and error %v, want %s", c.sent, text, err, c.text)
			continue
		}
		got, err := Parse(string(text))
		if err != nil || !same(got["k"], c.want) {
			t.Errorf("%s: got %#v and error %v, want %#v", text, got["k"], err, c.want)
		}
	}
}

func same(a, b any) bool {
	if at, ok := a.(time.Time); ok {
		bt, ok := b.(time.Time)
		return ok && at.Equal(bt)
	}
	return reflect.DeepEqual(a, b)
}

func TestContextRefused(t *testing.T) {
	for _, v := range []any{[]byte("x"), uint64(math.MaxUint64), struct{}{}, []any{make(chan int)}, map[string]any{"deep": complex(1, 2)}} {
		_, err := Append(nil, map[string]any{"the key": v})
		if err == nil || !strings.Contains(err.Error(), `"the key"`) {
			t.Errorf("%#v: got error %v, want one that names the key", v, err)
		}
	}
}

func TestContextUnreadable(t *testing.T) {
	for _, text := range []string{``, `[]`, `{`, `"x"`, `{"k":{"$time":"yesterday"}}`, `{"k":99999999999999999999}`, `{"k":[{"$float":"x"}]}`} {
		if got, err := Parse(text); err == nil {
			t.Errorf("%s: got %v, want an error", text, got)
		}
	}
}

// FuzzContext: what is read can be written and read again, and is the same.
func FuzzContext(f *testing.F) {
	f.Add(`{"call_id_stack":["a.b.1"],"n":1,"f":2.0,"t":{"$time":"2026-11-23T08:30:05Z"},"m":{"$map":{"$map":null}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		first, err := Parse(text)
		if err != nil {
			return
		}
		written, err := Append(nil, first)
		if err != nil && strings.Contains(err.Error(), "more than") {
			return // over a limit, which the sender is held to
		}
		if err != nil {
			t.Fatalf("%q was read as %#v, which can't be written: %v", text, first, err)
		}
		second, err := Parse(string(written))
		if err != nil {
			t.Fatalf("%q was written as %s, which can't be read: %v", text, written, err)
		}
		again, err := Append(nil, second)
		if err != nil || len(again) != len(written) {
			t.Errorf("%q: written as %s, then as %s (error %v)", text, written, again, err)
		}
	})
}
