package enoki

import (
	"encoding/hex"
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
