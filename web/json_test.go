package web

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
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

func FuzzJSONIsThatOfTheStandardLibrary(f *testing.F) {
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
			gotErr, wantErr := unmarshal(text, got.Interface()), json.Unmarshal(text, want.Interface())
			if !reflect.DeepEqual(gotErr, wantErr) || !reflect.DeepEqual(got.Interface(), want.Interface()) {
				t.Errorf("%q into %v: %+v, %v; want %+v, %v", text, of, got.Elem(), gotErr, want.Elem(), wantErr)
			}
			sameText(t, got.Elem().Interface())
		}
	})
}

// sameText compares what is written, to a plain writer and to an answer.
func sameText(t *testing.T, v any) {
	t.Helper()
	var want bytes.Buffer
	enc := json.NewEncoder(&want)
	enc.SetEscapeHTML(false)
	wantErr := enc.Encode(v)
	var plain bytes.Buffer
	a := &answer{held: new(bytes.Buffer)}
	a.status = 200
	for _, err := range []error{marshal(&plain, v), marshal(a, v)} {
		if (err == nil) != (wantErr == nil) {
			t.Errorf("%+v: %v, want %v", v, err, wantErr)
		}
	}
	if wantErr == nil && (plain.String() != want.String() || a.held.String() != want.String()) {
		t.Errorf("%+v is written as %q and %q, want %q", v, plain.String(), a.held.String(), want.String())
	}
}

func TestUnmarshalIntoWhatIsNotZero(t *testing.T) {
	v := jsonSample{Text: "kept"}
	if err := unmarshal([]byte(`{"n":1}`), &v); err != nil || v.Text != "kept" || v.N != 1 {
		t.Errorf("%+v, %v", v, err)
	}
	if err := unmarshal([]byte(`1`), nil); err == nil {
		t.Error("no error for nil")
	}
}
