package contract

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/enoki-go/enoki/fault"
	"github.com/enoki-go/enoki/internal/quickjson"
)

// Request encodes the arguments of a call: by position as far as they may and go
// without a gap, the rest by name. An optional argument that is zero is left
// out, so that the default of the other side applies.
func (m *Method) Request(args []reflect.Value) ([]byte, error) {
	rest := m.rest(args)
	gap := 0
	for gap < m.byPlace && (len(rest) > 0 || !m.omits(gap, args[gap])) {
		gap++
	}
	b := append(make([]byte, 0, usualSize), `{"args":[`...)
	var err error
	for i := range gap {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = m.appendArg(b, i, args[i]); err != nil {
			return nil, err
		}
	}
	if b, err = m.appendRest(b, rest, gap > 0); err != nil {
		return nil, err
	}
	b = append(b, `],"kwargs":{`...)
	separator := ""
	for i := gap; i < len(args); i++ {
		if m.omits(i, args[i]) || m.params[i].kind != ordinary {
			continue
		}
		b = append(b, separator...)
		b = append(append(append(b, '"'), m.params[i].name...), `":`...)
		if b, err = m.appendArg(b, i, args[i]); err != nil {
			return nil, err
		}
		separator = ","
	}
	if b, err = m.appendNamed(b, args, separator); err != nil {
		return nil, err
	}
	return append(b, `}}`...), nil
}

func (m *Method) omits(i int, arg reflect.Value) bool {
	return m.params[i].optional && arg.IsZero()
}

func (m *Method) appendArg(b []byte, i int, arg reflect.Value) ([]byte, error) {
	b, err := appendJSON(b, m.params[i].codec, arg)
	if err != nil {
		if m.params[i].secret {
			err = fault.WithText(err, "it can't be encoded")
		}
		return nil, fault.Unsent("%s() argument %s: %w", m.Name, m.params[i].name, err)
	}
	return b, nil
}

// request is a request as it comes off the wire.
type request struct {
	Args   *[]json.RawMessage          `json:"args"`
	Kwargs *map[string]json.RawMessage `json:"kwargs"`
}

func parseRequest(body []byte) (*request, *fault.Error) {
	var r request
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fault.Errorf(fault.MalformedRequest, "request is not an object with the list \"args\" and the object \"kwargs\": %v", err)
	}
	if r.Args == nil || r.Kwargs == nil {
		return nil, fault.Errorf(fault.MalformedRequest, "request must have both \"args\" and \"kwargs\"")
	}
	return &r, nil
}

// Bind decodes the arguments of a request in the manner of Python: by position,
// by name or both. They fit, or the error says which one does not.
func (m *Method) Bind(positional []json.RawMessage, named map[string]json.RawMessage) ([]reflect.Value, *fault.Error) {
	if len(positional) > m.byPlace && !m.has(restByList) {
		return nil, m.misfit("takes %s but %d were given", count(m.byPlace, "positional argument"), len(positional))
	}
	args := make([]reflect.Value, len(m.params))
	placed := min(len(positional), m.byPlace)
	used := 0
	var missing []string
	for i, p := range m.params {
		if p.kind != ordinary {
			continue
		}
		raw, byName := named[p.name]
		if byName {
			used++
		}
		switch {
		case i < placed && byName:
			return nil, m.misfit("got multiple values for argument '%s'", p.name)
		case i < placed:
			raw = positional[i]
		case !byName && !p.optional:
			missing = append(missing, "'"+p.name+"'")
		}
		value, err := p.decode(raw)
		if err != nil {
			return nil, err
		}
		args[i] = value
	}
	if used < len(named) && !m.has(restByName) {
		return nil, m.misfit("got an unexpected keyword argument '%s'", m.unexpected(named))
	}
	if len(missing) > 0 {
		return nil, m.misfit("missing %s: %s", count(len(missing), "required positional argument"), enumerate(missing))
	}
	if refused := m.bindRest(args, positional, named); refused != nil {
		return nil, refused
	}
	return args, nil
}

// count and enumerate speak as Python does in its messages.
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprint(n, " ", what)
}

func enumerate(words []string) string {
	last := len(words) - 1
	switch last {
	case 0:
		return words[0]
	case 1:
		return words[0] + " and " + words[1]
	}
	return strings.Join(words[:last], ", ") + ", and " + words[last]
}

// misfit is an error in the words of Python, whose users know them.
func (m *Method) misfit(format string, a ...any) *fault.Error {
	text := m.Name + "() " + fmt.Sprintf(format, a...)
	return &fault.Error{Code: fault.IncorrectSignature, Message: text}
}

// unexpected returns the first name, in alphabetical order, that is no
// argument of m.
func (m *Method) unexpected(named map[string]json.RawMessage) string {
	first := ""
	for name := range named {
		known := false
		for _, p := range m.params {
			known = known || p.kind == ordinary && p.name == name
		}
		if !known && (first == "" || name < first) {
			first = name
		}
	}
	return first
}

// decode returns the zero value when raw is empty, and for null when p is
// optional.
func (p *param) decode(raw json.RawMessage) (reflect.Value, *fault.Error) {
	target := reflect.New(p.typ)
	if len(raw) == 0 || p.optional && string(raw) == "null" {
		return target.Elem(), nil
	}
	err := quickjson.Unmarshal(raw, target.Elem())
	if err == nil {
		err = quickjson.Check(p.typ, raw)
	}
	if err != nil && p.secret {
		return reflect.Value{}, fault.Errorf(fault.IncorrectSignature, "argument %s does not fit; want %s", p.name, p.typ)
	}
	if err != nil {
		return reflect.Value{}, fault.Errorf(fault.IncorrectSignature, "argument %s: %w", p.name, Unfit(p.typ, err))
	}
	return target.Elem(), nil
}

// Arguments decodes the arguments of a request, into room where they fit. An
// ordinary body is read in one pass; what that refuses is read again by functions
// that know every case and say what is wrong. kombu says that the body came as
// JSON, which may be in kombu's dialect.
func (m *Method) Arguments(body []byte, kombu bool, room []reflect.Value) (args []reflect.Value, refused *fault.Error) {
	defer func() {
		if p := recover(); p != nil { // of an UnmarshalJSON
			refused = fault.Panicked(p)
			if m.holdsSecrets() {
				refused.Message = "panic: arguments can't be decoded"
			}
		}
	}()
	if !m.open {
		if args, ok := m.readArguments(body, room); ok {
			return args, nil
		}
	}
	r, refused := parseRequest(plain(body, kombu))
	if refused != nil {
		return nil, refused
	}
	return m.Bind(*r.Args, *r.Kwargs)
}

func (m *Method) readArguments(body []byte, room []reflect.Value) ([]reflect.Value, bool) {
	args := append(room[:0], make([]reflect.Value, len(m.params))...)
	positional, named := false, false
	ok := quickjson.Scan(body, func(s *quickjson.Scanner) bool {
		s.Whole()
		return s.Object(func(key []byte) bool {
			switch {
			case string(key) == "args" && !positional:
				positional = true
				return s.List(func(i int) bool { return i < m.byPlace && m.readArgument(s, args, i) })
			case string(key) == "kwargs" && !named:
				named = true
				return s.Object(func(name []byte) bool { return m.readArgument(s, args, m.indexOf(name)) })
			}
			return false
		})
	})
	return args, ok && positional && named && m.complete(args)
}

// readArgument refuses an argument that is not there and one that has come
// before.
func (m *Method) readArgument(s *quickjson.Scanner, args []reflect.Value, i int) bool {
	if i < 0 || args[i].IsValid() {
		return false
	}
	args[i] = reflect.New(m.params[i].typ).Elem()
	if m.params[i].optional && s.Peek() == 'n' {
		return s.Null()
	}
	return s.Value(m.params[i].codec, args[i])
}

func (m *Method) indexOf(name []byte) int {
	for i := range m.params {
		if m.params[i].name == string(name) {
			return i
		}
	}
	return -1
}

// complete gives optional arguments that have not come their zero value. It
// reports whether all others have.
func (m *Method) complete(args []reflect.Value) bool {
	for i, p := range m.params {
		if args[i].IsValid() {
			continue
		}
		if !p.optional {
			return false
		}
		args[i] = reflect.Zero(p.typ)
	}
	return true
}
