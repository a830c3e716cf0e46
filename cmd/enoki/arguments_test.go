package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParseArguments(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		words []string
		want  string // args and kwargs as JSON, or a part of the error
	}{
		{words: nil, want: `[null,{}]`},
		{words: []string{"a=1"}, want: `[null,{"a":"1"}]`},
		{words: []string{"a:=1", "b=x y", "c:=[1,null]"}, want: `[null,{"a":1,"b":"x y","c":[1,null]}]`},
		{words: []string{"url=http://h/?q=1"}, want: `[null,{"url":"http://h/?q=1"}]`},
		{words: []string{"a="}, want: `[null,{"a":""}]`},
		{words: []string{`["a=b",12345678901234567890]`}, want: `[["a=b",12345678901234567890],null]`},
		{words: []string{`{"a":{"b":1.0}}`}, want: `[null,{"a":{"b":1.0}}]`},
		{words: []string{`[]`}, want: `[null,null]`},
		{words: []string{"-"}, want: `[["from stdin"],null]`},

		{words: []string{"5"}, want: "write [5]"},
		{words: []string{"hi"}, want: "neither name=text, name:=JSON nor JSON"},
		{words: []string{"a=1", "hi"}, want: `"hi" is neither`},
		{words: []string{"a=1", "a=2"}, want: "a is given twice"},
		{words: []string{"a:=null", "a=2"}, want: "a is given twice"},
		{words: []string{"=1"}, want: "neither"},
		{words: []string{"a:=x"}, want: "for text write a=x"},
	} {
		a, err := parseArguments(c.words, strings.NewReader(`["from stdin"]`))
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			text, _ := json.Marshal([]any{a.args, a.kwargs})
			got = string(text)
		}
		if err == nil && got != c.want || !strings.Contains(got, c.want) {
			t.Errorf("%q: got %s, want %s", c.words, got, c.want)
		}
	}
}

func TestParsePayload(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		words []string
		want  string
	}{
		{words: nil, want: `null`},
		{words: []string{`"text"`}, want: `"text"`},
		{words: []string{`{"a":1}`}, want: `{"a":1}`},
		{words: []string{`"a=b"`}, want: `"a=b"`},
		{words: []string{"a=1", "b:=1"}, want: `{"a":"1","b":1}`},
		{words: []string{"-"}, want: `{"in":true}`},
	} {
		payload, err := parsePayload(c.words, strings.NewReader("{\"in\":true}\n"))
		if err != nil {
			t.Errorf("%q: %v", c.words, err)
		}
		if got, _ := json.Marshal(payload); string(got) != c.want {
			t.Errorf("%q: got %s, want %s", c.words, got, c.want)
		}
	}
}

func TestNamesOnTheCommandLine(t *testing.T) {
	for word, want := range map[string][2]string{
		"register.check_registered": {"register", "check_registered"},
		"my.register.check":         {"my.register", "check"},
		"register":                  {}, ".check": {}, "register.": {},
	} {
		service, method, err := splitMethod(word)
		if service != want[0] || method != want[1] || (err != nil) != (want[0] == "") {
			t.Errorf("method %q: %q, %q, %v", word, service, method, err)
		}
	}
	for word, want := range map[string][2]string{
		"comments.posted":     {"comments", "posted"},
		"shop.stock.low":      {"shop", "stock.low"},
		"my.shop:stock.low":   {"my.shop", "stock.low"},
		"comments":            {},
		":posted":             {},
		"comments.posted/all": {"comments", "posted/all"}, // the client refuses it
	} {
		source, event, err := splitEvent(word)
		if source != want[0] || event != want[1] || (err != nil) != (want[0] == "") {
			t.Errorf("event %q: %q, %q, %v", word, source, event, err)
		}
	}
}
