package web

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
)

type jsonSample struct {
	Text  string         `json:"text"`
	N     int            `json:"n,omitempty"`
	F     float64        `json:"f"`
	Tags  []string       `json:"tags"`
	When  time.Time      `json:"when"`
	Raw   rawHTML        `json:"raw"`
	Table map[string]any `json:"table"`
	Next  *jsonSample    `json:"next,omitempty"`
}

// rawHTML has a form of its own, in which HTML stays as it is.
type rawHTML string

func (r rawHTML) MarshalJSON() ([]byte, error) { return []byte(`"` + r + `"`), nil }
func (r *rawHTML) UnmarshalJSON(text []byte) error {
	*r = rawHTML(strings.Trim(string(text), `"`))
	return nil
}

func FuzzJSONIsThatOfTheStandardLibraryInExactCase(f *testing.F) {
	for _, text := range []string{
		`{"text":"a","n":1,"f":1.5,"tags":["x"],"when":"2026-01-02T03:04:05Z","raw":"<b>","table":{"b":[1,null],"a":"<&>"},"next":{"text":"x"}}`,
		`{"text":"<a href='x'>&</a>"}`, `{"text":"\\u003c"}`, `{"text":"\u0001\u2028\u007f"}`, "{\"text\":\"\xff\"}", `{"TEXT":"folded"}`,
		`{"text":"a","text":"b"}`, `{"n":"1"}`, `{"n":1.5}`, `{"tags":null}`, `{"__type__":"date"}`, `{"text":"a"}x`, `{`, ``, `null`, `[]`, `"<"`, `1e400`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, of := range []reflect.Type{reflect.TypeFor[any](), reflect.TypeFor[jsonSample](), reflect.TypeFor[*jsonSample]()} {
			got, want := reflect.New(of), reflect.New(of)
			if err := unmarshal(text, got.Elem()); err != nil {
				continue // a key that comes twice, too
			}
			err := json.Unmarshal(text, want.Interface())
			exact := !bytes.Contains(text, []byte("TEXT")) // else a fuzzer's names are taken for others
			if exact && (err != nil || sameCase(text) && !reflect.DeepEqual(got.Interface(), want.Interface())) {
				t.Errorf("%q into %v: %+v; want %+v, %v", text, of, got.Elem(), want.Elem(), err)
			}
			sameText(t, got.Elem().Interface())
		}
	})
}

// sameCase reports whether no key of text is a name of jsonSample in another
// case.
func sameCase(text []byte) bool { return bytes.Equal(text, bytes.ToLower(text)) }

// sameText compares what is written, to a plain writer and to an answer.
func sameText(t *testing.T, v any) {
	t.Helper()
	want, wantErr := jsonv2.Marshal(v, dialect)
	var plain bytes.Buffer
	a := &answer{held: new(bytes.Buffer)}
	a.status = 200
	for _, err := range []error{marshal(&plain, v), marshal(a, v)} {
		if (err == nil) != (wantErr == nil) {
			t.Errorf("%+v: %v, want %v", v, err, wantErr)
		}
	}
	if wantErr == nil && (plain.String() != string(want)+"\n" || a.held.String() != string(want)+"\n") {
		t.Errorf("%+v is written as %q and %q, want %q", v, plain.String(), a.held.String(), want)
	}
}

// Names are exact, keys come once, and nil is written as an empty list or
// object, also where encoding/json had to help before.
func TestDialect(t *testing.T) {
	type part struct {
		A int `json:"a"`
	}
	type body struct {
		part
		Fixed [1]part         `json:"fixed"`
		List  []part          `json:"list"`
		Table map[string]part `json:"table"`
		Bytes []byte          `json:"bytes"`
		Any   any             `json:"any"`
		N     int             `json:"n,string"`
		Zero  time.Time       `json:"zero,omitzero"`
	}
	var got body
	if err := unmarshal([]byte(`{"A":1,"fixed":[{"A":2}],"list":[{"A":3}],"table":{"x":{"A":4}},"n":"5"}`), reflect.ValueOf(&got).Elem()); err != nil {
		t.Fatal(err)
	}
	if got.A != 0 || got.Fixed[0].A != 0 || got.List[0].A != 0 || got.Table["x"].A != 0 || got.N != 5 {
		t.Errorf("%+v: a key in another case was taken for a field", got)
	}
	numbers := []any{int64(9007199254740993), 1.0, map[string]any{"n": int64(-5), "f": 0.5}}
	const text = `[9007199254740993,1.0,{"n":-5,"f":0.5}]`
	var ordinary struct{ Any any }
	if err := unmarshal([]byte(`{"Any":`+text+`}`), reflect.ValueOf(&ordinary).Elem()); err != nil || !reflect.DeepEqual(ordinary.Any, numbers) {
		t.Errorf("%s is %#v, %v", text, ordinary.Any, err)
	}
	if err := unmarshal([]byte(`{"any":`+text+`}`), reflect.ValueOf(&got).Elem()); err != nil || !reflect.DeepEqual(got.Any, numbers) {
		t.Errorf("%s is %#v, %v, beside fields that are not ordinary", text, got.Any, err)
	}
	if err := unmarshal([]byte(`{"fixed":[{"a":1,"a":2}]}`), reflect.ValueOf(new(body)).Elem()); err == nil {
		t.Error("a key that comes twice is taken")
	}
	var written bytes.Buffer
	if err := marshal(&written, body{Any: []string(nil)}); err != nil {
		t.Fatal(err)
	}
	want := `{"a":0,"fixed":[{"a":0}],"list":[],"table":{},"bytes":"","any":[],"n":"0"}` + "\n"
	if written.String() != want {
		t.Errorf("written %s, want %s", written.String(), want)
	}
}
