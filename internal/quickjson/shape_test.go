package quickjson

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

// optional has a form of its own whose zero is null, amount one whose zero is
// none.
type (
	optional struct{ v *int }
	amount   struct{ n int }
)

func (o optional) MarshalJSON() ([]byte, error)  { return json.Marshal(o.v) }
func (o *optional) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &o.v) }
func (a amount) MarshalJSON() ([]byte, error)    { return json.Marshal(a.n) }
func (a *amount) UnmarshalJSON(b []byte) error   { return json.Unmarshal(b, &a.n) }

type base struct {
	ID int `json:"id"`
}

type order struct {
	base
	Name     string          `json:"name"`
	Price    amount          `json:"price"`
	Due      time.Time       `json:"due"`
	Items    []item          `json:"items"`
	Extra    map[string]int  `json:"extra"`
	Note     string          `json:"note,omitempty"`
	Zero     time.Time       `json:"zero,omitzero"`
	Later    *time.Time      `json:"later"`
	Any      any             `json:"any"`
	Optional optional        `json:"optional"`
	Raw      json.RawMessage `json:"raw"`
	Unasked  int             `json:"unasked" required:"false"`
	Asked    *int            `json:"asked" required:"true"`
}

type item struct {
	Count int    `json:"count"`
	Unit  string `json:"unit,omitempty"`
}

// wholeOrder is as little as must come.
const wholeOrder = `{"id":1,"name":"a","price":3,"due":"2026-01-02T03:04:05Z","items":[{"count":1}],"extra":{"a":1},"asked":4}`

// TestWhatMayBeMissing leaves out, or makes null, one field after the other.
func TestWhatMayBeMissing(t *testing.T) {
	for place, must := range map[string]bool{
		"id": true, "name": true, "price": true, "due": true, "items": true, "extra": true, "items[0].count": true, "items[0]": true, `extra["a"]`: true,
		"asked": true, "note": false, "zero": false, "later": false, "any": false, "optional": false, "raw": false, "unasked": false, "items[0].unit": false,
	} {
		for _, null := range []bool{true, false} {
			text := changed(t, place, null)
			want := ""
			switch {
			case must && (null || strings.HasSuffix(place, "]")):
				want = "field " + place + " is null; want "
			case must:
				want = "field " + place + " is missing"
			}
			if place == "asked" && null { // a pointer takes null
				want = ""
			}
			expect(t, reflect.TypeFor[order](), text, want)
			expect(t, reflect.TypeFor[*order](), text, want)
		}
	}
}

// changed returns wholeOrder without a place, or with null there.
func changed(t *testing.T, place string, null bool) string {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal([]byte(wholeOrder), &all); err != nil {
		t.Fatal(err)
	}
	at, key := all, place
	switch place {
	case "items[0]":
		all["items"].([]any)[0] = nil
	case `extra["a"]`:
		all["extra"].(map[string]any)["a"] = nil
	default:
		if name, ok := strings.CutPrefix(place, "items[0]."); ok {
			at, key = all["items"].([]any)[0].(map[string]any), name
		}
		if delete(at, key); null {
			at[key] = nil
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// expect compares what is refused by Check and by ReadWhole, for a type that
// is read by this package, and for one that is not.
func expect(t *testing.T, typ reflect.Type, text, want string) {
	t.Helper()
	err := Check(typ, []byte(text))
	if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
		t.Errorf("%s into %v: %v, want %q", text, typ, err, want)
	}
	if ok := Of(typ).ReadWhole([]byte(text), reflect.New(typ).Elem()); ok != (want == "") {
		t.Errorf("%s into %v: read %v, want %q", text, typ, ok, want)
	}
}

func TestNullAtTheTop(t *testing.T) {
	for _, c := range []struct {
		typ  reflect.Type
		null bool
	}{
		{reflect.TypeFor[string](), false}, {reflect.TypeFor[int](), false}, {reflect.TypeFor[[]int](), false}, {reflect.TypeFor[map[string]int](), false},
		{reflect.TypeFor[order](), false}, {reflect.TypeFor[time.Time](), false}, {reflect.TypeFor[amount](), false}, {reflect.TypeFor[[2]int](), false}, {reflect.TypeFor[[]byte](), false},
		{reflect.TypeFor[*string](), true}, {reflect.TypeFor[any](), true}, {reflect.TypeFor[optional](), true}, {reflect.TypeFor[json.RawMessage](), true},
	} {
		want := ""
		if !c.null {
			want = "is null; want "
		}
		expect(t, c.typ, "null", want)
	}
}

// TestFieldsInEveryOrder has strict reading know which fields have come.
func TestFieldsInEveryOrder(t *testing.T) {
	type three struct {
		A int `json:"a"`
		B int `json:"b"`
		C int `json:"c,omitempty"`
	}
	for text, want := range map[string]string{
		`{"a":1,"b":2,"c":3}`: "", `{"c":3,"b":2,"a":1}`: "", `{"b":1,"a":1}`: "", `{"a":1,"b":2}`: "", `{"a":1,"x":0,"b":2}`: "", `{"A":1,"b":2}`: "other",
		`{"a":1}`: "field b is missing", `{"b":1}`: "field a is missing", `{}`: "field a is missing", `{"x":1}`: "field a is missing", `{"a":1,"x":2}`: "field b is missing", `{"a":1,"b":2,"c":null}`: "",
	} {
		if want == "other" {
			if err := Check(reflect.TypeFor[three](), []byte(text)); err != nil {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		expect(t, reflect.TypeFor[three](), text, want)
	}
}

// TestNilIsEmpty writes nil slices and maps, also where encoding/json writes.
func TestNilIsEmpty(t *testing.T) {
	type flat struct {
		L []int          `json:"l"`
		M map[string]int `json:"m"`
		B []byte         `json:"b"`
		O []int          `json:"o,omitempty"`
		P *[]int         `json:"p"`
		A any            `json:"a"`
	}
	type deep struct {
		base
		flat
		Array [1][]int       `json:"array"`
		Keys  map[int][]int  `json:"keys"`
		Text  int            `json:"text,string"`
		Inner []map[int]flat `json:"inner"`
	}
	const empty = `"l":[],"m":{},"b":"","p":null,"a":`
	for want, v := range map[string]any{
		`[]`:                []int(nil),
		`{}`:                map[string]int(nil),
		`{"1":[]}`:          map[int][]int{1: nil},
		`""`:                []byte(nil),
		`[[],[1]]`:          [][]int{nil, {1}},
		`null`:              (*int)(nil),
		`{` + empty + `[]}`: flat{A: []string(nil)},
		`{"x":{"y":[]}}`:    map[string]any{"x": map[string]any{"y": []any(nil)}},
		`{"id":0,` + empty + `null,"array":[[]],"keys":{},"text":"0","inner":[{"1":{` + empty + `{}}}]}`: deep{Inner: []map[int]flat{{1: {A: map[string]int(nil)}}}},
	} {
		got, ok := Of(reflect.TypeOf(v)).Append(nil, reflect.ValueOf(v))
		if !ok || string(got) != want {
			t.Errorf("%#v is written as %s, want %s", v, got, want)
		}
	}
}
