package contract

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/enoki-go/enoki/internal/quickjson"
)

// Traffic is what was seen of the calls to a service, from which its types are
// guessed. It keeps shapes, not values. It is for one goroutine.
type Traffic struct{ methods map[string]*calls }

// calls are the shapes of the calls to one method.
type calls struct {
	n       int
	byPlace []*shape
	byName  map[string]*shape
	results shape
	failed  int // calls that ended with an error, which say nothing of results
}

// NewTraffic returns traffic of no call yet.
func NewTraffic() *Traffic { return &Traffic{methods: map[string]*calls{}} }

// Request notes the arguments of a call. Values are of the types that
// encoding/json makes with UseNumber.
func (t *Traffic) Request(method string, args []any, kwargs map[string]any) {
	c := t.of(method)
	c.n++
	for i, v := range args {
		if i == len(c.byPlace) {
			c.byPlace = append(c.byPlace, &shape{})
		}
		c.byPlace[i].see(v)
	}
	for name, v := range kwargs {
		if c.byName[name] == nil {
			c.byName[name] = &shape{}
		}
		c.byName[name].see(v)
	}
}

// Result notes what a call has returned.
func (t *Traffic) Result(method string, v any) { t.of(method).results.see(v) }

// Failure notes that a call has ended with an error.
func (t *Traffic) Failure(method string) { t.of(method).failed++ }

func (t *Traffic) of(method string) *calls {
	if t.methods[method] == nil {
		t.methods[method] = &calls{byName: map[string]*shape{}}
	}
	return t.methods[method]
}

// Methods returns the names of the methods that were called, sorted.
func (t *Traffic) Methods() []string { return slices.Sorted(maps.Keys(t.methods)) }

// argument returns the shape of the argument at a place of Python's signature,
// however it was given, or nil.
func (t *Traffic) argument(method string, place int, name string) *shape {
	if t == nil || t.methods[method] == nil {
		return nil
	}
	var found shape
	c := t.methods[method]
	if place < len(c.byPlace) {
		found.add(c.byPlace[place])
	}
	found.add(c.byName[name])
	return &found
}

func (t *Traffic) result(method string) *shape {
	if t == nil || t.methods[method] == nil {
		return nil
	}
	return &t.methods[method].results
}

// maxKeys is how many keys an object may have and still be a struct: one with
// more is a map, whose keys are data.
const maxKeys = 60

// shape is what values had in common.
type shape struct {
	seen int // values

	null, truth, whole, fraction, large, text, tagged bool

	lists   int
	lengths map[int]bool
	item    *shape   // of all items
	places  []*shape // of items by their place, as far as every list has it

	objects int
	fields  map[string]*shape
}

// see notes a value.
func (s *shape) see(v any) {
	s.seen++
	switch v := v.(type) {
	case nil:
		s.null = true
	case bool:
		s.truth = true
	case string:
		s.text = true
	case json.Number:
		s.number(v)
	case []any:
		s.list(v)
	case map[string]any:
		if _, ok := quickjson.Untagged(v); ok { // of kombu's
			s.tagged = true
			return
		}
		s.object(v)
	}
}

func (s *shape) number(n json.Number) {
	if strings.ContainsAny(n.String(), ".eEnN") {
		s.fraction = true
		return
	}
	s.whole = true
	if _, err := strconv.ParseInt(n.String(), 10, 64); err != nil {
		s.large = true
	}
}

func (s *shape) list(items []any) {
	if s.lists++; s.item == nil {
		s.item, s.lengths = &shape{}, map[int]bool{}
	}
	s.lengths[len(items)] = true
	for i, v := range items {
		s.item.see(v)
		if i < 8 { // nobody returns more things at once
			if i == len(s.places) {
				s.places = append(s.places, &shape{})
			}
			s.places[i].see(v)
		}
	}
}

func (s *shape) object(o map[string]any) {
	if s.objects++; s.fields == nil {
		s.fields = map[string]*shape{}
	}
	for key, v := range o {
		if s.fields[key] == nil && len(s.fields) > maxKeys {
			key = "" // it is a map, and need not be remembered key by key
		}
		if s.fields[key] == nil {
			s.fields[key] = &shape{}
		}
		s.fields[key].see(v)
	}
}

// add notes all that another shape has seen; nil has seen nothing.
func (s *shape) add(o *shape) {
	if o == nil {
		return
	}
	s.seen += o.seen
	s.null, s.truth, s.whole = s.null || o.null, s.truth || o.truth, s.whole || o.whole
	s.fraction, s.large, s.text, s.tagged = s.fraction || o.fraction, s.large || o.large, s.text || o.text, s.tagged || o.tagged
	if o.lists > 0 {
		s.lists += o.lists
		s.item = joined(s.item, o.item)
	}
	if o.objects > 0 {
		s.objects += o.objects
		if s.fields == nil {
			s.fields = map[string]*shape{}
		}
		for key, f := range o.fields {
			s.fields[key] = joined(s.fields[key], f)
		}
	}
}

func joined(a, b *shape) *shape {
	var both shape
	both.add(a)
	both.add(b)
	return &both
}

// tuple returns the shapes of several results: every result was a list of the
// same length, whose items differ from each other in type.
func (s *shape) tuple() []*shape {
	if s.kinds() != 1 || s.lists == 0 || s.null || len(s.lengths) != 1 || len(s.places) < 2 || !s.lengths[len(s.places)] {
		return nil
	}
	if s.item.kinds() < 2 {
		return nil // a list of one type, whose length may change yet
	}
	return s.places
}

// kinds counts the kinds of values that were seen, null aside.
func (s *shape) kinds() int {
	n := 0
	for _, seen := range []bool{s.truth, s.whole || s.fraction, s.text || s.tagged, s.lists > 0, s.objects > 0} {
		if seen {
			n++
		}
	}
	return n
}

// shaped returns the type for values of a shape. name is that of a struct, if
// it takes one.
func (a *annotations) shaped(s *shape, name string) goType {
	if s == nil || s.kinds() != 1 {
		return anyType
	}
	t := anyType
	switch {
	case s.truth:
		t = plainTypes["bool"]
	case s.large:
		return goType{text: "any", note: "a whole number that does not always fit into 64 bits"}
	case s.fraction:
		t = plainTypes["float"]
	case s.whole:
		t = plainTypes["int"]
	case s.tagged:
		t = goType{text: tagged, plain: true}
	case s.text:
		t = plainTypes["str"]
	case s.lists > 0:
		t = goType{text: "[]" + a.shaped(s.item, name).optionalIn(s.item).text}
	case s.objects > 0:
		t = a.shapedObject(s, name)
	}
	return t.optionalIn(s)
}

// optionalIn is the type with nil where null was seen.
func (t goType) optionalIn(s *shape) goType {
	if s != nil && s.null && !strings.HasPrefix(t.text, "*") {
		return t.optional()
	}
	return t
}

func (a *annotations) shapedObject(s *shape, name string) goType {
	var all *shape
	isMap := len(s.fields) > maxKeys || len(s.fields) == 0
	for key, f := range s.fields {
		all = joined(all, f)
		isMap = isMap || !isArgument(key)
	}
	if isMap {
		return goType{text: "map[string]" + a.shaped(all, name).text}
	}
	built := goStruct{name: a.names.take(name, "Data"), seen: true}
	fields := names{}
	for _, key := range slices.Sorted(maps.Keys(s.fields)) {
		t, tag := a.shaped(s.fields[key], built.name+exported(key)), key
		if s.fields[key].seen < s.objects { // some had none
			t, tag = t.optionalIn(&shape{null: true}), key+",omitempty"
		}
		built.fields = append(built.fields, goField{name: fields.take(exported(key), ""), typ: t.text, json: tag, note: t.note})
	}
	a.structs = append(a.structs, built)
	return goType{text: built.name, plain: true}
}

// returned returns the type for results of a shape.
func (a *annotations) returned(s *shape, name string) goType {
	if s.seen > 0 && s.kinds() == 0 {
		return noType // None, each time
	}
	places := s.tuple()
	if places == nil {
		return a.shaped(s, name)
	}
	t := goType{text: "[]any"}
	for i, p := range places {
		t.items = append(t.items, a.shaped(p, name+strconv.Itoa(i+1)))
	}
	return t
}

// WriteSeen returns the file for the contract of a service of which nothing is
// known but its traffic.
func WriteSeen(pkg, service string, traffic *Traffic) (*File, error) {
	w := &writer{types: annotations{names: names{}, known: map[string]goType{}, open: map[string]bool{}}, traffic: traffic}
	name := w.types.names.take(exported(service), "Service")
	out := Struct{Name: service, Type: name, Methods: []string{}}
	fields := names{}
	var body strings.Builder
	for _, method := range traffic.Methods() {
		if !isArgument(method) {
			continue // nobody can declare it
		}
		if len(out.Methods) > 0 {
			body.WriteByte('\n')
		}
		body.WriteString(w.seenMethod(method, fields))
		out.Methods = append(out.Methods, method)
	}
	doc := fmt.Sprintf("%s is what of the service %s was called while enoki contract looked.", name, service)
	fmt.Fprintf(&w.body, "\n%stype %s struct {\n%s}\n", commentLines(doc), name, body.String())
	w.file.Structs = append(w.file.Structs, out)
	heading := fmt.Sprintf("Package %s holds the contract of the service %s, as far as it was seen.\n\nWritten by enoki contract from live calls, and yours to edit. Calls tell the names of arguments only when these go by name.", pkg, service)
	return w.finish(commentLines(heading)+"package "+pkg+"\n\n", service)
}

// seenMethod returns the field for a method with its comment.
func (w *writer) seenMethod(name string, fields names) string {
	c := w.traffic.methods[name]
	m := method{names: names{"ctx": true}}
	for i, s := range c.byPlace {
		m.addSeen(&w.types, fmt.Sprintf("arg%d", i+1), s, s.seen < c.n, false)
	}
	for _, python := range slices.Sorted(maps.Keys(c.byName)) {
		if isArgument(python) {
			m.addSeen(&w.types, python, c.byName[python], c.byName[python].seen < c.n, true)
		}
	}
	m.requiredFirst()
	notes := fmt.Sprintf("Seen in %d calls, of which %d failed.", c.n, c.failed)
	if len(c.byPlace) > 0 && len(c.byName) > 0 {
		notes += "\nSome arguments went by position and some by name: where two of these are one, leave one of them."
	}
	result := "(any, error)"
	if c.results.seen > 0 {
		result = resultList(&m, w.types.returned(&c.results, exported(name)+"Result"))
	}
	return commentLines(notes) + fmt.Sprintf("%s func(%s) %s `rpc:%q%s`\n", fields.take(exported(name), ""), m.signature(), result, name, m.args())
}

// addSeen adds a parameter of a shape.
func (m *method) addSeen(types *annotations, python string, s *shape, optional, byName bool) {
	t := types.shaped(s, exported(python))
	if optional && t.plain && !strings.HasPrefix(t.text, "*") {
		t.text = "*" + t.text
	}
	name := m.names.take(cmp.Or(parameter(python), "arg"), "_")
	m.params = append(m.params, param{name: name, typ: t.text, python: python, optional: optional, byNameOnly: byName})
}
