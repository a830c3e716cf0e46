package contract

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/enoki-go/enoki/internal/quickjson"
)

var requests = []string{
	`{"args":["a",1],"kwargs":{"note":"n"}}`, `{"kwargs": {"email": "a", "age": 1}, "args": []}`, `{"args":["a",1,null,"n"],"kwargs":{}}`,
	`{"args":["a",1,["x","y"]],"kwargs":{}}`, `{"args":["a",1],"kwargs":{"email":"b"}}`, `{"args":["a"],"kwargs":{}}`, `{"args":["a",1.5],"kwargs":{}}`,
	`{"args":["a",1],"kwargs":{"z":1}}`, `{"args":["a",1,[],"n",5],"kwargs":{}}`, `{"args":["a",NaN],"kwargs":{}}`, `{"Args":["a",1],"kwargs":{}}`,
	`{"args":[{"__type__":"date","__value__":"2020-01-01"},1],"kwargs":{}}`, `{"args":["a",1],"kwargs":{"note":"n","note":"m"}}`, `{"args":["a",1],"args":[],"kwargs":{}}`,
	`{"args":["a",1],"kwargs":{},"extra":1}`, `{"args":["a",1],"kwargs":null}`, `{"args":["a",1]}`, `[]`, ``, `{"args":["a",1],"kwargs":{}}x`, `{"args":["\u00e9",1],"kwargs":{}}`,
}

var replies = []string{
	`{"result":["a",1],"error":null}`, `{"error": null, "result": ["a", 1]}`, `{"result":["a"],"error":null}`, `{"result":["a",1,2],"error":null}`, `{"result":"a","error":null}`,
	`{"result":null,"error":{"exc_type":"ValueError","exc_path":"builtins.ValueError","exc_args":["x"],"value":"x"}}`, `{"result":["a",1]}`, `{"error":null}`, `{}`, ``,
	`{"result":[{"__type__":"uuid","__value__":{"hex":"0123456789abcdef0123456789abcdef","version":4}},2],"error":null}`, `{"result":[Infinity,1],"error":null}`,
	`{"result":["a",1],"result":["b",2],"error":null}`, `{"result":["a","b"],"error":null}`,
}

// TestOnePass holds what is read in one pass to what is read in two.
func TestOnePass(t *testing.T) {
	for _, body := range requests {
		sameArguments(t, []byte(body))
	}
	for _, body := range replies {
		sameResults(t, []byte(body))
	}
}

func TestOrdinaryBodiesTakeOnePass(t *testing.T) {
	for _, body := range requests[:4] {
		if _, ok := signature.readArguments([]byte(body), nil); !ok {
			t.Errorf("request %s takes two passes", body)
		}
	}
	for _, body := range replies[:2] {
		if !readReply([]byte(body), func(s *quickjson.Scanner) bool { return signature.readResults(s, make([]reflect.Value, 2)) }) {
			t.Errorf("reply %s takes two passes", body)
		}
	}
}

func FuzzOnePass(f *testing.F) {
	for _, body := range append(requests, replies...) {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		sameArguments(t, body)
		sameResults(t, body)
	})
}

func sameArguments(t *testing.T, body []byte) {
	t.Helper()
	got, ok := signature.readArguments(bytes.Clone(body), nil)
	if !ok {
		return
	}
	request, refused := parseRequest(PlainJSON(body))
	if refused != nil {
		t.Fatalf("%q is read, want the error %v", body, refused)
	}
	want, refused := signature.Bind(*request.Args, *request.Kwargs)
	if refused != nil || !reflect.DeepEqual(values(got), values(want)) {
		t.Errorf("%q is read as %v, want %v, %v", body, values(got), values(want), refused)
	}
}

func sameResults(t *testing.T, body []byte) {
	t.Helper()
	got := make([]reflect.Value, len(signature.Results))
	if !readReply(bytes.Clone(body), func(s *quickjson.Scanner) bool { return signature.readResults(s, got) }) {
		return
	}
	raw, err := parseReply(PlainJSON(body))
	if err != nil {
		t.Fatalf("%q is read, want the error %v", body, err)
	}
	want, err := signature.decodeResults(raw)
	if err != nil || !reflect.DeepEqual(values(got), values(want)) {
		t.Errorf("%q is read as %v, want %v, %v", body, values(got), values(want), err)
	}
}

func values(list []reflect.Value) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v.Interface()
	}
	return out
}
