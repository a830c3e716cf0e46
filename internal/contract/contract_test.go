package contract

import (
	"context"
	"io"
	"reflect"
	"strings"
	"testing"
)

type profile struct {
	Name string         `json:"name"`
	Tags map[string]int `json:"tags"`
	Next *profile       `json:"next"`
}

func TestContractFields(t *testing.T) {
	type contract struct {
		CheckUserID func(ctx context.Context, id string) (*profile, error)                             `args:"u_id"`
		Register    func(ctx context.Context, email string, p profile) (id, message string, err error) `rpc:"register" args:"email,user_data?" timeout:"2s"`
		Ping        func(ctx context.Context) error
	}
	fields, err := Fields(reflect.TypeFor[contract]())
	if err != nil {
		t.Fatal(err)
	}
	if len(fields) != 3 {
		t.Fatalf("got %d fields, want 3", len(fields))
	}
	for i, want := range []string{"check_user_id", "register", "ping"} {
		if fields[i].Name != want {
			t.Errorf("method %d is named %q, want %q", i, fields[i].Name, want)
		}
	}
	register := fields[1]
	if got := strings.Join(register.ArgNames(), ","); got != "email,user_data?" {
		t.Errorf("arguments %q", got)
	}
	if register.Timeout.Seconds() != 2 || len(register.Results) != 2 {
		t.Errorf("timeout %v, results %v", register.Timeout, register.Results)
	}
}

func TestContractIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		contract any
		want     string // what the message must say
	}{
		"not a struct": {7, "make it a struct"},
		"empty":        {struct{}{}, "has no functions"},
		"not a function": {struct{ Name string }{},
			"Name: is a string; a contract holds functions only"},
		"no context": {struct {
			Hello func(name string) error `args:"name"`
		}{}, "make its first argument a context.Context"},
		"no error": {struct {
			Hello func(ctx context.Context) string
		}{}, "add an error as its last result"},
		"variadic": {struct {
			Hello func(ctx context.Context, names ...string) error `args:"names"`
		}{}, "take a slice instead"},
		"no names": {struct {
			Hello func(ctx context.Context, name string) error
		}{}, "has 1 arguments after the context and 0 names"},
		"name twice": {struct {
			Add func(ctx context.Context, a, b int) error `args:"a,a"`
		}{}, `"a" stands twice`},
		"optional first": {struct {
			Add func(ctx context.Context, a, b int) error `args:"a?,b"`
		}{}, `"b" follows an optional one`},
		"bad method name": {struct {
			Hello func(ctx context.Context) error `rpc:"say.hello"`
		}{}, `'.' at position 4`},
		"method twice": {struct {
			A func(ctx context.Context) error `rpc:"hello"`
			B func(ctx context.Context) error `rpc:"hello"`
		}{}, `"hello" is already`},
		"channel": {struct {
			Hello func(ctx context.Context, c chan int) error `args:"c"`
		}{}, `argument "c": chan int is a chan`},
		"function inside": {struct {
			Hello func(ctx context.Context, c struct{ Done func() }) error `args:"c"`
		}{}, `Done is a func, which JSON cannot carry`},
		"interface result": {struct {
			Hello func(ctx context.Context) (io.Reader, error)
		}{}, "result 1: io.Reader is an interface with methods"},
		"map key": {struct {
			Hello func(ctx context.Context) (map[float64]int, error)
		}{}, "use string keys"},
		"timeout": {struct {
			Hello func(ctx context.Context) error `timeout:"soon"`
		}{}, `"soon" is not a positive duration`},
		"delivery": {struct {
			Hello func(ctx context.Context) error `delivery:"once"`
		}{}, `delivery tag is "once", want at-most-once`},
		"misspelt tag": {struct {
			Hello func(ctx context.Context) error `timout:"2s"`
		}{}, "tag timout is not known; did you mean timeout?"},
		"unknown tag": {struct {
			Hello func(ctx context.Context) error `cache:"2s"`
		}{}, "tag cache is not known; there are rpc, args"},
		"misspelt tag inside": {struct {
			Hello func(ctx context.Context, p struct {
				Name string `jsno:"name"`
			}) error `args:"p"`
		}{}, "tag jsno is not known; did you mean json?"},
		"unexported with a tag": {struct {
			Hello func(ctx context.Context, p struct {
				name string `sensitive:"true"`
			}) error `args:"p"`
		}{}, "name: is tagged sensitive, but is not exported"},
		"two at once": {struct {
			Hello func(ctx context.Context, a chan int, b func()) (complex64, error) `args:"a,b"`
		}{}, "argument \"b\": func() is a func, which JSON cannot carry; use numbers, text, slices, maps or structs\nresult 1"},
		"two tags at once": {struct {
			Hello func(ctx context.Context) error `timeout:"soon" oneway:"yes"`
		}{}, "oneway tag \"yes\""},
		"unexported": {struct {
			hello func(ctx context.Context) error
		}{}, "begin its name with a capital letter"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Fields(reflect.TypeOf(test.contract))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one that says %q", err, test.want)
			}
		})
	}
}

func TestSnakeCase(t *testing.T) {
	for in, want := range map[string]string{
		"Hello": "hello", "CheckRegistered": "check_registered", "UserID": "user_id", "HTTPServer": "http_server", "Add2": "add2",
	} {
		if got := snakeCase(in); got != want {
			t.Errorf("snakeCase(%q) = %q, want %q", in, got, want)
		}
	}
}
