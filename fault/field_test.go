package fault

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

type level string

type broken struct {
	Text  string
	Level level
	Count int8
	Size  uint
	Share float32
	Wait  time.Duration
	Sure  bool
	At    time.Time
	Tags  []string
	Next  *int
}

func (e *broken) Error() string { return "broken" }

func TestFieldsKeepTheirTypes(t *testing.T) {
	t.Parallel()
	n := 5
	types := Types{TypeOf[*broken]("shop.Broken")}
	if err := types.Check(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []*broken{
		{},
		{Text: "a, \"b\"", Level: "high", Count: -7, Size: 1 << 40, Share: 0.1, Wait: time.Second, Sure: true,
			At: time.Date(2026, 11, 29, 1, 2, 3, 4, time.UTC), Tags: []string{"x", ""}, Next: &n},
	} {
		crossed := ExceptionOf(types.Failure(want)).Error()
		var got *broken
		if !errors.As(types.Restore(crossed), &got) || !reflect.DeepEqual(got, want) {
			t.Errorf("%#v crossed as %#v, %#v", want, got, crossed)
		}
	}
}

func TestFieldsFromPython(t *testing.T) {
	t.Parallel()
	type args = []any
	for name, c := range map[string]struct {
		args args
		want *broken
	}{
		"as Python writes them": {args{"a", "low", "1", "2", "0.5", "3", "True", "2026-11-29T01:02:03Z", args{"x"}, "null"},
			&broken{Text: "a", Level: "low", Count: 1, Size: 2, Share: 0.5, Wait: 3, Sure: true, At: time.Date(2026, 11, 29, 1, 2, 3, 0, time.UTC), Tags: []string{"x"}}},
		"too few":    {args{"a"}, nil},
		"no number":  {args{"a", "low", "one", "2", "0.5", "3", "True", "2026-11-29T01:02:03Z", args{}, "null"}, nil},
		"too large":  {args{"a", "low", "200", "2", "0.5", "3", "True", "2026-11-29T01:02:03Z", args{}, "null"}, nil},
		"other list": {args{"a", "low", "1", "2", "0.5", "3", "True", "2026-11-29T01:02:03Z", map[string]any{}, "null"}, nil},
	} {
		types := Types{TypeOf[*broken]("shop.Broken")}
		err := types.Restore((&Exception{Type: "Broken", Path: "shop.Broken", Args: c.args, Value: "text"}).Error())
		var got *broken
		if errors.As(err, &got); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %#v, want %#v", name, got, c.want)
		}
	}
}

type text string

func (t text) Error() string { return string(t) }

type hides struct {
	Cause error
	n     int
}

func (h hides) Error() string { return fmt.Sprint("hides ", h.n) }

func TestTypesThatTextCannotCarry(t *testing.T) {
	t.Parallel()
	for want, typ := range map[string]Type{
		"is no struct":        TypeOf[text]("x.Text"),
		"hides.Cause":         TypeOf[hides]("x.Hides"),
		"hides.n is not exp":  TypeOf[hides]("x.Hides"),
		"has no path":         TypeFunc("", nil, func([]any, string) text { return "" }),
		"error type 1 of 1 i": {},
	} {
		if err := (Types{typ}).Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error that says %q", err, want)
		}
	}
}
