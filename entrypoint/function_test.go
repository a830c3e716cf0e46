package entrypoint_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/enoki-go/enoki/entrypoint"
	"github.com/enoki-go/enoki/fault"
)

func bindJSON(t *testing.T, f *entrypoint.Function, positional, named string) (any, error) {
	t.Helper()
	var args []json.RawMessage
	var kwargs map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal([]byte(positional), &args), json.Unmarshal([]byte(named), &kwargs)); err != nil {
		t.Fatal(err)
	}
	do, err := f.Bind(args, kwargs)
	if err != nil {
		return nil, err
	}
	return do(t.Context())
}

func TestFunction(t *testing.T) {
	t.Parallel()
	f, err := entrypoint.NewFunction("repeat", func(_ context.Context, text string, times int) (string, error) {
		if times < 0 {
			return "", fault.Errorf(fault.InvalidArgument, "%d times?", times)
		}
		return strings.Repeat(text, times), nil
	}, "text", "times?")
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(f.Name(), f.Args()); got != "repeat[text times?]" {
		t.Errorf("function is %s", got)
	}
	for _, test := range []struct{ args, kwargs, want string }{
		{`["a",2]`, `{}`, "aa <nil>"},
		{`["a"]`, `{"times":3}`, "aaa <nil>"},
		{`[]`, `{"text":"a"}`, " <nil>"},
		{`["a",-1]`, `{}`, "<nil> -1 times?"},
		{`["a"]`, `{"text":"b"}`, "<nil> IncorrectSignature: repeat() got multiple values for argument 'text'"},
		{`[]`, `{"text":"b","size":1}`, "<nil> IncorrectSignature: repeat() got an unexpected keyword argument 'size'"},
		{`[3]`, `{}`, "<nil> IncorrectSignature: argument text: want string, got number"},
	} {
		result, err := bindJSON(t, f, test.args, test.kwargs)
		if got := fmt.Sprint(result, " ", err); got != test.want {
			t.Errorf("repeat %s %s: got %q, want %q", test.args, test.kwargs, got, test.want)
		}
	}
}

func TestFunctionResults(t *testing.T) {
	t.Parallel()
	for want, fn := range map[string]any{
		"<nil>": func(context.Context) error { return nil },
		"7":     func(context.Context) (int, error) { return 7, nil },
		"[7 x]": func(context.Context) (int, string, error) { return 7, "x", nil },
	} {
		f, err := entrypoint.NewFunction("f", fn)
		if err != nil {
			t.Fatal(err)
		}
		if result, err := bindJSON(t, f, "[]", "{}"); err != nil || fmt.Sprint(result) != want {
			t.Errorf("got %v, %v, want %s", result, err, want)
		}
	}
}

func TestFunctionIsRefused(t *testing.T) {
	t.Parallel()
	for want, fn := range map[string]any{
		`method "f" has no function`:        nil,
		`method "f": int is not a function`: 7,
		`method "f": func(context.Context, int) error has 1 arguments after the context and 0 names`: func(context.Context, int) error { return nil },
	} {
		if _, err := entrypoint.NewFunction("f", fn); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

type soldOut struct{ item string }

func (e *soldOut) Error() string { return "no " + e.item }

func TestAnswer(t *testing.T) {
	t.Parallel()
	remote := fault.Types{}.Answer(errors.New("deep"))
	stock := fault.TypeFunc("shop.SoldOut", func(e *soldOut) []any { return []any{e.item} }, func([]any, string) *soldOut { return nil })
	for _, test := range []struct {
		err                error
		class, path, value string
		args               []any
	}{
		{errors.New("oops"), "Error", "enoki.Error", "oops", []any{"oops"}},
		{fault.Errorf(fault.NotFound, "no user"), "NotFound", "enoki.NotFound", "no user", []any{"no user"}},
		{&fault.Error{Type: "ValueError", Path: "builtins.ValueError", Args: []any{1, "x"}, Message: "bad"}, "ValueError", "builtins.ValueError", "bad", []any{"1", "x"}},
		{fmt.Errorf("selling: %w", &soldOut{"tea"}), "SoldOut", "shop.SoldOut", "selling: no tea", []any{"tea"}},
		{remote, "RemoteError", "nameko.exceptions.RemoteError", "Error deep", []any{"Error", "deep"}},
	} {
		e := fault.Types{stock}.Answer(test.err)
		if e.Type != test.class || e.Path != test.path || e.Message != test.value || !reflect.DeepEqual(e.Args, test.args) {
			t.Errorf("%v: got %+v", test.err, *e)
		}
	}
}
