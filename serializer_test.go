package enoki

import (
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/enoki-go/enoki/broker"
)

func TestContentTypes(t *testing.T) {
	hexed := Serializer{ContentType: "application/x-hex",
		Decode: func(body []byte) ([]byte, error) { return hex.DecodeString(string(body)) },
		Encode: func(body []byte) ([]byte, error) { return []byte(hex.EncodeToString(body)), nil }}
	f := formsOf(&Options{Accept: []Serializer{hexed}})
	for contentType, want := range map[string]string{
		"":                                `{"a":1}`,
		"application/json":                `{"a":1}`,
		"application/json; charset=utf-8": `{"a":1}`,
		"application/x-hex":               `{"a":1}`,
		"application/x-python-serialize":  "",
		"text/plain":                      "",
	} {
		body := []byte(`{"a":1}`)
		if contentType == hexed.ContentType {
			body, _ = hexed.Encode(body)
		}
		got, form, err := f.read(&broker.Message{ContentType: contentType, Body: body})
		if (err == nil) != (want != "") || string(got) != want && want != "" {
			t.Errorf("content type %q: %s, %v; want %q", contentType, got, err, want)
		}
		if (form != nil) != (contentType == hexed.ContentType) {
			t.Errorf("content type %q would be answered in %v", contentType, form)
		}
	}
	if _, _, err := f.read(&broker.Message{ContentType: hexed.ContentType, Body: []byte("no hex")}); err == nil {
		t.Error("a body that is not of its content type was read")
	}
}

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
		if got := string(plainJSON([]byte(dialect))); got != want {
			t.Errorf("%s\n got %s\nwant %s", dialect, got, want)
		}
	}
}

func FuzzPlainJSON(f *testing.F) {
	f.Add([]byte(`{"a":[NaN,-Infinity],"b":{"__type__":"datetime","__value__":"x"}}`))
	f.Add([]byte(`"\`))
	f.Fuzz(func(t *testing.T, body []byte) {
		plain := plainJSON(body)
		if json.Valid(body) && !json.Valid(plain) {
			t.Errorf("%q was JSON and became %q", body, plain)
		}
	})
}
