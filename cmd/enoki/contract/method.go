package contract

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/enoki-go/enoki/internal/pysource"
)

// method is a field of a contract in the making.
type method struct {
	names    names
	params   []param
	defaults []string // "limit=10"
	notes    []string
}

type param struct {
	name, typ  string // Go
	python     string // with its stars
	optional   bool
	byNameOnly bool
}

// method returns the field for a method with its comment, or why there is none.
func (w *writer) method(s *Service, f *pysource.Function, fields names) (string, error) {
	if !isArgument(f.Name) {
		return "", fmt.Errorf("its name is not made of ASCII letters, digits and '_'")
	}
	m := method{names: names{"ctx": true}}
	for i, p := range withoutSelf(f) {
		if err := w.param(&m, i, p, f); err != nil {
			return "", err
		}
	}
	m.requiredFirst()
	results := w.results(&m, f)
	if len(m.defaults) > 0 {
		m.notes = slices.Insert(m.notes, 0, "Defaults: "+strings.Join(m.defaults, ", ")+".")
	}
	var b strings.Builder
	if text := paragraphs(f.Doc, strings.Join(m.notes, "\n")); text != "" {
		b.WriteString(commentLines(text))
	}
	fmt.Fprintf(&b, "%s func(%s) %s `rpc:%q%s`\n", fields.take(exported(f.Name), ""), m.signature(), results, f.Name, m.args())
	return b.String(), nil
}

// withoutSelf returns the parameters that a caller gives.
func withoutSelf(f *pysource.Function) []pysource.Param {
	static := func(d pysource.Expr) bool { return d.Text() == "staticmethod" }
	if len(f.Params) == 0 || f.Params[0].Kind > pysource.PositionalOnly || slices.ContainsFunc(f.Decorators, static) {
		return f.Params
	}
	return f.Params[1:]
}

// isArgument reports whether a contract takes a name for a method or an
// argument.
func isArgument(s string) bool { return isName(s) && !strings.ContainsAny(s, "-.") }

func (w *writer) param(m *method, i int, p pysource.Param, f *pysource.Function) error {
	place := fmt.Sprintf("arg%d", i+1)
	if p.Name == "" { // Python 2's tuple, which goes by position
		p.Name = place
	}
	if !isArgument(p.Name) {
		return fmt.Errorf("the name of its parameter %s is not made of ASCII letters, digits and '_'", p.Name)
	}
	t := w.types.read(p.Annotation)
	if t.text == "" { // annotated with None alone
		t = anyType
	}
	if t.text == "any" && p.Kind != pysource.VarPositional && p.Kind != pysource.VarKeyword {
		t = w.types.shaped(w.traffic.argument(f.Name, i, p.Name), exported(p.Name))
	}
	if t.note != "" {
		m.notes = append(m.notes, p.Name+" is "+t.note+".")
	}
	c := param{name: cmp.Or(parameter(p.Name), place), typ: t.text, python: p.Name, byNameOnly: p.Kind == pysource.KeywordOnly}
	switch p.Kind { // the annotation is that of one item
	case pysource.VarPositional:
		c.typ, c.python = "[]"+t.text, "*"+p.Name
	case pysource.VarKeyword:
		c.typ, c.python = "map[string]"+t.text, "**"+p.Name
	}
	c.name = m.names.take(c.name, "_")
	if p.Default != nil {
		m.giveDefault(&c, p, t)
	}
	m.params = append(m.params, c)
	return nil
}

// giveDefault makes a parameter one that may be left out. A contract leaves
// out what is zero, so where that is not the default, only a pointer tells
// zero from nothing.
func (m *method) giveDefault(c *param, p pysource.Param, t goType) {
	c.optional = true
	m.defaults = append(m.defaults, p.Name+"="+defaultText(p.Default))
	if t.plain && !isZero(t.text, p.Default) {
		c.typ = "*" + c.typ
	}
	if p.Kind == pysource.PositionalOnly {
		m.notes = append(m.notes, p.Name+" goes by position in Python: give it only with all before it.")
	}
}

// defaultText writes a default on one line.
func defaultText(e pysource.Expr) string {
	if s, ok := e.(*pysource.String); ok {
		return strconv.Quote(s.Value)
	}
	return strings.Join(strings.Fields(e.Text()), " ")
}

// isZero reports whether a Python value is the zero value of a Go type.
func isZero(typ string, python pysource.Expr) bool {
	switch typ {
	case "string":
		s, ok := python.(*pysource.String)
		return ok && s.Value == ""
	case "int", "float64":
		return slices.Contains([]string{"0", "0.0", "0.", "-0"}, python.Text())
	case "bool":
		return python.Text() == "False"
	}
	return false
}

// requiredFirst puts, of the parameters that go by name only, the required
// ones first. Their order is free, and optional ones come last in Go.
func (m *method) requiredFirst() {
	star := slices.IndexFunc(m.params, func(p param) bool { return p.byNameOnly })
	if star < 0 {
		return
	}
	byName := m.params[star:]
	if last := len(byName) - 1; strings.HasPrefix(byName[last].python, "**") {
		byName = byName[:last]
	}
	required := slices.DeleteFunc(slices.Clone(byName), func(p param) bool { return p.optional })
	optional := slices.DeleteFunc(slices.Clone(byName), func(p param) bool { return !p.optional })
	copy(byName, append(required, optional...))
}

// signature writes the parameters, with one type for those that share it.
func (m *method) signature() string {
	var b strings.Builder
	b.WriteString("ctx context.Context")
	for i, p := range m.params {
		b.WriteString(", " + p.name)
		if i+1 == len(m.params) || m.params[i+1].typ != p.typ {
			b.WriteString(" " + p.typ)
		}
	}
	return b.String()
}

// args writes the args tag.
func (m *method) args() string {
	var list []string
	star := false
	for _, p := range m.params {
		star = star || strings.HasPrefix(p.python, "*")
		if p.byNameOnly && !star {
			star = true
			list = append(list, "*")
		}
		name := p.python
		if p.optional {
			name += "?"
		}
		list = append(list, name)
	}
	if len(list) == 0 {
		return ""
	}
	return fmt.Sprintf(" args:%q", strings.Join(list, ","))
}

// results writes what the function returns.
func (w *writer) results(m *method, f *pysource.Function) string {
	t := anyType
	if f.Returns != nil {
		t = w.types.read(f.Returns)
	}
	if seen := w.traffic.result(f.Name); t.text == "any" && seen != nil {
		t = w.types.returned(seen, exported(f.Name)+"Result")
	}
	if t.note != "" {
		m.notes = append(m.notes, "The result is "+t.note+".")
	}
	return resultList(m, t)
}

func resultList(m *method, t goType) string {
	switch {
	case t.text == "":
		return "error"
	case len(t.items) < 2:
		return "(" + t.text + ", error)"
	}
	var list []string
	for i, item := range t.items {
		list = append(list, item.text)
		if item.note != "" {
			m.notes = append(m.notes, fmt.Sprintf("Result %d is %s.", i+1, item.note))
		}
	}
	return "(" + strings.Join(append(list, "error"), ", ") + ")"
}
