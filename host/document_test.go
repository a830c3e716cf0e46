package host

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
)

// plainValue is the value of a node as other YAML libraries give it.
func plainValue(n node) any {
	switch v := n.value.(type) {
	case []node:
		list := []any{}
		for _, item := range v {
			list = append(list, plainValue(item))
		}
		return list
	case []pair:
		m := map[string]any{}
		for _, p := range v {
			m[fmt.Sprint(plainValue(p.key))] = plainValue(p.value)
		}
		return m
	case float64:
		if v == math.Trunc(v) {
			return fmt.Sprintf("%.1f", v)
		}
	}
	return n.value
}

type object = map[string]any

// TestSubstitution holds environment substitution to what Nameko 2.14.1 with
// the regex module makes of the same text and variables; the results are
// Nameko's own.
func TestSubstitution(t *testing.T) {
	for _, c := range []struct {
		source string
		env    string // NAME=value, one a line
		want   any
	}{
		{"a: ${X}", "X=v", object{"a": "v"}},
		{"a: ${X}", "", object{"a": nil}},
		{"a: ${X:}", "", object{"a": nil}},
		{"a: ${X:d}", "", object{"a": "d"}},
		{"a: ${X:d}", "X=v", object{"a": "v"}},
		{"a: ${X:d}", "X=", object{"a": nil}},
		{"a: ${X}", "X=", object{"a": nil}},
		{"a: x${X}y", "", object{"a": "xy"}},
		{"a: ${X}", "X=5", object{"a": int64(5)}},
		{"a: ${X}", "X=true", object{"a": true}},
		{"a: ${X}", "X=1.5", object{"a": 1.5}},
		{"a: ${X}", "X=null", object{"a": nil}},
		{"a: ${X}", "X=[1,2]", object{"a": []any{int64(1), int64(2)}}},
		{"a: ${X}", "X=[1, two, {k: v}]", object{"a": []any{int64(1), "two", object{"k": "v"}}}},
		{"a: ${X}", "X={k: 1}", object{"a": object{"k": int64(1)}}},
		{"a: ${X:[1,2]}", "", object{"a": []any{int64(1), int64(2)}}},
		{"a: ${X:{\"k\":1}}", "", object{"a": object{"k": int64(1)}}},
		{"a: ${X}${Y}", "X=1\nY=2", object{"a": int64(12)}},
		{"a: ${X}://${Y:h}/${Z:v}", "X=amqp", object{"a": "amqp://h/v"}},
		{"a: '${X}'", "X=v", object{"a": "${X}"}},
		{"a: \"${X}\"", "X=v", object{"a": "${X}"}},
		{"a: |\n  ${X}\n", "X=v", object{"a": "${X}\n"}},
		{"a: >\n  ${X}\n", "X=v", object{"a": "${X}\n"}},
		{"a: !env_var \"${X}\"", "X=5", object{"a": int64(5)}},
		{"a: !env_var '${X}'", "X=[1]", object{"a": []any{int64(1)}}},
		{"a: !raw_env_var \"${X}\"", "X=5", object{"a": "5"}},
		{"a: !raw_env_var ${X}", "X=[1]", object{"a": "[1]"}},
		{"a: !raw_env_var ${X}", "", object{"a": ""}},
		{"a: !env_var plain", "", object{"a": "plain"}},
		{"a: !env_var 5", "", object{"a": "5"}},
		{"a: ${X:x${Y:y}}", "", object{"a": "xy"}},
		{"a: ${X:x${Y:y}}", "Y=z", object{"a": "xz"}},
		{"a: ${X:x${Y:y}}", "X=q", object{"a": "q"}},
		{"a: ${X:${Y:${Z:deep}}}", "", object{"a": "deep"}},
		{"a: ${X:http://h/{path}}", "", object{"a": "http://h/{path}"}},
		{"a: ${X:http://${H:h}:${P:80}/{p}}/more", "P=81", object{"a": "http://h:81/{p}/more"}},
		{"a: ${X}", "X=${Y}\nY=v", object{"a": "v"}},
		{"a: ${X}", "X=${X}", object{"a": "${X}"}},
		{"a: ${X}", "X=p${X", object{"a": "p${X"}},
		{"a: ${X}", "X='${Y}'\nY=v", object{"a": "${Y}"}},
		{"${K}: 1", "K=key", object{"key": int64(1)}},
		{"${K:d}: ${V:[1]}", "", object{"d": []any{int64(1)}}},
		{"- ${X:1}\n- b${X}\n", "", []any{int64(1), "b"}},
		{"a:\n  b:\n    - c: ${X:7}\n", "", object{"a": object{"b": []any{object{"c": int64(7)}}}}},
		{"a: ${X Y}", "", object{"a": "${X Y}"}},
		{"a: ${}", "", object{"a": "${}"}},
		{"a: ${:d}", "", object{"a": "${:d}"}},
		{"a: $X", "X=v", object{"a": "$X"}},
		{"a: $${X}", "X=v", object{"a": "$v"}},
		{"a: ${X:d", "", object{"a": "${X:d"}},
		{"a: ${X:{d}", "X=v", object{"a": "${X:{d}"}},
		{"a: ${X:a b}", "", object{"a": "a b"}},
		{"a: ${X:1}2", "", object{"a": int64(12)}},
		{"a: one\n  ${X:two}", "", object{"a": "one two"}},
		{"a: &n ${X:1}\nb: *n", "", object{"a": int64(1), "b": int64(1)}},
		{"a: !!str ${X}", "X=v", object{"a": "${X}"}},
		{"a: ${X}", "X=k: v", object{"a": object{"k": "v"}}},
		{"a: ${X}", "X=# c", object{"a": nil}},
		{"a: ${X}", "X= 5 ", object{"a": int64(5)}},
		{"a: ${X}", "X=\"5\"", object{"a": "5"}},
		{"a: ${X:!raw_env_var ${Y}}", "Y=5", object{"a": "5"}},
		{"a: ${X:'${Y}'}", "Y=5", object{"a": "5"}},
	} {
		t.Run(c.source+" with "+c.env, func(t *testing.T) {
			n, err := parseDocument("f", []byte(c.source), variables(c.env))
			if err != nil {
				t.Fatal(err)
			}
			if got := plainValue(n); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %#v, want %#v", got, c.want)
			}
		})
	}
}

// variables is an environment of NAME=value lines.
func variables(lines string) environment {
	return func(name string) (string, bool) {
		for line := range strings.Lines(lines) {
			if k, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "="); k == name {
				return v, true
			}
		}
		return "", false
	}
}

func namesOf(lines string) []string {
	var names []string
	for line := range strings.Lines(lines) {
		name, _, _ := strings.Cut(line, "=")
		names = append(names, name)
	}
	return names
}

func TestDocumentValues(t *testing.T) {
	for source, want := range map[string]any{
		"":                                     nil,
		"# nothing":                            nil,
		"---\na: 1":                            object{"a": int64(1)},
		"a: ~\nb:\nc: 0x10\nd: 1_000":          object{"a": nil, "b": nil, "c": int64(16), "d": int64(1000)},
		"a: &x {k: 1}\nb:\n  <<: *x\n  l: 2":   object{"a": object{"k": int64(1)}, "b": object{"k": int64(1), "l": int64(2)}},
		"a: &x {k: 1}\nb:\n  k: 3\n  <<: [*x]": object{"a": object{"k": int64(1)}, "b": object{"k": int64(3)}},
		"? a\n: b":                             object{"a": "b"},
		"1: one":                               object{"1": "one"},
		"a: 99999999999999999999":              object{"a": "99999999999999999999"},
		"a: !!str 5":                           object{"a": "5"},
	} {
		n, err := parseDocument("f", []byte(source), variables(""))
		if got := plainValue(n); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q is %#v (%v), want %#v", source, got, err, want)
		}
	}
}

func TestDocumentErrorsSayWhereAndHideValues(t *testing.T) {
	const env = "S=hush\nBAD=hush: [\nA=${B}\nB=${A}\nD=${D}${D}\nLIST=[hush]"
	for source, want := range map[string]string{
		"a: 1\na: 2":             "f:2:1: mapping key \"a\" already defined at [1:1]",
		"a: [1,":                 "f:1:4: sequence end token ']' not found",
		"b: 1\na: hush: x":       "f:2:4: mapping value is not allowed in this context",
		"a: 1\n---\nb: 1":        "f:3:1: a second document; want one",
		"a:\n  - ${BAD}":         "f:2:5: with the environment variables put in, this is no YAML; to use a value as text, write !raw_env_var before it",
		"a: ${X:{d}}}":           "f:1:4: with the environment variables put in, this is no YAML; to use a value as text, write !raw_env_var before it",
		"a: ${A}":                "f:1:4: the environment variables here stand for each other without end",
		"a: ${N:${A}}":           "f:1:4: the environment variables here stand for each other without end",
		"a: ${D}":                "f:1:4: the environment variables here stand for each other without end",
		"a: !secret x":           "f:1:4: no tag !secret here; have !env_var, !raw_env_var and !!str",
		"a: !env_var [1]":        "f:1:4: !env_var wants text",
		"a: *x":                  "f:1:4: no anchor &x before this",
		"${LIST}: 1":             "f:1:1: a key must be text, and this is a list",
		"a:\n  <<: ${S}\n  b: 1": "f:2:7: <<: wants a mapping, have text",
	} {
		_, err := parseDocument("f", []byte(source), variables(env))
		switch {
		case err == nil:
			t.Errorf("%q: no error, want %s", source, want)
		case err.Error() != want:
			t.Errorf("%q:\ngot  %s\nwant %s", source, err, want)
		case strings.Contains(err.Error(), "hush"):
			t.Errorf("%q: the error shows a value: %v", source, err)
		}
	}
}

func FuzzDocument(f *testing.F) {
	for _, s := range []string{"a: ${X:{}}", "- !env_var \"${X}\"", "<<: *a", "a: &a [*a]", "? [a]\n: b", "${A}: ${B:${A}}"} {
		f.Add(s, "[1,2]")
	}
	f.Fuzz(func(t *testing.T, source, value string) {
		env := func(name string) (string, bool) { return value, name == "X" || name == "A" }
		n, err := parseDocument("f", []byte(source), env)
		if err == nil {
			plainValue(n)
		}
	})
}
