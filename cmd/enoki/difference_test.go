package main

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/serializer"
)

func TestSameNumber(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b json.Number
		want bool
	}{
		{"1", "1", true}, {"1", "1.0", true}, {"1", "10e-1", true}, {"100", "1E2", true}, {"0.5", "5e-1", true},
		{"0", "-0.0", true}, {"0", "0e99", true}, {"-7", "-7.00", true},
		{"1", "2", false}, {"1", "-1", false}, {"1", "10", false}, {"0.1", "0.01", false}, {"0", "1", false},
		{"9007199254740993", "9007199254740992", false}, {"0.1", "0.10000000000000001", false},
		{"1e999999999999", "1e999999999999", true}, {"1e999999999999", "10e999999999998", false},
	} {
		if got := sameNumber(c.a, c.b); got != c.want {
			t.Errorf("%s and %s are the same: %v", c.a, c.b, got)
		}
	}
}

func TestCompareAnswers(t *testing.T) {
	t.Parallel()
	const valueError = `{"result":null,"error":{"exc_type":"ValueError","exc_path":"builtins.ValueError","exc_args":["no"],"value":"no"}}`
	for name, c := range map[string]struct {
		live, shadow string
		ignore       string
		want         []string // kind, live and shadow
	}{
		"same":             {live: `{"result":{"a":1,"b":[1,null]},"error":null}`, shadow: `{"error":null,"result":{"b":[1.0,null],"a":1}}`},
		"value":            {live: `{"result":{"a":"x"},"error":null}`, shadow: `{"result":{"a":"y"},"error":null}`, want: []string{`result.a "x" "y"`}},
		"type":             {live: `{"result":"1","error":null}`, shadow: `{"result":1,"error":null}`, want: []string{`result "1" 1`}},
		"null is not none": {live: `{"result":{"a":null},"error":null}`, shadow: `{"result":{},"error":null}`, want: []string{`result.a null (nothing)`}},
		"added":            {live: `{"result":{},"error":null}`, shadow: `{"result":{"a":0},"error":null}`, want: []string{`result.a (nothing) 0`}},
		"items": {live: `{"result":[{"p":1},{"p":2},{"p":3}],"error":null}`, shadow: `{"result":[{"p":1},{"p":0},{"p":0}],"error":null}`,
			want: []string{`result.*.p 2 0`, `result.*.p 3 0`}},
		"lengths": {live: `{"result":[1],"error":null}`, shadow: `{"result":[1,2],"error":null}`, want: []string{`result [1] [1,2]`}},
		"ignored": {live: `{"result":[{"p":1,"q":{"r":1}}],"error":null}`, shadow: `{"result":[{"p":2,"q":{"r":2}}],"error":null}`,
			ignore: "result.*.p,result.0.q"},
		"ignored elsewhere": {live: `{"result":{"a":1,"ab":1},"error":null}`, shadow: `{"result":{"a":2,"ab":2},"error":null}`,
			ignore: "result.a", want: []string{`result.ab 1 2`}},
		"key with dots":      {live: `{"result":{"a.b":1},"error":null}`, shadow: `{"result":{"a.b":2},"error":null}`, ignore: "result.a.b"},
		"same error":         {live: valueError, shadow: strings.Replace(valueError, `["no"]`, `[]`, 1)},
		"error text":         {live: valueError, shadow: strings.Replace(valueError, `"value":"no"`, `"value":"No"`, 1), want: []string{`error.value "no" "No"`}},
		"error text ignored": {live: valueError, shadow: strings.Replace(valueError, `"value":"no"`, `"value":"No"`, 1), ignore: "error.value"},
		"our code is no difference": {live: valueError,
			shadow: strings.Replace(valueError, `"value":"no"`, `"value":"no","code":"unknown"`, 1)},
		"error and result": {live: valueError, shadow: `{"result":1,"error":null}`,
			want: []string{`failure.live.ValueError {"exc_path":"builtins.ValueError","exc_type":"ValueError","value":"no"} (nothing)`}},
		"result and error": {live: `{"result":1,"error":null}`, shadow: valueError, ignore: "error,result",
			want: []string{`failure.shadow.ValueError (nothing) {"exc_path":"builtins.ValueError","exc_type":"ValueError","value":"no"}`}},
		"failure ignored": {live: `{"result":1,"error":null}`, shadow: valueError, ignore: "failure.shadow"},
		"no JSON":         {live: `{"result":NaN,"error":null}`, shadow: `{"result":1,"error":null}`, want: []string{`answer "{\"result\":NaN,\"error\":null}" {"result":1}`}},
		"the same bytes":  {live: `{"result":NaN,"error":null}`, shadow: `{"result":NaN,"error":null}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var ignore []field
			if c.ignore != "" {
				var err error
				if ignore, err = parseFields("ignore", strings.Split(c.ignore, ","), []string{"result", "error", "failure"}, false); err != nil {
					t.Fatal(err)
				}
			}
			got := compareAnswers(readAnswer(jsonMessage(c.live)), readAnswer(jsonMessage(c.shadow)), ignore)
			if lines := differenceLines(got); !slices.Equal(lines, c.want) {
				t.Errorf("got %q, want %q", lines, c.want)
			}
		})
	}
}

func jsonMessage(body string) *broker.Message {
	return &broker.Message{ContentType: "application/json", Body: []byte(body)}
}

func differenceLines(differences []difference) []string {
	var r shadowReport
	var lines []string
	for _, d := range differences {
		lines = append(lines, d.kind.String()+" "+sideText(r.side(d.path, d.live))+" "+sideText(r.side(d.path, d.shadow)))
	}
	return lines
}

func TestNoAnswerDiffers(t *testing.T) {
	t.Parallel()
	live := readAnswer(jsonMessage(`{"result":1,"error":null}`))
	got := differenceLines(compareAnswers(live, noAnswer(errors.New("too late")), nil))
	if want := []string{`answer {"result":1} "no answer: too late"`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestOtherForms compares a body in MessagePack with the same one in JSON.
func TestOtherForms(t *testing.T) {
	t.Parallel()
	form := serializer.MsgPack()
	body, err := form.Encode([]byte(`{"result":{"b":[1,2.5],"a":"x"},"error":null}`))
	if err != nil {
		t.Fatal(err)
	}
	live := readAnswer(&broker.Message{ContentType: form.ContentType, Body: body})
	shadow := readAnswer(jsonMessage(`{"result":{"a":"x","b":[1,2.5]},"error":null}`))
	if got := differenceLines(compareAnswers(live, shadow, nil)); len(got) > 0 {
		t.Errorf("they differ: %q", got)
	}
}

func TestParseFields(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		word string
		bare bool
		want string // in the error
	}{
		{word: "result"}, {word: "result.items.*.price"}, {word: "error.value"}, {word: "password", bare: true},
		{word: "updated_at", want: "write result.updated_at"},
		{word: "user.password", bare: true, want: "write result.user.password"},
		{word: "result..x", want: "is no path"}, {word: "", want: "is no path"},
	} {
		_, err := parseFields("ignore", []string{c.word}, []string{"result", "error"}, c.bare)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q: want %q, got %v", c.word, c.want, err)
		}
	}
}

func TestMask(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ field, path, value, want string }{
		{"password", "result", `{"password":"p","a":[{"password":{"x":1}}],"passwords":1}`, `{"a":[{"password":"***"}],"password":"***","passwords":1}`},
		{"password", "result.password.old", `"p"`, `"***"`},
		{"result.*.1", "result", `[["a","b"]]`, `[["a","***"]]`},
		{"result.a", "error.a", `"b"`, `"b"`},
		{"error.value", "error", `{"value":"s","exc_type":"T"}`, `{"exc_type":"T","value":"***"}`},
	} {
		v, err := decodeJSON([]byte(c.value))
		if err != nil {
			t.Fatal(err)
		}
		m := mask{strings.Split(c.field, ".")}
		if got := valueText(m.value(strings.Split(c.path, "."), v)); got != c.want {
			t.Errorf("%s hidden from %s at %s: got %s, want %s", c.field, c.value, c.path, got, c.want)
		}
	}
	if got := (mask{{"password"}}).value(nil, opaque("password=p")); got != hidden {
		t.Errorf("a body that can't be looked into is shown: %v", got)
	}
}
