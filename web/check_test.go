package web

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/enoki-go/enoki/internal/quickjson"
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

// twoTexts is one of what a text can both be.
type twoTexts struct{}

func (twoTexts) Schema(Registry) *Schema {
	return &Schema{OneOf: []*Schema{{Type: "string"}, {Type: "string"}}}
}

type anyOf struct{}

func (anyOf) Schema(Registry) *Schema { return &Schema{AnyOf: []*Schema{{Type: "string"}}} }

type openBody struct {
	_    struct{}  `json:"-" additionalProperties:"true"`
	Text string    `json:"text,omitempty" maxLength:"2"`
	Next *openBody `json:"next,omitempty"`
}

// A check may be unsure of what is valid, never sure of what is not.
func FuzzCheckIsSureOfValidBodiesOnly(f *testing.F) {
	for _, text := range checkedTexts {
		f.Add([]byte(text))
	}
	registry := huma.NewMapRegistry("#/components/schemas/", schemaNames())
	schema := registry.Schema(reflect.TypeFor[checkedBody](), true, "")
	sure := checkOf(registry, schema)
	if sure == nil {
		f.Fatal("there is no check of a body that has nothing special")
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !quickjson.Scan(text, sure) {
			return
		}
		var v any
		if err := json.Unmarshal(text, &v); err != nil {
			t.Fatalf("sure of %q: %v", text, err)
		}
		var result huma.ValidateResult
		huma.Validate(registry, schema, huma.NewPathBuffer(nil, 0), huma.ModeWriteToServer, v, &result)
		if len(result.Errors) > 0 {
			t.Errorf("sure of %q: %v", text, result.Errors)
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
	registry := huma.NewMapRegistry("#/components/schemas/", schemaNames())
	sure := checkOf(registry, registry.Schema(reflect.TypeFor[checkedBody](), true, ""))
	for _, text := range []string{
		`{"text":"abc","n":7,"whole":12,"f":0.5,"ok":false,"tags":["a","b"],"maybe":1,"open":{"more":[1],"text":"é"},"many":[{},{"next":{"text":"a"}}]}`,
		` { "text" : "äöü" } `,
		`{"text":"a","kind":"ä","like":"abz","one":1}`, `{"text":"a","kind":"a","one":"1"}`, `{"text":"a","one":{"text":"a"}}`,
	} {
		if !quickjson.Scan([]byte(text), sure) {
			t.Errorf("not sure of %s", text)
		}
	}
	for name, of := range map[string]reflect.Type{
		"format": reflect.TypeFor[struct{ A time.Time }](),
		"enum of numbers": reflect.TypeFor[struct {
			A int `enum:"1,2"`
		}](),
		"two choices of one type": reflect.TypeFor[struct{ A twoTexts }](),
		"any of several":          reflect.TypeFor[struct{ A anyOf }](),
		"unique items": reflect.TypeFor[struct {
			A []int `uniqueItems:"true"`
		}](),
		"multiple": reflect.TypeFor[struct {
			A int `multipleOf:"2"`
		}](),
		"values of map": reflect.TypeFor[map[string]int](),
		"anything":      reflect.TypeFor[struct{ A any }](),
		"read only": reflect.TypeFor[struct {
			A int `readOnly:"true"`
		}](),
		"dependent": reflect.TypeFor[struct {
			A int `json:"a,omitempty" dependentRequired:"b"`
			B int `json:"b,omitempty"`
		}](),
	} {
		if checkOf(registry, registry.Schema(of, false, "T"+name)) != nil {
			t.Errorf("there is a check of a schema that has %s", name)
		}
	}
}
