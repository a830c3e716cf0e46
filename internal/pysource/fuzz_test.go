package pysource_test

import (
	"errors"
	"testing"

	"github.com/enoki-go/enoki/internal/pysource"
)

// FuzzParse holds the parser to an answer for every input: a module whose
// parts can be asked for, or an error with a line of the file.
func FuzzParse(f *testing.F) {
	f.Add([]byte(service))
	for _, c := range mistakes {
		f.Add([]byte(c.src))
	}
	for _, src := range []string{
		"class A(B, metaclass=M[int:2, ::]): x = y = f'{a!r:>{w}} {b[\"k\"]}' ; z: int",
		"@a.b(*c, **d)\nasync def f(x, /, (y, z), *, k: 'X | Y' = lambda a, b=1: {a: b}, **kw) -> {1: 2}[1]: pass",
		"from ... import (a as b,\n c,)\nimport d.e, f as g\nfrom h import *\n",
		"if x:\n\ty = `1`\nelse: z = 0xe+1e-5\n",
		"f'{f\"{f'{x}'}\"}' rb'\\'' u\"\\N{DASH}\\x41\\u00e9\\777\" '''\n'''",
		"A = B\nB = A\nclass C(D): pass\nclass D(C): name = name\n",
	} {
		f.Add([]byte(src))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		m, err := pysource.Parse("fuzz.py", src)
		var mistake *pysource.Error
		if err != nil {
			if !errors.As(err, &mistake) || mistake.Line < 1 || m != nil {
				t.Fatalf("module %v, error %#v", m, err)
			}
			return
		}
		for _, c := range m.Classes {
			line, _ := m.Lineage(c)
			if line[0] != c {
				t.Fatalf("%s is not the first of its own line", c.Name)
			}
			for _, a := range c.Assigns {
				m.String(a.Value, line...)
				m.Path(a.Value)
			}
			for _, method := range c.Methods {
				checkFunction(t, m, method)
			}
		}
	})
}

func checkFunction(t *testing.T, m *pysource.Module, f *pysource.Function) {
	if f.Name == "" || f.Line < 1 {
		t.Fatalf("function %q of line %d", f.Name, f.Line)
	}
	for _, d := range f.Decorators {
		if m.Path(d) == "" && d.Text() == "" {
			t.Fatalf("%s: an empty decorator", f.Name)
		}
	}
	for _, p := range f.Params {
		for _, e := range []pysource.Expr{p.Annotation, p.Default} {
			if s, ok := e.(*pysource.String); ok {
				_, _ = pysource.ParseExpr("fuzz.py", s.Value, e.Line()) // may be anything
			}
		}
	}
}
