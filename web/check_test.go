package web

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

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
		body:  []int{0},
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

// Fields that encoding/json leaves out without a word; vet would find most.
func TestFieldsThatJSONLeavesOut(t *testing.T) {
	number := reflect.TypeFor[int]()
	for want, of := range map[string]reflect.Type{
		`several fields of`: reflect.StructOf([]reflect.StructField{{Name: "A", Type: number, Tag: `json:"x"`}, {Name: "B", Type: number, Tag: `json:"x"`}}),
		`is not exported`:   reflect.StructOf([]reflect.StructField{{Name: "a", PkgPath: "web", Type: number, Tag: `json:"x"`}}),
	} {
		var d declaration
		if d.json(of, "Body", reading) || len(d.mistakes) != 1 || !strings.Contains(d.mistakes[0], want) {
			t.Errorf("%v: %q, want %q", of, d.mistakes, want)
		}
	}
}

// A random struct and random bodies: what passes is decoded, and what is
// decoded passes as it is written again.
func TestRandomTypes(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 1))
	passed := 0
	for range 150 {
		of := randomStruct(random, 2)
		registry := newSchemas()
		in := &input{body: []int{0}, shape: newShapes(registry).of(registry.Schema(of, true, "T"))}
		in.completes = defaults{}.in(in.shape)
		if told := registry.settle(); len(told) > 0 {
			t.Fatalf("seed %d: %v: %q", seed, of, told)
		}
		for range 30 {
			text, err := json.Marshal(randomValue(random, of, 0.03))
			if err != nil {
				t.Fatal(err)
			}
			v := reflect.New(reflect.StructOf([]reflect.StructField{{Name: "Body", Type: of}})).Elem()
			var faults []FieldError
			if p := in.readBody(text, v, &faults); p != nil {
				t.Fatalf("seed %d: %s is no JSON: %+v", seed, text, p)
			}
			if passes := in.shape.passes(text); passes != (len(faults) == 0) {
				t.Fatalf("seed %d: %s: passes is %v, but then %v\n%v", seed, text, passes, faults, of)
			}
			if len(faults) > 0 {
				continue
			}
			passed++
			var again bytes.Buffer
			if err := marshal(&again, v.Field(0).Interface()); err != nil || !in.shape.passes(again.Bytes()) {
				t.Fatalf("seed %d: %s is taken as %s: %v, %v\n%v", seed, text, again.Bytes(), err, in.shape.faults(again.Bytes(), "body"), of)
			}
		}
	}
	if passed < 200 {
		t.Errorf("%d bodies passed; the test shows little", passed)
	}
}

// randomStruct returns a struct with up to eight fields.
func randomStruct(random *rand.Rand, depth int) reflect.Type {
	var fields []reflect.StructField
	for i := range 1 + random.IntN(8) {
		of, tags := randomType(random, depth)
		name := string(rune('a' + i))
		option := []string{"", "", ",omitempty", ",omitzero"}[random.IntN(4)]
		if of.Kind() == reflect.Struct && option != "" {
			option = ",omitzero" // as empty it would be written, with zeros that may not be valid
		}
		fields = append(fields, reflect.StructField{Name: strings.ToUpper(name), Type: of, Tag: reflect.StructTag(`json:"` + name + option + `" ` + tags)})
	}
	return reflect.StructOf(fields)
}

func randomType(random *rand.Rand, depth int) (reflect.Type, string) {
	pick := func(texts ...string) string { return texts[random.IntN(len(texts))] }
	kinds := 9
	if depth > 0 {
		kinds = 14
	}
	switch random.IntN(kinds) {
	case 0:
		return reflect.TypeFor[string](), pick("", `minLength:"1"`, `maxLength:"2"`, `enum:"a,bc"`, `pattern:"^[a-z]*$"`)
	case 1:
		return reflect.TypeFor[int8](), pick("", `minimum:"0"`, `maximum:"3"`, `exclusiveMinimum:"1"`, `multipleOf:"2"`)
	case 2:
		return reflect.TypeFor[uint16](), pick("", `minimum:"2"`, `enum:"1,2,3"`)
	case 3:
		return reflect.TypeFor[float64](), pick("", `minimum:"0.5"`, `exclusiveMaximum:"2"`)
	case 4:
		return reflect.TypeFor[bool](), ""
	case 5:
		return reflect.TypeFor[*int](), pick("", `maximum:"3"`)
	case 6:
		return reflect.TypeFor[any](), ""
	case 7:
		return reflect.TypeFor[[]byte](), ""
	case 8:
		return reflect.TypeFor[time.Time](), ""
	case 9:
		return randomStruct(random, depth-1), ""
	case 10:
		return reflect.PointerTo(randomStruct(random, depth-1)), ""
	case 11:
		return reflect.SliceOf(randomStruct(random, depth-1)), pick("", `maxItems:"1"`, `minItems:"1"`)
	case 12:
		return reflect.MapOf(reflect.TypeFor[string](), randomStruct(random, depth-1)), pick("", `maxProperties:"1"`)
	}
	return reflect.ArrayOf(2, reflect.TypeFor[int8]()), ""
}

// randomValue returns what may be a value of the type, but for one in a few.
func randomValue(random *rand.Rand, of reflect.Type, wrong float64) any {
	if random.Float64() < wrong {
		return []any{nil, true, -1.5, 1e30, "", "zz", []any{}, []any{nil}, map[string]any{}, map[string]any{"z": 1, "A": 2}}[random.IntN(10)]
	}
	switch of.Kind() {
	case reflect.String:
		return []string{"a", "bc", "a", "bc", "", "äöü"}[random.IntN(6)]
	case reflect.Bool:
		return random.IntN(2) == 0
	case reflect.Pointer:
		if random.IntN(3) == 0 {
			return nil
		}
		return randomValue(random, of.Elem(), wrong)
	case reflect.Slice, reflect.Array:
		if of.Elem().Kind() == reflect.Uint8 {
			return []string{"", "YQ=="}[random.IntN(2)]
		}
		n := random.IntN(3)
		if of.Kind() == reflect.Array {
			n = of.Len()
		}
		list := []any{}
		for range n {
			list = append(list, randomValue(random, of.Elem(), wrong))
		}
		return list
	case reflect.Map:
		return map[string]any{"k": randomValue(random, of.Elem(), wrong)}
	case reflect.Struct:
		return randomObject(random, of, wrong)
	}
	return random.IntN(5)
}

func randomObject(random *rand.Rand, of reflect.Type, wrong float64) any {
	if of == reflect.TypeFor[time.Time]() {
		return "2026-01-02T03:04:05Z"
	}
	object := map[string]any{}
	members, _ := membersOf(of)
	for _, m := range members {
		switch {
		case m.isOptional() && random.IntN(3) == 0:
		case random.Float64() < wrong/3:
			object[strings.ToUpper(m.name)] = randomValue(random, m.Type, wrong)
		default:
			object[m.name] = randomValue(random, m.Type, wrong)
		}
	}
	return object
}
