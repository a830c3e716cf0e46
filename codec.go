package enoki

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/enoki-go/enoki/internal/quickjson"
)

// This file holds Nameko's bodies: a request is {"args": [..], "kwargs": {..}},
// a reply is {"result": v, "error": null} or {"result": null, "error": {..}}.
// Several results are one array.

// request encodes the arguments of a call: by position as far as they may and go
// without a gap, the rest by name. An optional argument that is zero is left
// out, so that the default of the other side applies.
func (m *method) request(args []reflect.Value) ([]byte, error) {
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

func (m *method) omits(i int, arg reflect.Value) bool {
	return m.params[i].optional && arg.IsZero()
}

func (m *method) appendArg(b []byte, i int, arg reflect.Value) ([]byte, error) {
	b, err := appendJSON(b, m.params[i].codec, arg)
	if err != nil {
		if m.params[i].secret {
			err = hushed(err, "it can't be encoded")
		}
		refused := Errorf(InvalidArgument, "%s() argument %s: %w", m.name, m.params[i].name, err)
		refused.unsent = true
		return nil, refused
	}
	return b, nil
}

// call is a request as it comes off the wire.
type call struct {
	Args   *[]json.RawMessage          `json:"args"`
	Kwargs *map[string]json.RawMessage `json:"kwargs"`
}

func parseRequest(body []byte) (*call, *Error) {
	var c call
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, Errorf(MalformedRequest, "request is not an object with the list \"args\" and the object \"kwargs\": %v", err)
	}
	if c.Args == nil || c.Kwargs == nil {
		return nil, Errorf(MalformedRequest, "request must have both \"args\" and \"kwargs\"")
	}
	return &c, nil
}

// bind decodes the arguments of a request in the manner of Python: by
// position, by name or both.
func (m *method) bind(c *call) ([]reflect.Value, *Error) {
	positional, named := *c.Args, *c.Kwargs
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
func (m *method) misfit(format string, a ...any) *Error {
	text := m.name + "() " + fmt.Sprintf(format, a...)
	return &Error{Code: IncorrectSignature, Message: text}
}

// unexpected returns the first name, in alphabetical order, that is no
// argument of m.
func (m *method) unexpected(named map[string]json.RawMessage) string {
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
func (p *param) decode(raw json.RawMessage) (reflect.Value, *Error) {
	target := reflect.New(p.typ)
	if len(raw) == 0 || p.optional && string(raw) == "null" {
		return target.Elem(), nil
	}
	err := quickjson.Unmarshal(raw, target.Elem())
	if err == nil {
		err = quickjson.Check(p.typ, raw)
	}
	if err != nil && p.secret {
		return reflect.Value{}, Errorf(IncorrectSignature, "argument %s does not fit; want %s", p.name, p.typ)
	}
	if err != nil {
		return reflect.Value{}, Errorf(IncorrectSignature, "argument %s: %w", p.name, unfit(p.typ, err))
	}
	return target.Elem(), nil
}

// jsonMistake says in a caller's words what encoding/json says of Go types.
func jsonMistake(err error) error {
	wrong, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return err
	}
	field := ""
	if wrong.Field != "" {
		field = "field " + wrong.Field + ": "
	}
	return fmt.Errorf("%swant %s, got %s", field, wrong.Type, wrong.Value)
}

// reply is a reply as it goes onto the wire and comes off it.
type reply struct {
	Result json.RawMessage `json:"result"`
	Error  *wireError      `json:"error"`
}

// wireError is Nameko's serialized exception and our code.
type wireError struct {
	Type  string `json:"exc_type"`
	Path  string `json:"exc_path"`
	Args  []any  `json:"exc_args"`
	Value string `json:"value"`
	Code  Code   `json:"code,omitempty"`
}

var null = json.RawMessage("null")

// encodeResults encodes the results of a handler, without its error.
func encodeResults(results []reflect.Value) ([]byte, error) {
	b := append(make([]byte, 0, usualSize), `{"result":`...)
	switch len(results) {
	case 0:
		b = append(b, null...)
	case 1:
		var err error
		if b, err = appendResult(b, results[0]); err != nil {
			return nil, err
		}
	default:
		for i, r := range results {
			b = append(b, "[,"[min(i, 1)])
			var err error
			if b, err = appendResult(b, r); err != nil {
				return nil, err
			}
		}
		b = append(b, ']')
	}
	return append(b, `,"error":null}`...), nil
}

func appendResult(b []byte, r reflect.Value) ([]byte, error) {
	return appendJSON(b, quickjson.Of(r.Type()), r)
}

func encodeFailure(e *Error) []byte {
	body, _ := json.Marshal(reply{Result: null, Error: wire(e)})
	return body // of text only, which always encodes
}

func wire(e *Error) *wireError {
	w := crossed(onWire(e)) // arguments as text, whatever they were: Nameko's own form
	return &wireError{w.Type, w.Path, w.Args, w.Message, w.Code}
}

// parseReply returns the raw result, or the error that the other side sent.
func parseReply(body []byte) (json.RawMessage, error) {
	var r reply
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, Errorf(Internal, "reply cannot be read: %v", err)
	}
	if r.Error != nil {
		return nil, r.Error.local()
	}
	return r.Result, nil
}

// local gives an error from the wire its form on this side. Python sends no
// code, so the well-known classes get theirs by path.
func (w *wireError) local() *Error {
	e := &Error{Code: w.Code, Type: w.Type, Path: w.Path, Args: w.Args, Message: w.Value, remote: true}
	if e.Code != "" {
		return e
	}
	e.Code = Unknown
	for _, code := range []Code{MalformedRequest, IncorrectSignature, MethodNotFound} {
		if w.Path == code.row().path {
			e.Code = code
		}
	}
	return e
}

// decodeResults decodes a raw result into the results of m.
func (m *method) decodeResults(raw json.RawMessage) ([]reflect.Value, error) {
	values := make([]reflect.Value, len(m.results))
	targets := make([]any, len(m.results))
	for i, t := range m.results {
		v := reflect.New(t)
		values[i], targets[i] = v.Elem(), v.Interface()
	}
	switch len(targets) {
	case 0:
		return values, nil
	case 1:
		return values, decodeResult(raw, targets[0])
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil || len(list) != len(targets) {
		return values, Errorf(Internal, "%s() returned %s; the contract wants a list of %d results", m.name, m.excerpt(raw), len(targets))
	}
	for i, item := range list {
		if err := decodeResult(item, targets[i]); err != nil {
			return values, err
		}
	}
	return values, nil
}

func decodeResult(raw json.RawMessage, target any) error {
	if len(raw) == 0 {
		raw = null
	}
	if err := quickjson.Unmarshal(raw, reflect.ValueOf(target).Elem()); err != nil {
		return Errorf(Internal, "result does not fit the contract: %w", unfit(reflect.TypeOf(target).Elem(), err))
	}
	return nil
}
