package enoki

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// signature has every kind of argument.
var signature = mustMethod("register", func(ctx context.Context, email string, age int, tags *[]string, note string) (string, int, error) {
	return "", 0, nil
}, "email", "age", "tags?", "note?")

func mustMethod(name string, fn any, args ...string) *method {
	m, err := newMethod(name, reflect.TypeOf(fn), args)
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
		got, err := signature.request(args)
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
				if args, err = signature.bind(c); err == nil {
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
	body, err := m.request([]reflect.Value{reflect.ValueOf("a"), reflect.ValueOf(5), reflect.ValueOf("up")})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"args":["a"],"kwargs":{"limit":5,"sort":"up"}}`; string(body) != want {
		t.Errorf("request is %s, want %s", body, want)
	}
	c, _ := parseRequest(body)
	if args, err := m.bind(c); err != nil || args[1].Int() != 5 {
		t.Errorf("its own request: %v, %v", args, err)
	}
	c, _ = parseRequest([]byte(`{"args":["a",5],"kwargs":{}}`))
	if _, err := m.bind(c); err == nil || err.Message != "find() takes 1 positional argument but 2 were given" {
		t.Errorf("by position: %v", err)
	}
}

func TestResultsRoundTrip(t *testing.T) {
	body, err := encodeResults(reflected([]any{"7000000", 3}))
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"result":["7000000",3],"error":null}`; string(body) != want {
		t.Fatalf("got %s, want %s", body, want)
	}
	raw, err := parseReply(body)
	if err != nil {
		t.Fatal(err)
	}
	out, err := signature.decodeResults(raw)
	if err != nil || out[0].String() != "7000000" || out[1].Int() != 3 {
		t.Fatalf("got %v, %v", out, err)
	}
}

func TestResultsThatDoNotFit(t *testing.T) {
	for _, raw := range []string{`"one"`, `["one"]`, `["one",2,3]`, `[1,2]`, ``} {
		if _, err := signature.decodeResults(json.RawMessage(raw)); !errors.Is(err, Internal) {
			t.Errorf("results %s: error %v, want code %s", raw, err, Internal)
		}
	}
}

func TestErrorsOverTheWire(t *testing.T) {
	for _, test := range []struct {
		err  error
		want Error
	}{
		{Errorf(NotFound, "no user %d", 7), Error{Code: NotFound, Type: "NotFound", Path: "enoki.NotFound", Message: "no user 7"}},
		{errors.New("broken"), Error{Code: Unknown, Type: "Error", Path: "enoki.Error", Message: "broken"}},
		{fmt.Errorf("reading: %w", Errorf(NotFound, "gone")), Error{Code: NotFound, Type: "NotFound", Path: "enoki.NotFound", Message: "reading: gone"}},
		{context.DeadlineExceeded, Error{Code: DeadlineExceeded, Type: "DeadlineExceeded", Path: "enoki.DeadlineExceeded", Message: "context deadline exceeded"}},
		{&Error{Code: NotFound, Type: "Gone", Path: "shop.Gone", Message: "gone"}, Error{Code: NotFound, Type: "Gone", Path: "shop.Gone", Message: "gone"}},
		// What one hop says of itself would mislead the next caller.
		{Errorf(UnknownService, "unknown service x"), Error{Code: Unavailable, Type: "UnknownService", Path: "nameko.exceptions.UnknownService", Message: "unknown service x"}},
		{Errorf(NotDelivered, "not sent"), Error{Code: Unavailable, Type: "RemoteError", Path: "nameko.exceptions.RemoteError", Message: "NotDelivered not sent"}},
		{&Error{Code: Unknown, Type: "ValueError", Path: "builtins.ValueError", Message: "bad", remote: true},
			Error{Code: Unknown, Type: "RemoteError", Path: "nameko.exceptions.RemoteError", Message: "ValueError bad"}},
	} {
		_, err := parseReply(encodeFailure(errorTypes(nil).failure(test.err)))
		var got *Error
		if !errors.As(err, &got) {
			t.Fatalf("%v crossed as %v", test.err, err)
		}
		if got.Code != test.want.Code || got.Type != test.want.Type || got.Path != test.want.Path || got.Message != test.want.Message {
			t.Errorf("%v crossed as %+v, want %+v", test.err, *got, test.want)
		}
		near := crossed(errorTypes(nil).failure(test.err))
		if !reflect.DeepEqual(near, got) {
			t.Errorf("%v: in one process %+v, over the wire %+v", test.err, near, got)
		}
	}
}

func TestErrorFromPython(t *testing.T) {
	_, err := parseReply([]byte(`{"result": null, "error": {"exc_type": "MethodNotFound", "exc_path": "nameko.exceptions.MethodNotFound", "exc_args": ["foo"], "value": "foo"}}`))
	if !errors.Is(err, MethodNotFound) {
		t.Errorf("%v is not %s", err, MethodNotFound)
	}
	// Before 1.5 there was no path, before 1.1.4 a traceback.
	_, err = parseReply([]byte(`{"result": null, "error": {"exc_type": "ValueError", "value": "bad", "traceback": "..."}}`))
	if !errors.Is(err, Unknown) || err.Error() != "ValueError: bad" {
		t.Errorf("got %v, code %s", err, CodeOf(err))
	}
}

func TestCodesAreComplete(t *testing.T) {
	for code, row := range codes {
		if row.status < 400 || row.exit == 0 || row.exit == 2 || row.class == "" || row.path == "" {
			t.Errorf("code %s has an incomplete row %+v", code, row)
		}
	}
	if Code("made_up").HTTPStatus() != 500 || Code("").ExitCode() != 0 || CodeOf(nil) != "" {
		t.Error("a code that is not in the table must be 500, and no code no failure")
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
		args, refused := signature.bind(c)
		if refused == nil && len(args) != 4 {
			t.Errorf("%q bound to %d arguments", body, len(args))
		}
	})
}
