package contextdata

import (
	"reflect"
	"testing"
)

// FuzzPlain holds the plain parser to what package json reads.
func FuzzPlain(f *testing.F) {
	for _, text := range []string{
		`{}`, `{"call_id_stack":["a.b.1","c.d.2"],"timeout":9999}`, `{"a":null,"b":[null,true,false,[],{}],"c":{"d":-0}}`,
		`{"a":1,"a":null}`, `{"a":{"b":1},"a":{"c":1}}`, `{"n":007}`, `{"n":-}`, `{"n":1.5}`, `{"n":1e3}`, `{"n":9223372036854775808}`,
		`{"s":"ü"}`, `{"s":"\u0041"}`, `{"$time":"2026-01-02T03:04:05Z"}`, `{"a":{"$map":{"$time":"x"}}}`, `{"a" : 1}`, `{"a":1,}`,
		`{"a":1}x`, `{"a":nul}`, `[]`, `null`, `{"a":[1,]}`, ``,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p := plainParser{rest: text}
		got, ok := p.object(0)
		if !ok || p.rest != "" {
			return // left to package json
		}
		want, err := parseJSON(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %v, want %v and error %v", text, got, want, err)
		}
	})
}
