package pysource_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/enoki-go/enoki/internal/pysource"
)

const service = `# -*- coding: utf-8 -*-
"""A service."""
from __future__ import print_function

import nameko.rpc, json as j
from nameko.rpc import (
    rpc,
    RpcProxy as Proxy,  # a comment
)
from .mixins import *
try:
    from nameko.events import event_handler
except ImportError: event_handler = None

PREFIX = "reg" 'ister'
remote = nameko.rpc.rpc

class Health(object):
    def ping(self): return "pong"  # one line

if PREFIX:
    class Service(Health, Unknown, metaclass=Meta):
        '''
        Registers users.

            indented
        '''
        name = PREFIX
        dispatch, x = EventDispatcher(), 1
        dispatch: "EventDispatcher" = EventDispatcher(**options)
        limits = [x for x in range(3)]

        class Nested:
            def hidden(self): pass

        @rpc
        @nameko.rpc.rpc(expected_exceptions=(ValueError, KeyError), flag=not x)
        async def register(self, email: str, data: 'Dict[str, Any]' = None, /,
                           key=lambda a, b=1: {a: b}, *rest: int, limit: Optional[int]=10 if PREFIX else 20,
                           **options) -> Tuple[
                               str, list[str] | None]:
            u"Registers."
            def inner(a):
                self.dispatch("registered", {"a": f(a)})
            if email:
                self.dispatch(event_type=KINDS.first); print "py2"
            return x.y(1), z()

        def last(self, (a, b), *, only): "not" + "a docstring"
`

func TestParse(t *testing.T) {
	t.Parallel()
	m, err := pysource.Parse("service.py", []byte(service))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Imports["Proxy"]; got != "nameko.rpc.RpcProxy" {
		t.Errorf("Proxy is %q", got)
	}
	if got := strings.Join(m.Stars, " "); got != ".mixins" {
		t.Errorf("everything of %q is imported", got)
	}
	c := m.Class("Service")
	if c == nil {
		t.Fatal("no class Service")
	}
	if want := "Registers users.\n\n    indented"; c.Doc != want {
		t.Errorf("doc is %q, want %q", c.Doc, want)
	}
	line, strangers := m.Lineage(c)
	if len(line) != 2 || line[1].Name != "Health" || len(strangers) != 1 || strangers[0].Text() != "Unknown" {
		t.Errorf("lineage is %v and %v", line, strangers)
	}
	if name, ok := m.String(c.Assign("name").Value, line...); !ok || name != "register" {
		t.Errorf("name is %q, %v", name, ok)
	}
	if got := m.Path(c.Assign("dispatch").Value.(*pysource.Call).Func); got != "EventDispatcher" {
		t.Errorf("dispatch is an %q", got)
	}
	if got := show(c.Methods[0]); got != wantRegister {
		t.Errorf("got\n%s\nwant\n%s", got, wantRegister)
	}
	if got := show(c.Methods[1]); got != wantLast {
		t.Errorf("got\n%s\nwant\n%s", got, wantLast)
	}
}

const wantRegister = `38 @Name rpc
@Call nameko.rpc.rpc(expected_exceptions=(ValueError, KeyError), flag=not x)
register -> Subscript Tuple[
                               str, list[str] | None]
doc Registers.
1 self
1 email: Name str
1 data: String 'Dict[str, Any]' = Name None
0 key = Other lambda a, b=1: {a: b}
3 rest: Name int
2 limit: Subscript Optional[int] = Other 10 if PREFIX else 20
4 options
44 self.dispatch( String "registered"
44 f( Name a
46 self.dispatch( event_type= Attribute KINDS.first
47 x.y(
47 z(
`

const wantLast = `49 last
0 self
1 (tuple)
2 only
`

func show(f *pysource.Function) string {
	var b strings.Builder
	fmt.Fprint(&b, f.Line, " ")
	for _, d := range f.Decorators {
		fmt.Fprintf(&b, "@%s\n", describe(d))
	}
	b.WriteString(f.Name)
	if f.Returns != nil {
		fmt.Fprintf(&b, " -> %s", describe(f.Returns))
	}
	b.WriteString("\n")
	if f.Doc != "" {
		fmt.Fprintf(&b, "doc %s\n", f.Doc)
	}
	for _, p := range f.Params {
		name := p.Name
		if name == "" {
			name = "(tuple)"
		}
		fmt.Fprintf(&b, "%d %s", p.Kind, name)
		if p.Annotation != nil {
			fmt.Fprintf(&b, ": %s", describe(p.Annotation))
		}
		if p.Default != nil {
			fmt.Fprintf(&b, " = %s", describe(p.Default))
		}
		b.WriteString("\n")
	}
	for _, c := range f.Calls {
		fmt.Fprintf(&b, "%d %s(", c.Line, c.Callee)
		if c.First != nil && c.First.Name != "" {
			fmt.Fprintf(&b, " %s=", c.First.Name)
		}
		if c.First != nil {
			fmt.Fprintf(&b, " %s", describe(c.First.Value))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func describe(e pysource.Expr) string {
	return strings.TrimPrefix(fmt.Sprintf("%T ", e), "*pysource.") + e.Text()
}

func TestMeans(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		imports, expr string
		want          bool
	}{
		{"from nameko.rpc import rpc", "rpc", true},
		{"from nameko.rpc import rpc as remote", "remote", true},
		{"from nameko.rpc import *", "rpc", true},
		{"from nameko import rpc", "rpc.rpc", true},
		{"import nameko.rpc", "nameko.rpc.rpc", true},
		{"import nameko.rpc as r", "r.rpc", true},
		{"from nameko.rpc import rpc\nremote = rpc", "remote", true},
		{"import nameko.rpc\nn = nameko\nremote = n.rpc.rpc", "remote", true},
		{"try:\n  import nameko.rpc as r\nexcept ImportError:\n  pass", "r.rpc", true},
		{"from nameko.web.websocket import rpc", "rpc", false},
		{"from nameko.web.websocket import *", "rpc", false},
		{"from nameko.rpc import rpc", "rpc()", false},
		{"from nameko.rpc import RpcProxy as rpc", "rpc", false},
		{"a = b\nb = a", "a", false},
	} {
		m, err := pysource.Parse("x.py", []byte(c.imports+"\nx = "+c.expr+"\n"))
		if err != nil {
			t.Errorf("%s: %v", c.imports, err)
			continue
		}
		if got := m.Means(m.Value("x"), "nameko.rpc.rpc"); got != c.want {
			t.Errorf("%s: %s means it: %v", c.imports, c.expr, got)
		}
	}
}

func TestLineage(t *testing.T) {
	t.Parallel()
	m, err := pysource.Parse("x.py", []byte(`
class Base: pass
class B(Base): pass
class C(Base): pass
class A(B, C, Abroad): pass
class Own(Own): pass
`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"A": "A B C Base", "B": "B Base", "Own": "Own"} {
		line, _ := m.Lineage(m.Class(name))
		var got []string
		for _, c := range line {
			got = append(got, c.Name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", name, got, want)
		}
	}
}

func TestStrings(t *testing.T) {
	t.Parallel()
	for literal, want := range map[string]string{
		`'it\'s'`:                     "it's",
		`"a\tb\\n\x41\u00e9\101"`:     "a\tb\\nAéA",
		`"\q\N{DASH}\xzz\u12"`:        `\q\N{DASH}\xzz\u12`,
		`r"\n\""`:                     `\n\"`,
		`b'bytes' u"x"`:               "bytesx",
		"'''a\n\"b\"\\\nc'''":         "a\n\"b\"c",
		`("a"` + "\n  # c\n" + `"b")`: "ab",
		`""`:                          "",
		`"\ud800"`:                    "\ufffd",
		`'''''' "" 'x'`:               "x",
	} {
		e, err := pysource.ParseExpr("x.py", literal, 1)
		if err != nil {
			t.Errorf("%s: %v", literal, err)
			continue
		}
		s, ok := e.(*pysource.String)
		if !ok || s.Value != want {
			t.Errorf("%s is %#v, want %q", literal, e, want)
		}
	}
}

// TestFormatted reads strings that are put together at run time, whose ends
// are not easily seen.
func TestFormatted(t *testing.T) {
	t.Parallel()
	for _, literal := range []string{
		`f"{x}"`, `f'{x["a"]}'`, `f"{x["a"]}"`, `f"{'}'}"`, `f"{{"`, `f"{x!r:'>10}"`, `f"{x:{"a"}}"`,
		`f"{f"{f"{x}"}"}"`, `rf"\{x}"`, `f"\N{DASH}'"`, `f"{ {'a': ':'}['a'] }"`, "f'''{\nx:\n}'''", `t"{x}"`,
		`"a" f"{b}"`, `f"{(lambda x: x)("'")}"`,
	} {
		e, err := pysource.ParseExpr("x.py", literal+", END", 1)
		if err != nil {
			t.Errorf("%s: %v", literal, err)
			continue
		}
		pair, ok := e.(*pysource.Sequence)
		if !ok || len(pair.Items) != 2 || pair.Items[0].Text() != literal || pair.Items[1].Text() != "END" {
			t.Errorf("%s is read as %#v", literal, e)
		}
	}
}

var mistakes = []struct{ src, want string }{
	{"x = (1,\ny\n", `x.py:1: "(" is never closed`},
	{"x = (1]\n", `x.py:1: ']' does not close the '(' of line 1`},
	{"\nx = 1)\n", `x.py:2: ')' closes nothing`},
	{"x = 'a\n", `x.py:1: a string is not closed with '`},
	{"\nx = '''a\n", `x.py:2: a string is not closed with '''`},
	{"x = f'{a'\n", `x.py:1: a string is not closed with '`},
	{"class A:\n    x = 1\n  y = 2\n", `x.py:3: this indentation fits no line above`},
	{"class A:\nx = 1\n", `x.py:2: an indented block is missing before "x"`},
	{"class A:", `x.py:1: an indented block is missing before the end of the file`},
	{"class A\n  pass", `x.py:1: ":" is missing before the end of the line`},
	{"class 1: pass", `x.py:1: a name is missing before "1"`},
	{"def f(self, 1): pass", `x.py:1: a name is missing before "1"`},
	{"def f(self x): pass", `x.py:1: ")" is missing before "x"`},
	{"def f(self, x=): pass", `x.py:1: an expression is missing before ")"`},
	{"@\ndef f(): pass", `x.py:1: an expression is missing before the end of the line`},
	{"from x.y impor z", `x.py:1: import is missing before "impor"`},
	{"x = 1 $ 2", `x.py:1: '$' does not belong here`},
	{"\n\n# caf\xe9\n", `x.py:3: this is not UTF-8; convert the file first`},
	{strings.Repeat("(", 300), `x.py:1: more than 200 brackets within each other`},
	{"x = " + strings.Repeat(`f"{`, 300), `x.py:1: more than 150 f-strings within each other`},
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	for _, c := range mistakes {
		_, err := pysource.Parse("x.py", []byte(c.src))
		if err == nil || err.Error() != c.want {
			t.Errorf("%.40q: %v, want %s", c.src, err, c.want)
		}
	}
	var deep strings.Builder
	for i := range 200 {
		fmt.Fprintf(&deep, "%sif x:\n", strings.Repeat(" ", i))
	}
	if _, err := pysource.Parse("x.py", []byte(deep.String())); err == nil || !strings.Contains(err.Error(), "levels of indentation") {
		t.Errorf("200 levels: %v", err)
	}
}

// TestEndsOfLines reads the same program with the line ends of other systems.
func TestEndsOfLines(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"\n", "\r\n", "\r"} {
		src := "\ufeff" + strings.ReplaceAll(service, "\n", end)
		m, err := pysource.Parse("x.py", []byte(src))
		if err != nil {
			t.Errorf("%q: %v", end, err)
			continue
		}
		if got := show(m.Class("Service").Methods[0]); got != wantRegister {
			t.Errorf("%q: got\n%s", end, got)
		}
	}
}
