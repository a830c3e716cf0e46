package quickjson

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"math/big"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

type inner struct {
	A int    `json:"a"`
	B string `json:"b,omitempty"`
	C *inner `json:"c"`
}

type embedded struct {
	inner
	Own string
}

type document struct {
	Name    string             `json:"name"`
	Age     int                `json:"age"`
	Score   float64            `json:"score"`
	Small   float32            `json:"small,omitempty"`
	Tiny    int8               `json:"tiny"`
	Count   uint16             `json:"count,omitempty"`
	OK      bool               `json:"ok"`
	Tags    []string           `json:"tags"`
	Inner   inner              `json:"inner"`
	Pointer *inner             `json:"pointer,omitempty"`
	List    []inner            `json:"list,omitempty"`
	Table   map[string]int     `json:"table"`
	Nested  map[string][]inner `json:"nested,omitempty"`
	Any     any                `json:"any"`
	When    time.Time          `json:"when"`
	Raw     json.RawMessage    `json:"raw,omitempty"`
	Bytes   []byte             `json:"bytes"`
	Number  json.Number        `json:"number"`
	Array   [2]int             `json:"array"`
	Text    int                `json:"text,string"`
	Zero    time.Time          `json:"zero,omitzero"`
	Method  pointerMethod      `json:"method"`
	Skipped string             `json:"-"`
	Plain   string
	_       string
}

// plain is what is read and written without encoding/json.
type plain struct {
	Name  string         `json:"name"`
	Age   int            `json:"age"`
	Score float64        `json:"score"`
	Small float32        `json:"small,omitempty"`
	OK    *bool          `json:"ok,omitempty"`
	Tags  []string       `json:"tags"`
	Inner []inner        `json:"inner"`
	Table map[string]any `json:"table"`
	Any   any            `json:"any"`
}

// pointerMethod has a form of its own only where it has an address.
type pointerMethod struct{ N int }

func (p *pointerMethod) MarshalJSON() ([]byte, error) { return []byte(`"<own>"`), nil }

// marked looks like a value of kombu's dialect.
type marked struct {
	Type  string `json:"__type__"`
	Value string `json:"__value__"`
}

type keyed map[time.Duration]string

// targets are types of every kind.
var targets = []reflect.Type{
	reflect.TypeFor[plain](), reflect.TypeFor[document](), reflect.TypeFor[*document](), reflect.TypeFor[[]document](),
	reflect.TypeFor[embedded](), reflect.TypeFor[any](), reflect.TypeFor[map[string]any](), reflect.TypeFor[map[string]plain](), reflect.TypeFor[keyed](),
	reflect.TypeFor[string](), reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[uint](), reflect.TypeFor[float64](), reflect.TypeFor[float32](),
	reflect.TypeFor[bool](), reflect.TypeFor[*string](), reflect.TypeFor[[]int](), reflect.TypeFor[[][]string](), reflect.TypeFor[map[string]*inner](),
	reflect.TypeFor[json.RawMessage](), reflect.TypeFor[time.Time](), reflect.TypeFor[[]byte](), reflect.TypeFor[pointerMethod](), reflect.TypeFor[inner](), reflect.TypeFor[marked](),
}

var texts = []string{
	`{"name":"Ada","age":36,"score":1.5,"small":2.5,"ok":true,"tags":["a","b"],"inner":[{"a":1,"b":"x","c":{"a":2,"c":null}}],"table":{"z":1,"a":[]},"any":{"x":[1,"2",null,true,{}]}}`,
	` { "name" : "Ada" , "tags" : [ ] , "inner" : null } `,
	`{"name":"A","name":"B"}`, `{"Name":"A"}`, `{"NAME":"A","name":"B"}`, `{"ſcore":1}`, `{"inner":{"a":1},"inner":{"b":"x"}}`,
	`{"table":{"a":1,"a":null}}`, `{"table":{"a":1},"table":{"b":2}}`, `{"unknown":{"deep":[1,{"x":"\u00e9"}]},"age":1}`, `{"unknown":01}`, `{"unknown":"\x"}`,
	`{"name":"\u00e9\ud83d\ude00\"\\\n"}`, `{"name":"\ud800"}`, "{\"name\":\"\xff\xfe\"}", `{"name":"<a href='x'>&</a>\u2028"}`, "{\"name\":\"a\tb\"}",
	`{"na\u006de":"escaped key"}`, "{\"name\":\"é日本\"}", `{"__type__":"date","__value__":"2020-01-01"}`, `{"any":{"__type__":"date","__value__":"2020-01-01"}}`,
	`{"when":"2026-01-02T03:04:05Z","raw":{"b":[1, 2]},"bytes":"aGk=","number":12,"array":[1,2,3],"text":"7","method":{"N":4}}`,
	`{"when":"no time"}`, `{"number":"12"}`, `{"age":1.0}`, `{"age":1e2}`, `{"tiny":128}`, `{"count":-1}`, `{"age":9223372036854775808}`, `{"score":1e400}`,
	`{"small":1e39}`, `{"small":0.1}`, `{"score":-0}`, `{"score":1e21}`, `{"score":1e-7}`, `{"score":123456789012345678901234567890}`,
	`{"a":1,"c":null,"b":"x"}`, `{"a":1,"b":"x","a":2}`, `{"a":1,"b":"x","A":2}`, `{"a":1,"b":"x",}`, `{"a" :1, "b" : "x" }`, `{"a":1 "b":"x"}`, `{"a":1,"b":"x","c":null,"d":0}`,
	`null`, `true`, `false`, `0`, `-0`, `-1`, `01`, `1.`, `.5`, `1e`, `1e5`, `-`, `"x"`, `"`, `""`, `[]`, `[1,2,3]`, `[1,2,]`, `[[],["a"]]`, `{}`, `{"a":}`, `{"a"}`, `{,}`,
	`NaN`, `Infinity`, `tru`, `nul`, `{"a":1}x`, `{} {}`, ``, ` `, "\x00", "1\x00", `{"a":1,"b":"x","c":{"a":2}}`, `{"1000000000":"one"}`, `[{"name":"a"},null]`,
	strings.Repeat("[", 200) + strings.Repeat("]", 200), `"` + strings.Repeat("long text ", 50) + `"`, `"` + strings.Repeat("é", 50) + `\t"`,
}

func TestReadsAndWritesAsStandard(t *testing.T) {
	for _, text := range texts {
		same(t, []byte(text))
	}
}

func FuzzReadsAndWritesAsStandard(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) { same(t, text) })
}

// same fails when anything but a refusal differs from encoding/json, by which the
// numbers of any are kept.
func same(t *testing.T, text []byte) {
	t.Helper()
	for _, target := range targets {
		want := reflect.New(target)
		err := Unmarshal(text, want.Elem())
		got := reflect.New(target)
		data := bytes.Clone(text)
		ok := Of(target).ReadPlain(data, got.Elem())
		clear(data) // what is read must not lie in it
		if ok {
			if err != nil {
				t.Errorf("%q into %v: read, want the error %v", text, target, err)
			} else if !reflect.DeepEqual(got.Interface(), want.Interface()) {
				t.Errorf("%q into %v:\n got %+v\nwant %+v", text, target, got.Elem(), want.Elem())
			}
		}
		if err == nil {
			sameWritten(t, want.Elem())
		}
	}
	if ScanPlain(text, func(s *Scanner) bool { _, ok := s.Skip(); return ok }) && !json.Valid(text) {
		t.Errorf("%q is skipped, but no JSON", text)
	}
}

func sameWritten(t *testing.T, v reflect.Value) {
	t.Helper()
	want, err := json.Marshal(v.Interface())
	got, ok := Of(v.Type()).Append([]byte("before"), v)
	if ok && (err != nil || !equalButNull(pointless(bytes.TrimPrefix(got, []byte("before"))), pointless(want))) {
		t.Errorf("%v %+v:\n got %s\nwant %s, %v", v.Type(), v, got, want, err)
	}
}

var wholeFloat = regexp.MustCompile(`([0-9])\.0([,\]}]|$)`)

// pointless returns a text without the points of whole floats, which encoding/json
// does not write.
func pointless(text []byte) []byte {
	for wholeFloat.Match(text) { // neighbours share a comma
		text = wholeFloat.ReplaceAll(text, []byte("$1$2"))
	}
	return text
}

// equalButNull compares texts, the first of which may have an empty list, object
// or text where the second one has null.
func equalButNull(got, want []byte) bool {
	if !bytes.Contains(want, []byte("null")) {
		return bytes.Equal(got, want)
	}
	var a, b any
	return json.Unmarshal(got, &a) == nil && json.Unmarshal(want, &b) == nil && equalValues(a, b)
}

func equalValues(got, want any) bool {
	switch want := want.(type) {
	case nil:
		return got == nil || got == "" || reflect.ValueOf(got).Kind() != reflect.Bool && reflect.ValueOf(got).Kind() != reflect.Float64 && reflect.ValueOf(got).Len() == 0
	case []any:
		got, ok := got.([]any)
		return ok && slices.EqualFunc(got, want, equalValues)
	case map[string]any:
		got, ok := got.(map[string]any)
		return ok && maps.EqualFunc(got, want, equalValues)
	}
	return reflect.DeepEqual(got, want)
}

func TestOrdinaryIsNotRefused(t *testing.T) {
	for text, target := range map[string]reflect.Type{texts[0]: targets[0], texts[1]: targets[0], `{"name":"\u00e9","unknown":[{}]}`: targets[0],
		`{"when":"2026-01-02T03:04:05Z","raw":[1],"bytes":"aGk=","number":1,"array":[1,2],"text":"7","method":{"N":4},"zero":"2026-01-02T03:04:05Z"}`: targets[1]} {
		v := reflect.New(target).Elem()
		if speaksForItself(target) || !Of(target).Read([]byte(text), v) {
			t.Errorf("%s is refused for %v", text, target)
		}
		if _, ok := Of(target).Append(nil, v); !ok {
			t.Errorf("%+v is refused", v)
		}
	}
}

// TestKombusDialect reads it into types that keep it, and types that take its
// text.
func TestKombusDialect(t *testing.T) {
	const date = `{"__type__":"date","__value__":"2020-01-01"}`
	tagged := map[string]any{"__type__": "date", "__value__": "2020-01-01"}
	for _, c := range []struct {
		text string
		want any
	}{
		{date, "2020-01-01"}, {date, marked{"date", "2020-01-01"}}, {date, tagged}, {date, json.RawMessage(date)},
		{`[` + date + `]`, []any{tagged}}, {`[` + date + `]`, []string{"2020-01-01"}},
		{`{"__type__":"datetime","__value__":"2020-01-01T00:00:00Z"}`, time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)},
		{`{"__type__":"base64","__value__":"AP8="}`, []byte{0, 255}}, {`{"__type__":"decimal","__value__":"1.10"}`, "1.10"},
		{`{"__type__":"uuid","__value__":{"hex":"8f1d5e9c3b7a4d2e9f60718293a4b5c6"}}`, "8f1d5e9c-3b7a-4d2e-9f60-718293a4b5c6"},
		{`[1,1.5,9007199254740993,-9223372036854775808]`, []any{int64(1), 1.5, int64(9007199254740993), int64(math.MinInt64)}},
		{`{"a":18446744073709551616}`, map[string]any{"a": new(big.Int).Lsh(big.NewInt(1), 64)}},
		{`[Infinity,-Infinity]`, []any{math.Inf(1), math.Inf(-1)}}, {`[Infinity]`, []float64{math.Inf(1)}},
	} {
		got := reflect.New(reflect.TypeOf(c.want)).Elem()
		if !Of(got.Type()).Read([]byte(c.text), got) || !reflect.DeepEqual(got.Interface(), c.want) {
			t.Errorf("%s: got %#v, want %#v", c.text, got, c.want)
		}
		written, ok := Of(got.Type()).Append(nil, got)
		again := reflect.New(got.Type()).Elem()
		if !ok || !Of(got.Type()).Read(written, again) || !reflect.DeepEqual(again.Interface(), c.want) {
			t.Errorf("%s: written as %s, read as %#v", c.text, written, again)
		}
		if strings.ContainsAny(c.text, "I") {
			continue // nothing that encoding/json reads
		}
		if _, keeps := c.want.([]any); keeps {
			slow := reflect.New(got.Type()).Elem()
			if err := Unmarshal([]byte(c.text), slow); err != nil || !reflect.DeepEqual(slow.Interface(), c.want) {
				t.Errorf("%s by encoding/json: %#v, %v", c.text, slow, err)
			}
		}
	}
	for _, text := range []string{`{"__type__":"date"}`, `{"__type__":"date","__value__":1}`, `{"__type__":"own","__value__":"a"}`, `{"__type__":"date","__value__":"a","b":1}`} {
		if v := reflect.New(reflect.TypeFor[string]()).Elem(); Of(v.Type()).Read([]byte(text), v) {
			t.Errorf("%s is read as the text %q", text, v)
		}
	}
	if v := reflect.New(reflect.TypeFor[float64]()).Elem(); !Of(v.Type()).Read([]byte("NaN"), v) || !math.IsNaN(v.Float()) || Of(v.Type()).ReadPlain([]byte("NaN"), v) {
		t.Error("NaN is none, or plain JSON")
	}
}

func TestValuesThatCannotBeWritten(t *testing.T) {
	loop := &inner{}
	loop.C = loop
	for _, v := range []any{loop, map[string]any{"f": func() {}}, []any{make(chan int)}} {
		if text, ok := Of(reflect.TypeOf(v)).Append(nil, reflect.ValueOf(v)); ok {
			t.Errorf("a %T is written as %.40s", v, text)
		}
	}
}

// TestFloatsKeepTheirPoint writes floats, also where encoding/json writes.
func TestFloatsKeepTheirPoint(t *testing.T) {
	type part struct {
		F float64 `json:"f"`
		G float64 `json:"g,omitempty"`
		N int     `json:"n"`
	}
	type hidden struct {
		H float64 `json:"h"`
		N float64 `json:"n"`
	}
	type odd struct {
		hidden
		N    int               `json:"n"`
		P    *float32          `json:"p,omitzero"`
		Text float64           `json:"text,string"`
		Keys map[int]float64   `json:"keys"`
		All  [2][]part         `json:"all"`
		Any  any               `json:"any"`
		Own  pointerMethod     `json:"own"`
		Name map[string]string `json:"name"`
		Err  error             `json:"err"`
	}
	one := float32(1)
	for want, v := range map[string]any{
		`1.0`:               1.0,
		`-0.0`:              math.Copysign(0, -1),
		`1e+21`:             1e21,
		`[100000.0,0.5]`:    []float32{1e5, .5},
		`{"a":[2.0,2,"2"]}`: map[string]any{"a": []any{2.0, 2, "2"}},
		`{"f":3.0,"n":3}`:   part{F: 3, N: 3},
		`{"1":1.0}`:         map[int]float64{1: 1},
		`[{"h":0.0,"n":2,"text":"1","keys":{},"all":[[],[]],"any":null,"own":"\u003cown\u003e","name":{},"err":null}]`: []*odd{{N: 2, Text: 1, Own: pointerMethod{1}}},
		`{"h":1.0,"n":2,"p":1.0,"text":"0","keys":{"1":1.0,"2":1.5},"all":[[{"f":1.0,"g":1e+21,"n":1}],[]],"any":{"f":7.0,"l":[],"n":7},"own":{"N":1},"name":{"1":"1\u003c"},"err":null}`: odd{hidden: hidden{H: 1}, N: 2, P: &one, Keys: map[int]float64{1: 1, 2: 1.5},
			All: [2][]part{{{F: 1, G: 1e21, N: 1}}}, Any: map[string]any{"n": 7, "f": 7.0, "l": []int(nil)}, Own: pointerMethod{1}, Name: map[string]string{"1": "1<"}},
	} {
		got, ok := Of(reflect.TypeOf(v)).Append(nil, reflect.ValueOf(v))
		if !ok || string(got) != want {
			t.Errorf("%#v is written as\n%s, want\n%s", v, got, want)
		}
	}
}

func TestWritesFloatsAsStandard(t *testing.T) {
	for exponent := -50; exponent <= 50; exponent++ {
		for _, digits := range []float64{1, -1, 9.999999999999999, 1.2345678, 0.1} {
			f := digits * math.Pow10(exponent)
			sameWritten(t, reflect.ValueOf(f))
			if single := float32(f); !math.IsInf(float64(single), 0) {
				sameWritten(t, reflect.ValueOf(single))
			}
		}
	}
}

type sample struct {
	ID    string   `json:"id"`
	Name  string   `json:"name"`
	Email string   `json:"email"`
	Age   int      `json:"age"`
	Score float64  `json:"score"`
	Tags  []string `json:"tags"`
	OK    bool     `json:"ok"`
}

// BenchmarkDocument is one document of 128 bytes, by this package and by
// encoding/json.
func BenchmarkDocument(b *testing.B) {
	v := sample{"7434029", "Ada Lovelace", "ada.lovelace@example.org", 36, 1.5, []string{"a", "bc"}, true}
	text, _ := json.Marshal(v)
	codec := Of(reflect.TypeOf(v))
	for name, work := range map[string]func() bool{
		"read/quick":     func() bool { return codec.Read(text, reflect.ValueOf(new(sample)).Elem()) },
		"read/standard":  func() bool { return json.Unmarshal(text, new(sample)) == nil },
		"write/quick":    func() bool { _, ok := codec.Append(make([]byte, 0, 256), reflect.ValueOf(v)); return ok },
		"write/standard": func() bool { _, err := json.Marshal(v); return err == nil },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !work() {
					b.Fatal("refused")
				}
			}
		})
	}
}
