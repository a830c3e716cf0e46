package contract

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// signature has every kind of argument.
var signature = mustMethod("register", func(ctx context.Context, email string, age int, tags *[]string, note string) (string, int, error) {
	return "", 0, nil
}, "email", "age", "tags?", "note?")

func mustMethod(name string, fn any, args ...string) *Method {
	m, err := New(name, reflect.TypeOf(fn), args)
	if err != nil {
		panic(err)
	}
	return m
}

func TestRequestLeavesOutOptionalZeros(t *testing.T) {
	tags := &[]string{"x"}
	for _, test := range []struct {
		args []any
		want string
	}{
		{[]any{"a", 1, tags, "n"}, `{"args":["a",1,["x"],"n"],"kwargs":{}}`},
		{[]any{"a", 0, (*[]string)(nil), ""}, `{"args":["a",0],"kwargs":{}}`},
		{[]any{"a", 0, (*[]string)(nil), "n"}, `{"args":["a",0],"kwargs":{"note":"n"}}`},
		{[]any{"", 0, tags, ""}, `{"args":["",0,["x"]],"kwargs":{}}`},
	} {
		var args []reflect.Value
		for _, arg := range test.args {
			args = append(args, reflect.ValueOf(arg))
		}
		got, err := signature.Request(args)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != test.want {
			t.Errorf("request(%v)\n got %s\nwant %s", test.args, got, test.want)
		}
	}
}

func TestBind(t *testing.T) {
	for body, want := range map[string]string{
		`{"args":["a",1],"kwargs":{}}`:                     `["a",1,null,""]`,
		`{"args":[],"kwargs":{"age":1,"email":"a"}}`:       `["a",1,null,""]`,
		`{"args":["a"],"kwargs":{"age":1,"note":"n"}}`:     `["a",1,null,"n"]`,
		`{"args":["a",1,["x"],"n"],"kwargs":{},"extra":1}`: `["a",1,["x"],"n"]`,
		`{"args":["a",1,null,"n"],"kwargs":{}}`:            `["a",1,null,"n"]`,
		`{"args":["a"],"kwargs":{}}`:                       "incorrect_signature: register() missing 1 required positional argument: 'age'",
		`{"args":[],"kwargs":{}}`:                          "incorrect_signature: register() missing 2 required positional arguments: 'email' and 'age'",
		`{"args":["a",1,[],"n",5],"kwargs":{}}`:            "incorrect_signature: register() takes 4 positional arguments but 5 were given",
		`{"args":["a",1],"kwargs":{"email":"b"}}`:          "incorrect_signature: register() got multiple values for argument 'email'",
		`{"args":["a",1],"kwargs":{"zz":1,"b":1}}`:         "incorrect_signature: register() got an unexpected keyword argument 'b'",
		`{"args":["a","one"],"kwargs":{}}`:                 "incorrect_signature: argument age: want int, got string",
		`{"args":["a"]}`:                                   `malformed_request: request must have both "args" and "kwargs"`,
		`[]`:                                               "malformed_request: request is not an object",
		`null`:                                             "malformed_request: request must have both",
		``:                                                 "malformed_request: request is not an object",
		`{"args":"a","kwargs":{}}`:                         "malformed_request: request is not an object",
		`{"args":[],"kwargs":{"` + strings.Repeat("a", 100) + `":1`: "malformed_request: request is not an object",
	} {
		got := func() string {
			c, err := parseRequest([]byte(body))
			if err == nil {
				var args []reflect.Value
				if args, err = signature.Bind(*c.Args, *c.Kwargs); err == nil {
					text, _ := json.Marshal(values(args))
					return string(text)
				}
			}
			return string(err.Code) + ": " + err.Message
		}()
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s\n got %s\nwant %s", body, got, want)
		}
	}
}

// TestByNameOnly is about what follows a "*": Python takes it by name only.
func TestByNameOnly(t *testing.T) {
	m := mustMethod("find", func(ctx context.Context, text string, limit int, sort string) error { return nil }, "text?", "*", "limit", "sort?")
	body, err := m.Request([]reflect.Value{reflect.ValueOf("a"), reflect.ValueOf(5), reflect.ValueOf("up")})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"args":["a"],"kwargs":{"limit":5,"sort":"up"}}`; string(body) != want {
		t.Errorf("request is %s, want %s", body, want)
	}
	c, _ := parseRequest(body)
	if args, err := m.Bind(*c.Args, *c.Kwargs); err != nil || args[1].Int() != 5 {
		t.Errorf("its own request: %v, %v", args, err)
	}
	c, _ = parseRequest([]byte(`{"args":["a",5],"kwargs":{}}`))
	if _, err := m.Bind(*c.Args, *c.Kwargs); err == nil || err.Message != "find() takes 1 positional argument but 2 were given" {
		t.Errorf("by position: %v", err)
	}
}

func FuzzBind(f *testing.F) {
	f.Add([]byte(`{"args":["a",1],"kwargs":{"note":"n"}}`))
	f.Add([]byte(`{"args":[[[[]]]],"kwargs":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, refused := parseRequest(body)
		if refused != nil {
			return
		}
		args, refused := signature.Bind(*c.Args, *c.Kwargs)
		if refused == nil && len(args) != 4 {
			t.Errorf("%q bound to %d arguments", body, len(args))
		}
	})
}
