package enoki

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/enoki-go/enoki/internal/quickjson"
)

// This file reads ordinary bodies in one pass, straight into arguments and
// results. What it refuses is read again by the functions of codec.go, which
// know every case and say what is wrong.

// arguments decodes the arguments of a request, into room where they fit.
func (m *method) arguments(body []byte, form *Serializer, room []reflect.Value) (args []reflect.Value, refused *Error) {
	defer func() {
		if p := recover(); p != nil { // of an UnmarshalJSON
			refused = panicError(p)
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
	request, refused := parseRequest(form.plain(body))
	if refused != nil {
		return nil, refused
	}
	return m.bind(request)
}

func (m *method) readArguments(body []byte, room []reflect.Value) ([]reflect.Value, bool) {
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
func (m *method) readArgument(s *quickjson.Scanner, args []reflect.Value, i int) bool {
	if i < 0 || args[i].IsValid() {
		return false
	}
	args[i] = reflect.New(m.params[i].typ).Elem()
	if m.params[i].optional && s.Peek() == 'n' {
		return s.Null()
	}
	return s.Value(m.params[i].codec, args[i])
}

func (m *method) indexOf(name []byte) int {
	for i := range m.params {
		if m.params[i].name == string(name) {
			return i
		}
	}
	return -1
}

// complete gives optional arguments that have not come their zero value. It
// reports whether all others have.
func (m *method) complete(args []reflect.Value) bool {
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

// answer decodes a reply into the results of m, with room for an error after
// them, or into its error.
func (m *method) answer(body []byte, form *Serializer) (results []reflect.Value, err error) {
	defer rescue(&err)
	values := make([]reflect.Value, len(m.results), len(m.results)+1)
	if readReply(body, func(s *quickjson.Scanner) bool { return m.readResults(s, values) }) {
		return values, nil
	}
	raw, err := parseReply(form.plain(body))
	if err != nil {
		return nil, err
	}
	return m.decodeResults(raw)
}

func (m *method) readResults(s *quickjson.Scanner, values []reflect.Value) bool {
	switch len(values) {
	case 0:
		_, ok := s.Skip()
		return ok
	case 1:
		return m.readResult(s, values, 0)
	}
	read := 0
	ok := s.List(func(i int) bool {
		read++
		return i < len(values) && m.readResult(s, values, i)
	})
	return ok && read == len(values)
}

func (m *method) readResult(s *quickjson.Scanner, values []reflect.Value, i int) bool {
	values[i] = reflect.New(m.results[i]).Elem()
	return s.Value(quickjson.Of(m.results[i]), values[i])
}

// rawAnswer returns the result of a reply as JSON, or its error.
func rawAnswer(body []byte, form *Serializer) (json.RawMessage, error) {
	var raw json.RawMessage
	read := func(s *quickjson.Scanner) (ok bool) {
		raw, ok = s.Skip()
		return ok
	}
	if readReply(body, read) {
		return raw, nil
	}
	return parseReply(form.words(body))
}

// readReply reads a reply that is no error.
func readReply(body []byte, result func(*quickjson.Scanner) bool) bool {
	came, well := false, false
	ok := quickjson.Scan(body, func(s *quickjson.Scanner) bool {
		return s.Object(func(key []byte) bool {
			switch {
			case string(key) == "result" && !came:
				came = true
				return result(s)
			case string(key) == "error" && !well:
				well = true
				return s.Null()
			}
			return false
		})
	})
	return ok && came && well
}

// unmarshal decodes a body into v, which must be settable and zero. Null, and a
// field that is missing, are refused where they would become zero.
func unmarshal(body []byte, form *Serializer, v reflect.Value) (err error) {
	defer rescue(&err)
	if quickjson.Of(v.Type()).ReadWhole(body, v) {
		return nil
	}
	v.SetZero()
	body = form.plain(body)
	if err := quickjson.Unmarshal(body, v); err != nil {
		return err
	}
	return quickjson.Check(v.Type(), body)
}

// appendJSON appends v as json.Marshal writes it.
func appendJSON(b []byte, codec *quickjson.Codec, v reflect.Value) ([]byte, error) {
	out, err := tryAppend(b, codec, v)
	if err != nil && holdsSecrets(v.Type()) {
		err = hushed(err, fmt.Sprintf("a %s can't be encoded", v.Type()))
	}
	return out, err
}

func tryAppend(b []byte, codec *quickjson.Codec, v reflect.Value) (out []byte, err error) {
	defer rescue(&err)
	if out, ok := codec.Append(b, v); ok {
		return out, nil
	}
	text, err := json.Marshal(v.Interface())
	return append(b, text...), err
}

// marshal is json.Marshal.
func marshal(payload any) ([]byte, error) {
	v := reflect.ValueOf(payload)
	if !v.IsValid() {
		return []byte("null"), nil
	}
	return appendJSON(make([]byte, 0, usualSize), quickjson.Of(v.Type()), v)
}

// usualSize is the room that a new body begins with, in bytes.
const usualSize = 256
