package contract

import (
	"slices"
	"strings"

	"github.com/enoki-go/enoki/internal/pysource"
)

// goType is the Go type for a Python annotation.
type goType struct {
	text  string
	plain bool     // its zero value is a value of its own, so only a pointer can be absent
	items []goType // of a tuple, which is several results
	note  string   // what a reader has to know of its values
}

var (
	anyType = goType{text: "any"}
	noType  = goType{} // of None
)

// optional is the type with nil for None.
func (t goType) optional() goType {
	switch {
	case t.text == "":
		return anyType
	case t.plain:
		t.text = "*" + t.text
	}
	return goType{text: t.text, note: t.note}
}

// tagged is the type of what Python gets back in the form in which it sent it.
const tagged = "nameko.Tagged"

// plainTypes are those that JSON carries as text, numbers or truth.
var plainTypes = map[string]goType{
	"str":               {text: "string", plain: true},
	"Text":              {text: "string", plain: true},
	"enum.StrEnum":      {text: "string", plain: true},
	"int":               {text: "int", plain: true},
	"enum.IntEnum":      {text: "int", plain: true},
	"float":             {text: "float64", plain: true},
	"bool":              {text: "bool", plain: true},
	"bytes":             {text: tagged, plain: true, note: "bytes in Python"},
	"bytearray":         {text: tagged, plain: true, note: "bytes in Python"},
	"datetime.datetime": {text: tagged, plain: true, note: "a datetime in Python, such as 2026-01-31T12:00:00"},
	"datetime.date":     {text: tagged, plain: true, note: "a date in Python, such as 2026-01-31"},
	"datetime.time":     {text: tagged, plain: true, note: "a time in Python, such as 12:00:00"},
	"decimal.Decimal":   {text: tagged, plain: true, note: "a Decimal in Python"},
	"uuid.UUID":         {text: tagged, plain: true, note: "a UUID in Python"},
}

var (
	listTypes = []string{"list", "List", "Sequence", "MutableSequence", "Iterable", "Collection", "set", "Set", "frozenset", "FrozenSet", "AbstractSet"}
	dictTypes = []string{"dict", "Dict", "Mapping", "MutableMapping", "OrderedDict", "defaultdict", "DefaultDict"}
)

// typingModules hold what annotations are made of, told by its name alone.
var typingModules = []string{"typing.", "typing_extensions.", "collections.abc.", "collections."}

// annotations turns the annotations of a module into Go types.
type annotations struct {
	module  *pysource.Module
	names   names             // of the package
	known   map[string]goType // by Python name: what the module itself defines
	open    map[string]bool   // what is being defined at the moment
	structs []goStruct
}

// goStruct is the struct for a TypedDict, or for objects seen in traffic.
type goStruct struct {
	name, doc string
	seen      bool // in traffic; otherwise it is a TypedDict
	fields    []goField
}

type goField struct{ name, typ, json, note string }

// read returns the type for an annotation, which may be nil.
func (a *annotations) read(e pysource.Expr) goType {
	switch e := e.(type) {
	case *pysource.String:
		inner, err := pysource.ParseExpr(a.module.File, e.Value, e.Line())
		if _, again := inner.(*pysource.String); err != nil || again {
			return anyType
		}
		return a.read(inner)
	case *pysource.Union:
		return a.union(e.Items)
	case *pysource.Subscript:
		return a.generic(a.path(e.X), e.Items)
	case *pysource.Name, *pysource.Attribute:
		return a.named(a.path(e))
	}
	return anyType
}

func (a *annotations) path(e pysource.Expr) string {
	path := a.module.Path(e)
	for _, module := range typingModules {
		if name, ok := strings.CutPrefix(path, module); ok {
			return name
		}
	}
	return path
}

func (a *annotations) named(path string) goType {
	if t, ok := plainTypes[path]; ok {
		return t
	}
	switch {
	case path == "None":
		return noType
	case slices.Contains(listTypes, path):
		return goType{text: "[]any"}
	case slices.Contains(dictTypes, path):
		return goType{text: "map[string]any"}
	case path == "tuple" || path == "Tuple":
		return goType{text: "[]any"}
	}
	return a.defined(path)
}

// defined returns the type for what the module itself defines: a name for
// another type, a TypedDict or an enumeration of strings or numbers.
func (a *annotations) defined(name string) goType {
	if t, ok := a.known[name]; ok {
		return t
	}
	if a.open[name] {
		return anyType // it is defined by itself
	}
	a.open[name] = true
	t := anyType
	if class := a.module.Class(name); class != nil {
		t = a.class(class)
	} else if value := a.module.Value(name); value != nil {
		t = a.alias(value)
	}
	delete(a.open, name)
	a.known[name] = t
	return t
}

func (a *annotations) alias(value pysource.Expr) goType {
	if call, ok := value.(*pysource.Call); ok && a.path(call.Func) == "NewType" && len(call.Args) == 2 {
		return a.read(call.Args[1].Value)
	}
	return a.read(value)
}

func (a *annotations) class(c *pysource.Class) goType {
	lineage, strangers := a.module.Lineage(c)
	for _, base := range strangers {
		path := a.path(base)
		if path == "TypedDict" {
			return a.typedDict(c, lineage)
		}
		if t, ok := plainTypes[path]; ok {
			return t
		}
	}
	return anyType
}

func (a *annotations) typedDict(c *pysource.Class, lineage []*pysource.Class) goType {
	name := a.names.take(exported(c.Name), "Data")
	// Known from here on: a field of it may be of its type, by pointer.
	a.known[c.Name] = goType{text: "*" + name}
	s := goStruct{name: name, doc: c.Doc}
	fields, seen := names{}, map[string]bool{}
	for _, part := range slices.Backward(lineage) { // inherited ones first, as Python has them
		for _, field := range part.Assigns {
			if field.Annotation != nil && !seen[field.Name] {
				seen[field.Name] = true
				s.fields = append(s.fields, a.field(fields, field, lacksTotal(part)))
			}
		}
	}
	a.structs = append(a.structs, s)
	return goType{text: name, plain: true}
}

// lacksTotal reports whether the keys of a TypedDict may be absent.
func lacksTotal(c *pysource.Class) bool {
	return slices.ContainsFunc(c.Bases, func(base pysource.Arg) bool {
		return base.Name == "total" && base.Value.Text() == "False"
	})
}

func (a *annotations) field(taken names, f pysource.Assign, mayLack bool) goField {
	typ, tag := a.read(f.Annotation), f.Name
	if sub, ok := f.Annotation.(*pysource.Subscript); ok {
		switch a.path(sub.X) {
		case "NotRequired":
			mayLack = true
		case "Required":
			mayLack = false
		}
	}
	if mayLack {
		typ, tag = typ.optional(), tag+",omitempty"
	}
	if typ.text == "" {
		typ = anyType
	}
	return goField{name: taken.take(exported(f.Name), ""), typ: typ.text, json: tag, note: typ.note}
}

// generic returns the type for name[items].
func (a *annotations) generic(path string, items []pysource.Expr) goType {
	switch {
	case len(items) == 0:
		return a.named(path)
	case slices.Contains(listTypes, path):
		return a.list(items[0])
	case slices.Contains(dictTypes, path):
		return a.dict(items)
	}
	switch path {
	case "Optional":
		return a.read(items[0]).optional()
	case "Union":
		return a.union(items)
	case "tuple", "Tuple":
		return a.tuple(items)
	case "Annotated", "Required", "NotRequired", "ReadOnly":
		return a.read(items[0])
	case "Literal":
		return literal(items)
	}
	return anyType
}

func (a *annotations) list(item pysource.Expr) goType {
	t := a.read(item)
	if t.text == "" {
		t = anyType
	}
	return goType{text: "[]" + t.text, note: t.note}
}

// dict takes number keys as Go does, which are text in JSON.
func (a *annotations) dict(items []pysource.Expr) goType {
	key := "string"
	if a.read(items[0]).text == "int" {
		key = "int"
	}
	if len(items) < 2 {
		return goType{text: "map[" + key + "]any"}
	}
	value := a.read(items[1])
	if value.text == "" {
		value = anyType
	}
	return goType{text: "map[" + key + "]" + value.text, note: value.note}
}

// union is the type of what may be one of several: None beside one other
// leaves that one, with nil.
func (a *annotations) union(items []pysource.Expr) goType {
	var types []goType
	none := false
	for _, item := range items {
		t := a.read(item)
		none = none || t.text == ""
		same := func(other goType) bool { return other.text == t.text }
		if t.text != "" && !slices.ContainsFunc(types, same) {
			types = append(types, t)
		}
	}
	switch {
	case len(types) == 0:
		return noType
	case len(types) == 2 && types[0].text+types[1].text == "intfloat64", len(types) == 2 && types[0].text+types[1].text == "float64int":
		types[0] = plainTypes["float"]
	case len(types) > 1:
		return anyType
	}
	if none {
		return types[0].optional()
	}
	return types[0]
}

// tuple is a list in JSON: of one type as a slice, and several results when it
// is what a method returns.
func (a *annotations) tuple(items []pysource.Expr) goType {
	if len(items) == 2 && items[1].Text() == "..." {
		return a.list(items[0])
	}
	t := goType{text: "[]any"}
	for _, item := range items {
		i := a.read(item)
		if i.text == "" {
			i = anyType
		}
		t.items = append(t.items, i)
	}
	other := func(i goType) bool { return i.text != t.items[0].text }
	if !slices.ContainsFunc(t.items, other) {
		t.text = "[]" + t.items[0].text
	}
	return t
}

// literal is the type of constants.
func literal(items []pysource.Expr) goType {
	texts, numbers := 0, 0
	for _, item := range items {
		if _, ok := item.(*pysource.String); ok {
			texts++
		} else if strings.Trim(item.Text(), "-0123456789") == "" {
			numbers++
		}
	}
	switch len(items) {
	case texts:
		return plainTypes["str"]
	case numbers:
		return plainTypes["int"]
	}
	return anyType
}
