package contract

import (
	"encoding/json"
	"testing"
)

func TestPlainJSON(t *testing.T) {
	for dialect, want := range map[string]string{
		`{"args":[1,"NaN \" NaN"]}`:    `{"args":[1,"NaN \" NaN"]}`,
		`[NaN, Infinity, -Infinity]`:   `["NaN", "Infinity", "-Infinity"]`,
		`{"NaN":NaN,"x":"\\","y":NaN}`: `{"NaN":"NaN","x":"\\","y":"NaN"}`,
		`{"at":{"__type__":"datetime","__value__":"2026-11-23T01:02:03+00:00"}}`:            `{"at":"2026-11-23T01:02:03+00:00"}`,
		`[{"__type__":"decimal","__value__":"1.10"}]`:                                       `["1.10"]`,
		`{"__type__":"uuid","__value__":{"hex":"0123456789abcdef0123456789abcdef"}}`:        `"01234567-89ab-cdef-0123-456789abcdef"`,
		`{"__type__":"base64","__value__":"/w=="}`:                                          `"/w=="`,
		`{"__type__":"bytes","__value__":"text"}`:                                           `"text"`,
		`{"__type__":"mine","__value__":1}`:                                                 `{"__type__":"mine","__value__":1}`,
		`{"__type__":"date","__value__":"2026-11-23","more":12345678901234567890}`:          `{"__type__":"date","__value__":"2026-11-23","more":12345678901234567890}`,
		`{"__type__":"datetime","__value__":`:                                               `{"__type__":"datetime","__value__":`,
		`{"__type__":"uuid","__value__":{"hex":"zz23456789abcdef0123456789abcdef"},"n":1} `: `{"__type__":"uuid","__value__":{"hex":"zz23456789abcdef0123456789abcdef"},"n":1}`,
	} {
		if got := string(PlainJSON([]byte(dialect))); got != want {
			t.Errorf("%s\n got %s\nwant %s", dialect, got, want)
		}
	}
}

func FuzzPlainJSON(f *testing.F) {
	f.Add([]byte(`{"a":[NaN,-Infinity],"b":{"__type__":"datetime","__value__":"x"}}`))
	f.Add([]byte(`"\`))
	f.Fuzz(func(t *testing.T, body []byte) {
		plain := PlainJSON(body)
		if json.Valid(body) && !json.Valid(plain) {
			t.Errorf("%q was JSON and became %q", body, plain)
		}
	})
}
