package web

import (
	"encoding/json"
	"reflect"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
)

type checkedBody struct {
	Text  string     `json:"text" minLength:"1" maxLength:"3"`
	N     int8       `json:"n,omitempty" minimum:"-1" maximum:"7"`
	Whole uint64     `json:"whole,omitempty"`
	F     float64    `json:"f,omitempty" exclusiveMinimum:"0" exclusiveMaximum:"1"`
	OK    bool       `json:"ok,omitempty"`
	Tags  []string   `json:"tags,omitempty" minItems:"1" maxItems:"2"`
	Maybe *int       `json:"maybe,omitempty"`
	Open  *openBody  `json:"open,omitempty"`
	Many  []openBody `json:"many,omitempty"`
	Fixed [2]int     `json:"fixed,omitempty"`
	Kind  string     `json:"kind,omitempty" enum:"a,ä"`
	Like  string     `json:"like,omitempty" pattern:"^a.*z$" maxLength:"3"`
	One   oneOf      `json:"one,omitempty"`
}

// oneOf is an integer from 1, a text, or a body.
type oneOf struct{}

func (oneOf) Schema(r Registry) *Schema {
	least := 1.0
	return &Schema{OneOf: []*Schema{{Type: "integer", Minimum: &least}, {Type: "string"}, r.Schema(reflect.TypeFor[openBody](), true, "")}}
}

type openBody struct {
	_    struct{}  `json:"-" additionalProperties:"true"`
	Text string    `json:"text,omitempty" maxLength:"2"`
	Next *openBody `json:"next,omitempty"`
}

// What passes the check is what is decoded, and what does not is explained.
func FuzzCheckAndDecodeAgree(f *testing.F) {
	for _, text := range checkedTexts {
		f.Add([]byte(text))
	}
	registry := newSchemas()
	in := &input{
		body: []int{0}, bodyType: reflect.TypeFor[checkedBody](),
		shape: newShapes(registry).of(registry.Schema(reflect.TypeFor[checkedBody](), true, "")),
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var got struct{ Body checkedBody }
		var faults []FieldError
		problem := in.readBody(text, reflect.ValueOf(&got).Elem(), &faults)
		if problem != nil || len(faults) > 0 {
			return
		}
		if len(text) == 0 || !json.Valid(text) {
			t.Fatalf("%q is taken", text)
		}
		again, err := jsonv2.Marshal(got.Body, dialect)
		if err != nil {
			t.Fatal(err)
		}
		if !in.shape.passes(again) {
			t.Errorf("%q is taken as %s, which is not valid: %v", text, again, in.shape.faults(again, "body"))
		}
	})
}

var checkedTexts = []string{
	`{"text":"abc"}`, `{"text":"äöü"}`, `{"text":"\u0061bcd"}`, `{"text":""}`, `{"text":"abcd"}`, `{"text":null}`, `{}`, `[]`, `null`, `{"text":"a"}x`,
	`{"text":"a","n":7}`, `{"text":"a","n":8}`, `{"text":"a","n":1.0}`, `{"text":"a","n":-2}`, `{"text":"a","n":"1"}`, `{"text":"a","whole":-1}`, `{"text":"a","whole":18446744073709551616}`,
	`{"text":"a","f":0.5}`, `{"text":"a","f":1}`, `{"text":"a","f":0}`, `{"text":"a","f":1e-400}`, `{"text":"a","ok":true}`, `{"text":"a","ok":1}`,
	`{"text":"a","tags":["x"]}`, `{"text":"a","tags":[]}`, `{"text":"a","tags":["x","y","z"]}`, `{"text":"a","tags":[1]}`, `{"text":"a","fixed":[1,2]}`, `{"text":"a","fixed":[1]}`,
	`{"text":"a","text":"bcde"}`, `{"text":"bcde","text":"a"}`, `{"TEXT":"a"}`, `{"text":"a","TEXT":"abcde"}`, `{"text":"a","other":1}`, `{"text":"a","maybe":null}`,
	`{"text":"a","open":{"more":[1,{"x":2}],"text":"ab","next":{"next":{"text":"abc"}}}}`, `{"text":"a","open":{"Text":"abc"}}`, `{"text":"a","many":[{},{"text":"abc"}]}`,
	`{"text":"a","kind":"ä"}`, `{"text":"a","kind":"b"}`, `{"text":"a","like":"abz"}`, `{"text":"a","like":"z"}`, `{"text":"a","like":"abcz"}`,
	`{"text":"a","one":1}`, `{"text":"a","one":0}`, `{"text":"a","one":1.5}`, `{"text":"a","one":"1"}`, `{"text":"a","one":{"text":"a"}}`, `{"text":"a","one":{"text":"abc"}}`, `{"text":"a","one":null}`,
}

func TestChecks(t *testing.T) {
	registry := newSchemas()
	s := newShapes(registry).of(registry.Schema(reflect.TypeFor[checkedBody](), true, ""))
	for _, text := range []string{
		`{"text":"abc","n":7,"whole":12,"f":0.5,"ok":false,"tags":["a","b"],"maybe":1,"open":{"more":[1],"text":"é"},"many":[{},{"next":{"text":"a"}}]}`,
		` { "text" : "äöü" } `, `{"text":"a","open":{"Text":"abc","TEXT":1}}`,
		`{"text":"a","kind":"ä","like":"abz","one":1}`, `{"text":"a","kind":"a","one":"1"}`, `{"text":"a","one":{"text":"a"}}`,
		`{"text":"a","maybe":null,"n":null,"tags":null,"open":null,"kind":null}`,
	} {
		if faults := s.faults([]byte(text), "body"); !s.passes([]byte(text)) || len(faults) > 0 {
			t.Errorf("%s: %v", text, faults)
		}
	}
	for text, want := range map[string]string{
		`{"text":"abcd"}`:                           "body.text: expected length <= 3",
		`{"text":null}`:                             "body.text: expected string",
		`{"text":"\u0061\u0062\u0063\u0064"}`:       "body.text: expected length <= 3",
		`{"text":"a","TEXT":"b"}`:                   "body.TEXT: unexpected property; it is written text",
		`{"text":"a","text":"b"}`:                   "body.text: is there twice",
		`{"text":"a","te\u0078t":"b"}`:              "body.text: is there twice",
		`{"text":"a","tagſ":["b"]}`:                 "body.tagſ: unexpected property; it is written tags",
		`{"text":"a","many":[{"x":{"a":1,"a":1}}]}`: "body.many[0].x.a: is there twice",
		`{"text":"a","many":[{"x":1,"x":1}]}`:       "body.many[0].x: is there twice",
		`{"text":"a","many":[{"text":"abc"}]}`:      "body.many[0].text: expected length <= 2",
		`{"text":"a","n":8}`:                        "body.n: expected number <= 7",
		`{"text":"a","n":1.5}`:                      "body.n: expected integer",
		`{"text":"a","f":1e400}`:                    "body.f: expected number of 64 bits",
		`{"text":"a","kind":"b"}`:                   `body.kind: expected value to be one of "a, ä"`,
		`{"text":"a","one":{"text":"abc"}}`:         "body.one: expected value to match exactly one schema but matched none",
		`[]`:                                        "body: expected object",
	} {
		var told []string
		for _, fault := range s.faults([]byte(text), "body") {
			told = append(told, fault.Location+": "+fault.Message)
		}
		if s.passes([]byte(text)) || len(told) != 1 || told[0] != want {
			t.Errorf("%s: %q, want %q", text, told, want)
		}
	}
}

// Words of JSON Schema that types can't say, but their Schema methods can.
func TestChecksOfOwnSchemas(t *testing.T) {
	one, two, few := 1.0, 0.1, 2
	for text, test := range map[string]struct {
		schema *Schema
		fits   bool
	}{
		`0.3`:                   {&Schema{Type: "number", MultipleOf: &two}, true},
		`0.35`:                  {&Schema{Type: "number", MultipleOf: &two}, false},
		`1`:                     {&Schema{Type: "number", ExclusiveMinimum: &one}, false},
		`1.0000000000000000001`: {&Schema{Type: "number", ExclusiveMinimum: &one}, true},
		`[1,2,1.0]`:             {&Schema{Type: "array", UniqueItems: true}, false},
		`[1,2]`:                 {&Schema{Type: "array", UniqueItems: true}, true},
		`{"a":1,"b":2,"c":3}`:   {&Schema{Type: "object", MaxProperties: &few}, false},
		`{"a":"x"}`:             {&Schema{Type: "object", AdditionalProperties: &Schema{Type: "integer"}}, false},
		`{"a":1}`:               {&Schema{Type: "object", AdditionalProperties: &Schema{Type: "integer"}}, true},
		`5`:                     {&Schema{Enum: []any{1, 5}}, true},
		`6`:                     {&Schema{Enum: []any{1, 5}}, false},
		`"x"`:                   {&Schema{Not: &Schema{Type: "string"}}, false},
		`7`:                     {&Schema{AllOf: []*Schema{{Type: "integer"}, {Type: "number", Maximum: &one}}}, false},
		`true`:                  {&Schema{AnyOf: []*Schema{{Type: "integer"}, {Type: "boolean"}}}, true},
		`"a"`:                   {&Schema{OneOf: []*Schema{{Type: "string"}, {Type: "string"}}}, false},
		`"2026-01-02"`:          {&Schema{Type: "string", Format: "date"}, true},
		`"2026-13-02"`:          {&Schema{Type: "string", Format: "date"}, false},
		`"YQ=="`:                {&Schema{Type: "string", ContentEncoding: "base64"}, true},
		`"Y"`:                   {&Schema{Type: "string", ContentEncoding: "base64"}, false},
	} {
		s := newShapes(newSchemas()).of(test.schema)
		if got := s.passes([]byte(text)); got != test.fits || got != (len(s.faults([]byte(text), "body")) == 0) {
			t.Errorf("%s: fits is %v, faults %v", text, got, s.faults([]byte(text), "body"))
		}
	}
}
