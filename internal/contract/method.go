package contract

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/enoki-go/enoki/internal/quickjson"
)

var (
	contextType = reflect.TypeFor[context.Context]()
	errorType   = reflect.TypeFor[error]()
)

// Method is one function of a contract with all that can be known of it before
// it is called.
type Method struct {
	Name    string
	Timeout time.Duration // of a call; 0 is the client's own
	Func    reflect.Type
	Results []reflect.Type // without the error, as they travel

	OneWay     bool         // the caller waits for no result
	Idempotent bool         // may run twice
	AtMostOnce bool         // may be lost rather than be handled twice
	Item       reflect.Type // of a stream of results; nil for others
	Reply      reflect.Type // of a call to every instance, see ReplyInstance; nil for others
	Sensitive  []int        // which arguments no log shows

	params  []param
	byPlace int  // how many of params may go by position, one each; the others by name only
	open    bool // the last of params take any number of arguments
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

// Of checks a function against the names of its arguments.
func Of(name string, fn any, args ...string) (*Method, reflect.Value, error) {
	v := reflect.ValueOf(fn)
	if !v.IsValid() || v.Kind() == reflect.Func && v.IsNil() {
		return nil, v, fmt.Errorf("method %q has no function", name)
	}
	m, err := New(name, v.Type(), args)
	if err != nil {
		return nil, v, fmt.Errorf("method %q: %w", name, err)
	}
	return m, v, nil
}

// New checks a function type against its argument names. As in Python,
// those that follow the name "*" go by name only.
func New(name string, fn reflect.Type, args []string) (*Method, error) {
	if err := CheckName("method", name); err != nil {
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
	m := &Method{Name: name, Func: fn, byPlace: byPlace}
	var mistakes []error
	for i, arg := range args {
		mistakes = append(mistakes, m.addParam(arg, fn.In(i+1)))
	}
	if err := errors.Join(append(mistakes, m.findResults())...); err != nil {
		return nil, err
	}
	return m, nil
}

// findResults finds out what the method returns: values, a stream of them, or
// the replies of every instance.
func (m *Method) findResults() error {
	last := m.Func.NumOut() - 1 // the error
	for i := range last {
		m.Results = append(m.Results, m.Func.Out(i))
	}
	if last == 1 {
		m.Item, m.Reply = itemOf(m.Func.Out(0)), replyOf(m.Func.Out(0))
	}
	switch {
	case m.Item != nil:
		m.Results = []reflect.Type{m.Item}
	case m.Reply != nil:
		m.Results = []reflect.Type{m.Reply.Field(ReplyValue).Type}
	}
	var mistakes []error
	for i, t := range m.Results {
		if err := CheckJSON(t); err != nil {
			mistakes = append(mistakes, fmt.Errorf("result %d: %w", i+1, err))
		}
	}
	return errors.Join(mistakes...)
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
	return CheckName("argument", p.name)
}

func (m *Method) addParam(arg string, t reflect.Type) error {
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
	if err := CheckJSON(t); err != nil {
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

// ArgNames returns the names of the arguments as their args tag has them.
func (m *Method) ArgNames() []string {
	names := make([]string, len(m.params))
	for i, p := range m.params {
		names[i] = string(p.kind) + p.name
		if p.optional && p.kind == ordinary {
			names[i] += "?"
		}
	}
	return names
}

// TypeNames returns the types as Go writes them.
func TypeNames(types []reflect.Type) []string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.String()
	}
	return names
}

// ParamTypes returns the types of the arguments, without the context.
func (m *Method) ParamTypes() []reflect.Type {
	types := make([]reflect.Type, len(m.params))
	for i, p := range m.params {
		types[i] = p.typ
	}
	return types
}
