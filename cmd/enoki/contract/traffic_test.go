package contract

import (
	"encoding/json"
	"strings"
	"testing"
)

func value(t *testing.T, text string) any {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestShapes: types are those that hold all the values that were seen.
func TestShapes(t *testing.T) {
	many := make([]string, 0, maxKeys+2)
	for i := range maxKeys + 2 {
		many = append(many, `"k`+strings.Repeat("x", i)+`": 1`)
	}
	for _, test := range []struct {
		values []string
		want   string
	}{
		{nil, "any"},
		{[]string{`1`, `-2`}, "int"},
		{[]string{`1`, `2.5`}, "float64"},
		{[]string{`1e3`}, "float64"},
		{[]string{`1`, `9223372036854775808`}, "any"},
		{[]string{`"a"`}, "string"},
		{[]string{`"a"`, `null`}, "*string"},
		{[]string{`null`}, "any"},
		{[]string{`true`}, "bool"},
		{[]string{`"a"`, `1`}, "any"},
		{[]string{`{"__type__": "decimal", "__value__": "1.50"}`, `null`}, "*nameko.Tagged"},
		{[]string{`{"__type__": "mine", "__value__": "1.50"}`}, "Thing"},
		{[]string{`[]`}, "[]any"},
		{[]string{`[]`, `[1]`}, "[]int"},
		{[]string{`[1, null]`}, "[]*int"},
		{[]string{`[[1.5]]`}, "[][]float64"},
		{[]string{`{}`}, "map[string]any"},
		{[]string{`{"a-b": 1}`}, "map[string]int"},
		{[]string{"{" + strings.Join(many, ",") + "}"}, "map[string]int"},
		{[]string{`{"a": 1}`}, "Thing"},
		{[]string{`{"a": 1}`, `null`}, "*Thing"},
		{[]string{`[{"a": 1}]`}, "[]Thing"},
	} {
		var s shape
		for _, text := range test.values {
			s.see(value(t, text))
		}
		a := annotations{names: names{}}
		if got := a.shaped(&s, "Thing").text; got != test.want {
			t.Errorf("%v is %s, want %s", test.values, got, test.want)
		}
	}
}

func TestShapeOfObjects(t *testing.T) {
	var s shape
	s.see(value(t, `{"id": 1, "note": null, "tags": ["a"], "at": {"x": 1.5}}`))
	s.see(value(t, `{"id": 2, "note": "n", "tags": []}`))
	a := annotations{names: names{}}
	a.shaped(&s, "Thing")
	var got []string
	for _, built := range a.structs {
		for _, f := range built.fields {
			got = append(got, built.name+"."+f.name+" "+f.typ+" "+f.json)
		}
	}
	want := "ThingAt.X float64 x, Thing.At *ThingAt at,omitempty, Thing.ID int id, Thing.Note *string note, Thing.Tags []string tags"
	if text := strings.Join(got, ", "); text != want {
		t.Errorf("got %s, want %s", text, want)
	}
}

// TestWriteSeen makes a contract of calls alone.
func TestWriteSeen(t *testing.T) {
	traffic := NewTraffic()
	traffic.Request("find", []any{"a"}, map[string]any{"limit": json.Number("3")})
	traffic.Result("find", value(t, `[{"id": 1}, 7]`))
	traffic.Request("find", []any{"b", nil}, nil)
	traffic.Result("find", value(t, `[{"id": 2}, 8]`))
	traffic.Request("clear", nil, nil)
	traffic.Result("clear", nil)
	traffic.Request("gone", nil, nil)
	traffic.Failure("gone")
	file, err := WriteSeen("shopapi", "shop", traffic)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Clear func(ctx context.Context) error `rpc:\"clear\"`",
		"Find func(ctx context.Context, arg1 string, arg2 any, limit *int) (FindResult1, int, error) `rpc:\"find\" args:\"arg1,arg2?,*,limit?\"`",
		"Gone func(ctx context.Context) (any, error) `rpc:\"gone\"`",
		"// Seen in 1 calls, of which 1 failed.",
		"type FindResult1 struct {\n\tID int `json:\"id\"`\n}",
	} {
		if !strings.Contains(string(file.Source), want) {
			t.Errorf("without %s:\n%s", want, file.Source)
		}
	}
}
