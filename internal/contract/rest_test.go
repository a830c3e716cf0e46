package contract

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/enoki-go/enoki/fault"
)

// anything is def anything(self, first, second=0, *rest, flag=False, **more).
var anything = mustMethod("anything", func(ctx context.Context, first string, second int, rest []any, flag bool, more map[string]int) error {
	return nil
}, "first", "second?", "*rest", "flag?", "**more")

func TestRequestOfAnyNumber(t *testing.T) {
	for _, test := range []struct {
		rest []any
		more map[string]int
		want string
	}{
		{nil, nil, `{"args":["a"],"kwargs":{}}`},
		{nil, map[string]int{"y": 2, "x": 1}, `{"args":["a"],"kwargs":{"x":1,"y":2}}`},
		{[]any{"b", nil}, nil, `{"args":["a",0,"b",null],"kwargs":{}}`}, // what comes before must be there
	} {
		args := []reflect.Value{reflect.ValueOf("a"), reflect.ValueOf(0), reflect.ValueOf(test.rest), reflect.ValueOf(false), reflect.ValueOf(test.more)}
		got, err := anything.Request(args)
		if err != nil || string(got) != test.want {
			t.Errorf("request with %v and %v\n got %s, %v\nwant %s", test.rest, test.more, got, err, test.want)
		}
	}
	args := []reflect.Value{reflect.ValueOf("a"), reflect.ValueOf(0), reflect.ValueOf([]any{}), reflect.ValueOf(true), reflect.ValueOf(map[string]int{"flag": 1})}
	if _, err := anything.Request(args); fault.CodeOf(err) != fault.InvalidArgument || !strings.Contains(err.Error(), "flag") {
		t.Errorf("an argument given twice: %v", err)
	}
}

func TestBindAnyNumber(t *testing.T) {
	for body, want := range map[string]string{
		`{"args":["a"],"kwargs":{}}`:                            `["a",0,[],false,{}]`,
		`{"args":["a",1,"b",[2]],"kwargs":{"flag":true,"x":1}}`: `["a",1,["b",[2]],true,{"x":1}]`,
		`{"args":[],"kwargs":{"first":"a","rest":1,"more":2}}`:  `["a",0,[],false,{"more":2,"rest":1}]`, // as in Python
		`{"args":["a",1,2],"kwargs":{"second":1}}`:              "incorrect_signature: anything() got multiple values for argument 'second'",
		`{"args":[],"kwargs":{"x":1}}`:                          "incorrect_signature: anything() missing 1 required positional argument: 'first'",
		`{"args":["a"],"kwargs":{"x":"one"}}`:                   "incorrect_signature: argument x: want int, got string",
	} {
		args, refused := anything.Arguments([]byte(body), true, make([]reflect.Value, 8))
		var values []any
		for _, arg := range args {
			values = append(values, arg.Interface())
		}
		text, _ := json.Marshal(values)
		got := string(text)
		if refused != nil {
			got = string(refused.Code) + ": " + refused.Message
		}
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", body, got, want)
		}
	}
}

func TestAnyNumberIsRefused(t *testing.T) {
	type list = func(ctx context.Context, a string, rest []any) error
	for want, m := range map[string]func() (*Method, error){
		"make it a slice": func() (*Method, error) {
			return New("m", reflect.TypeFor[list](), []string{"*a", "b"})
		},
		"make it a map": func() (*Method, error) {
			return New("m", reflect.TypeFor[list](), []string{"a", "**rest"})
		},
		"put it last": func() (*Method, error) {
			return New("m", reflect.TypeFor[func(context.Context, map[string]any, string) error](), []string{"**rest", "a"})
		},
		"only one argument may begin with a star": func() (*Method, error) {
			return New("m", reflect.TypeFor[func(context.Context, []any, []any) error](), []string{"*a", "*b"})
		},
		"may be left out anyway": func() (*Method, error) {
			return New("m", reflect.TypeFor[list](), []string{"a", "*rest?"})
		},
	} {
		if _, err := m(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one that says %q", err, want)
		}
	}
}
