package enoki

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/enoki-go/enoki/internal/quickjson"
)

var (
	contextType = reflect.TypeFor[context.Context]()
	errorType   = reflect.TypeFor[error]()
)

// method is one function of a contract with all that can be known of it
// before it is called.
type method struct {
	name    string
	timeout time.Duration // of a call; 0 is the client's own
	fn      reflect.Type
	params  []param
	byPlace int            // how many of params may go by position, one each; the others by name only
	open    bool           // the last of params take any number of arguments
	results []reflect.Type // without the error, as they travel

	oneway     bool         // the caller waits for no result
	idempotent bool         // may run twice
	atMostOnce bool         // may be lost rather than be handled twice
	item       reflect.Type // of a stream of results; nil for others
	sensitive  []int        // which of params no log shows
	reply      reflect.Type // a Reply, of a call to every instance; nil for others
}

type param struct {
	name     string
	kind     paramKind
	optional bool // all but ordinary ones are
	secret   bool // its value stands in no log, nor in an error
	typ      reflect.Type
	codec    *quickjson.Codec
}

// paramKind is how a parameter takes arguments.
type paramKind string

const (
	ordinary   paramKind = ""   // one argument, by its name or place
	restByList paramKind = "*"  // a slice of those by position that no other takes
	restByName paramKind = "**" // a map of those by name that no other takes
)

// contractField is a method and where its function stands in the contract.
type contractField struct {
	*method
	index int
}

// contractFields reads the struct type of a contract. Its errors name the
// field, the type and what to change.
func contractFields(t reflect.Type) ([]contractField, error) {
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("contract %s is a %s; make it a struct whose fields are functions", t, t.Kind())
	}
	var fields []contractField
	var mistakes []error
	names := map[string]string{}
	for i := range t.NumField() {
		f := t.Field(i)
		m, err := methodOf(f)
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("contract field %s.%s: %w", t, f.Name, err))
			continue
		}
		name := m.name
		if m.reply != nil {
			name = "every " + name // beside the function that serves it
		}
		if other, ok := names[name]; ok {
			mistakes = append(mistakes, fmt.Errorf("contract field %s.%s: method %q is already %s.%s; give one of them another name in its rpc tag", t, f.Name, m.name, t, other))
			continue
		}
		names[name] = f.Name
		fields = append(fields, contractField{m, i})
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	if len(fields) == 0 {
		return nil, fmt.Errorf("contract %s has no functions; add a field such as Hello func(ctx context.Context, name string) (string, error)", t)
	}
	return fields, nil
}

func methodOf(f reflect.StructField) (*method, error) {
	if !f.IsExported() {
		return nil, fmt.Errorf("is not exported; begin its name with a capital letter")
	}
	if f.Type.Kind() != reflect.Func {
		return nil, fmt.Errorf("is a %s; a contract holds functions only", f.Type)
	}
	name := f.Tag.Get("rpc")
	if name == "" {
		name = snakeCase(f.Name)
	}
	var args []string
	if tag := f.Tag.Get("args"); tag != "" {
		args = strings.Split(tag, ",")
	}
	m, err := newMethod(name, f.Type, args)
	if err != nil {
		return nil, err
	}
	return m, m.readTags(f.Tag)
}

// readTags reads what a field's tag says beside names.
func (m *method) readTags(tags reflect.StructTag) (err error) {
	if tag := tags.Get("timeout"); tag != "" {
		if m.timeout, err = time.ParseDuration(tag); err != nil || m.timeout <= 0 {
			return fmt.Errorf("timeout tag %q is not a positive duration such as 2s", tag)
		}
	}
	if err := m.markSensitive(tags.Get("sensitive")); err != nil {
		return err
	}
	switch tag := tags.Get("delivery"); tag {
	case "":
	case "at-most-once":
		m.atMostOnce = true
	default:
		return fmt.Errorf("delivery tag is %q, want at-most-once, or none for calls that are not lost", tag)
	}
	for name, flag := range map[string]*bool{"oneway": &m.oneway, "idempotent": &m.idempotent} {
		switch tag := tags.Get(name); tag {
		case "", "false":
		case "true":
			*flag = true
		default:
			return fmt.Errorf("%s tag %q is neither true nor false", name, tag)
		}
	}
	if m.oneway && m.atMostOnce {
		return fmt.Errorf("is one-way, which the broker keeps, and at-most-once, which it may lose; drop one of the tags")
	}
	if m.oneway && (len(m.results) > 0 || m.item != nil || m.reply != nil) {
		return fmt.Errorf("is one-way, so nobody waits for its results; return an error only, or drop the oneway tag")
	}
	return nil
}

// newMethod checks a function type against its argument names. As in Python,
// those that follow the name "*" go by name only.
func newMethod(name string, fn reflect.Type, args []string) (*method, error) {
	if err := checkName("method", name); err != nil {
		return nil, err
	}
	if err := checkShape(fn); err != nil {
		return nil, err
	}
	args, byPlace, err := cutStar(args)
	if err != nil {
		return nil, err
	}
	if got, want := len(args), fn.NumIn()-1; got != want {
		return nil, fmt.Errorf("%s has %d arguments after the context and %d names; name each in order, as in args:\"a,b\" (\"b?\" may be left out)", fn, want, got)
	}
	m := &method{name: name, fn: fn, byPlace: byPlace}
	for i, arg := range args {
		if err := m.addParam(arg, fn.In(i+1)); err != nil {
			return nil, err
		}
	}
	return m, m.findResults()
}

// findResults finds out what the method returns: values, a stream of them, or
// the replies of every instance.
func (m *method) findResults() error {
	last := m.fn.NumOut() - 1 // the error
	for i := range last {
		m.results = append(m.results, m.fn.Out(i))
	}
	if last == 1 {
		m.item, m.reply = itemOf(m.fn.Out(0)), replyOf(m.fn.Out(0))
	}
	switch {
	case m.item != nil:
		m.results = []reflect.Type{m.item}
	case m.reply != nil:
		m.results = []reflect.Type{valueOf(m.reply)}
	}
	for i, t := range m.results {
		if err := checkJSON(t); err != nil {
			return fmt.Errorf("result %d: %w", i+1, err)
		}
	}
	return nil
}

// cutStar returns the names without a lone "*", and how many arguments may go
// by position, one for each name: those before the first star of any kind.
func cutStar(args []string) (names []string, byPlace int, err error) {
	byPlace = -1
	for i, arg := range args {
		arg = strings.TrimSpace(arg)
		switch {
		case strings.HasPrefix(arg, string(restByName)):
			if i != len(args)-1 {
				return nil, 0, fmt.Errorf("argument %q takes all that is left by name; put it last", arg)
			}
		case strings.HasPrefix(arg, string(restByList)):
			if byPlace >= 0 {
				return nil, 0, fmt.Errorf("argument %q: only one argument may begin with a star", arg)
			}
			byPlace = i
		}
		if arg != "*" {
			names = append(names, arg)
		}
	}
	if byPlace < 0 {
		byPlace = len(names)
		if last := len(names) - 1; last >= 0 && strings.HasPrefix(names[last], string(restByName)) {
			byPlace = last
		}
	}
	return names, byPlace, nil
}

// readName reads a name as the args tag has it: b, b?, *b or **b.
func (p *param) readName(arg string) error {
	name := strings.TrimLeft(arg, "*")
	p.kind = paramKind(arg[:len(arg)-len(name)])
	p.name, p.optional = strings.CutSuffix(name, "?")
	switch {
	case p.kind == ordinary:
	case p.optional:
		return fmt.Errorf("argument %q may be left out anyway; drop the \"?\"", arg)
	case p.kind == restByList && p.typ.Kind() != reflect.Slice:
		return fmt.Errorf("argument %q takes any number of arguments and is a %s; make it a slice, such as []any", arg, p.typ)
	case p.kind == restByName && (p.typ.Kind() != reflect.Map || p.typ.Key().Kind() != reflect.String):
		return fmt.Errorf("argument %q takes any arguments by name and is a %s; make it a map, such as map[string]any", arg, p.typ)
	}
	p.optional = p.optional || p.kind != ordinary
	return checkName("argument", p.name)
}

func (m *method) addParam(arg string, t reflect.Type) error {
	p := param{typ: t, codec: quickjson.Of(t)}
	if err := p.readName(arg); err != nil {
		return err
	}
	for _, before := range m.params {
		if before.name == p.name {
			return fmt.Errorf("argument name %q stands twice in its args tag", p.name)
		}
		if before.optional && !p.optional && len(m.params) < m.byPlace {
			return fmt.Errorf("argument %q follows an optional one; put optional ones last or mark it %q", p.name, p.name+"?")
		}
	}
	if err := checkJSON(t); err != nil {
		return fmt.Errorf("argument %q: %w", p.name, err)
	}
	m.params = append(m.params, p)
	m.open = m.open || p.kind != ordinary
	return nil
}

func checkShape(fn reflect.Type) error {
	switch {
	case fn.Kind() != reflect.Func:
		return fmt.Errorf("%s is not a function", fn)
	case fn.IsVariadic():
		return fmt.Errorf("%s takes a variable number of arguments; take a slice instead", fn)
	case fn.NumIn() == 0 || fn.In(0) != contextType:
		return fmt.Errorf("%s does not take a context first; make its first argument a context.Context", fn)
	case fn.NumOut() == 0 || fn.Out(fn.NumOut()-1) != errorType:
		return fmt.Errorf("%s does not return an error last; add an error as its last result", fn)
	}
	return nil
}

// checkName keeps names free of what routing keys and subjects give a meaning
// to. Names of services and events may have dots between their words, as some
// of Nameko's do; those of methods and arguments are identifiers.
func checkName(what, name string) error {
	identifier := what == "method" || what == "argument"
	before := '.'
	for i, r := range name {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		later := i > 0 && (r >= '0' && r <= '9' || !identifier && (r == '-' || r == '.' && before != '.'))
		if !letter && !later {
			return fmt.Errorf("%s name %q has %q at position %d; use ASCII letters, digits and '_', a letter first", what, name, r, i+1)
		}
		before = r
	}
	switch {
	case name == "":
		return fmt.Errorf("%s name is empty; give it one", what)
	case before == '.':
		return fmt.Errorf("%s name %q ends in a dot; leave it out", what, name)
	}
	return nil
}

// snakeCase is the name that Python would give a method: CheckUserID becomes
// check_user_id.
func snakeCase(name string) string {
	runes := []rune(name)
	var b strings.Builder
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 {
			afterLower := !unicode.IsUpper(runes[i-1])
			beforeLower := i+1 < len(runes) && unicode.IsLower(runes[i+1])
			if afterLower || beforeLower {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// argNames returns the names of the arguments as their args tag has them.
func (m *method) argNames() []string {
	names := make([]string, len(m.params))
	for i, p := range m.params {
		names[i] = string(p.kind) + p.name
		if p.optional && p.kind == ordinary {
			names[i] += "?"
		}
	}
	return names
}

func typeNames(types []reflect.Type) []string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.String()
	}
	return names
}

func (m *method) paramTypes() []reflect.Type {
	types := make([]reflect.Type, len(m.params))
	for i, p := range m.params {
		types[i] = p.typ
	}
	return types
}
