package quickjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// This file says which values may be missing or null. That is allowed for a
// value whose zero is null itself (a pointer, any, and a type whose own
// MarshalJSON says so) and, for fields, when the tag has omitempty, omitzero
// or required:"false". A nil slice or map is written as [] or {}, so it is none
// of these.

// TakesNull tells whether null may stand for a value of t.
func TakesNull(t reflect.Type) bool { return shapeOf(t).null }

// shape is what can be known of a type once and for all.
type shape struct {
	null bool // the zero value is written as null

	// What follows is for types that encoding/json reads and writes.
	fields []shapeField // of a struct
	item   reflect.Type // of a list or map; nil for others
	bytes  bool         // is text in base64
	opaque bool         // speaks for itself
}

type shapeField struct {
	name     string
	optional bool
	typ      reflect.Type
}

var shapes sync.Map // of *shape by reflect.Type

func shapeOf(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	s := newShape(t)
	shapes.Store(t, s)
	return s
}

func newShape(t reflect.Type) *shape {
	s := &shape{opaque: speaksForItself(t)}
	switch {
	case t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface:
		s.null = true
	case s.opaque:
		s.null = zeroIsNull(t)
	}
	if s.opaque {
		return s
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Array, reflect.Map:
		s.item = t.Elem()
		s.bytes = t.Kind() == reflect.Slice && isBytes(t)
	case reflect.Struct:
		s.fields = shapeFields(t, false)
	}
	return s
}

// isBytes tells whether encoding/json writes a slice as text in base64.
func isBytes(t reflect.Type) bool {
	return t.Elem().Kind() == reflect.Uint8 && !speaksForItself(t.Elem())
}

// zeroIsNull asks a type that speaks for itself.
func zeroIsNull(t reflect.Type) (null bool) {
	defer func() { _ = recover() }() // its methods are a user's
	text, err := json.Marshal(reflect.New(t).Interface())
	return err == nil && string(text) == "null"
}

// shapeFields returns the fields of a struct, those of embedded ones among
// them.
func shapeFields(t reflect.Type, optional bool) []shapeField {
	var fields []shapeField
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		if tag == "-" || !f.IsExported() && !f.Anonymous {
			continue
		}
		if f.Anonymous && name == "" {
			inner, pointer := f.Type, f.Type.Kind() == reflect.Pointer
			if pointer {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct && !speaksForItself(inner) {
				if inner != t {
					fields = append(fields, shapeFields(inner, optional || pointer)...)
				}
				continue
			}
		}
		if !f.IsExported() {
			continue
		}
		if name == "" {
			name = f.Name
		}
		fields = append(fields, shapeField{name, optional || isOptional(f, options), f.Type})
	}
	return fields
}

// isOptional tells whether a field may be missing or null.
func isOptional(f reflect.StructField, options string) bool {
	switch f.Tag.Get("required") {
	case "true":
		return false
	case "false":
		return true
	}
	for option := range strings.SplitSeq(options, ",") {
		if option == "omitempty" || option == "omitzero" {
			return true
		}
	}
	return TakesNull(f.Type)
}

// Check returns what is missing or null in a JSON text that must not be, for a
// value of t: the first thing, with its place. The text must be one that
// encoding/json decodes into a t.
func Check(t reflect.Type, data []byte) error { return check(t, data, "", 0) }

func check(t reflect.Type, data []byte, where string, depth int) error {
	s := shapeOf(t)
	data = bytes.TrimSpace(data)
	switch {
	case depth > maxDepth:
		return nil
	case string(data) == "null":
		if s.null {
			return nil
		}
		return &AbsentError{where, fmt.Sprintf("is null; want %s", t)}
	case s.opaque:
		return nil
	case t.Kind() == reflect.Pointer:
		return check(t.Elem(), data, where, depth+1)
	case s.fields != nil:
		return s.checkFields(data, where, depth)
	case s.item != nil && !s.bytes:
		return s.checkItems(data, where, depth)
	}
	return nil
}

// AbsentError is what Check returns.
type AbsentError struct {
	Field string // its place, with the keys of maps that lead to it; "" for the whole
	what  string
}

// Error says what is missing or null.
func (e *AbsentError) Error() string {
	if e.Field == "" {
		return e.what
	}
	return "field " + e.Field + " " + e.what
}

// WithoutKeys returns the error without the keys of maps, which are a part of
// the text that was checked.
func (e *AbsentError) WithoutKeys() *AbsentError {
	before, _, _ := strings.Cut(e.Field, `["`)
	if before == e.Field {
		return e
	}
	return &AbsentError{before, "has something missing or null in it"}
}

func (s *shape) checkFields(data []byte, where string, depth int) error {
	var members map[string]json.RawMessage
	if json.Unmarshal(data, &members) != nil {
		return nil // for others to say
	}
	for _, f := range s.fields {
		raw, came := member(members, f.name)
		place := strings.TrimPrefix(where+"."+f.name, ".")
		switch {
		case !came && f.optional, came && f.optional && string(raw) == "null":
		case !came:
			return &AbsentError{place, "is missing"}
		default:
			if err := check(f.typ, raw, place, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// member finds a member as encoding/json does, which takes names in another
// case.
func member(members map[string]json.RawMessage, name string) (json.RawMessage, bool) {
	if raw, ok := members[name]; ok {
		return raw, true
	}
	for key, raw := range members {
		if strings.EqualFold(key, name) {
			return raw, true
		}
	}
	return nil, false
}

func (s *shape) checkItems(data []byte, where string, depth int) error {
	if len(data) > 0 && data[0] == '{' {
		var members map[string]json.RawMessage
		_ = json.Unmarshal(data, &members) // for others to say
		for key, raw := range members {
			if err := check(s.item, raw, where+"["+strconv.Quote(key)+"]", depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	var items []json.RawMessage
	_ = json.Unmarshal(data, &items) // for others to say
	for i, raw := range items {
		if err := check(s.item, raw, where+"["+strconv.Itoa(i)+"]", depth+1); err != nil {
			return err
		}
	}
	return nil
}

// kinds are kinds of values that may lie in others, and what is known of where
// they do.
type kinds struct {
	all   []reflect.Kind
	known sync.Map // of bool by reflect.Type
}

var (
	interfaces = kinds{all: []reflect.Kind{reflect.Interface}}

	// lists are written by encoding/json as null when they are nil.
	lists = kinds{all: []reflect.Kind{reflect.Slice, reflect.Map, reflect.Interface}}

	floats = kinds{all: []reflect.Kind{reflect.Float32, reflect.Float64}}
)

// in tells whether a value of one of these kinds may lie in a t that
// encoding/json reads and writes.
func (k *kinds) in(t reflect.Type) bool {
	if known, ok := k.known.Load(t); ok {
		return known.(bool)
	}
	found := k.find(t, map[reflect.Type]bool{})
	k.known.Store(t, found)
	return found
}

func (k *kinds) find(t reflect.Type, seen map[reflect.Type]bool) bool {
	s := shapeOf(t)
	if seen[t] || s.opaque {
		return false
	}
	seen[t] = true
	if slices.Contains(k.all, t.Kind()) {
		return true
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return k.find(t.Elem(), seen)
	}
	for _, f := range s.fields {
		if k.find(f.typ, seen) {
			return true
		}
	}
	return false
}

// filled returns v with empty slices and maps where it has nil ones, and with the
// text of what lies in an any. Only what has to change is copied.
func filled(v reflect.Value, depth int) reflect.Value {
	t := v.Type()
	if depth > maxDepth || !lists.in(t) || shapeOf(t).bytes && !v.IsNil() {
		return v
	}
	switch t.Kind() {
	case reflect.Interface:
		return filledAny(v, depth)
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		out := reflect.New(t.Elem())
		out.Elem().Set(filled(v.Elem(), depth+1))
		return out.Convert(t)
	case reflect.Slice:
		out := reflect.MakeSlice(t, v.Len(), v.Len())
		for i := range v.Len() {
			out.Index(i).Set(filled(v.Index(i), depth+1))
		}
		return out
	case reflect.Map:
		out := reflect.MakeMapWithSize(t, v.Len())
		for key, item := range v.Seq2() {
			out.SetMapIndex(key, filled(item, depth+1))
		}
		return out
	}
	out := reflect.New(t).Elem()
	out.Set(v)
	if t.Kind() == reflect.Array {
		for i := range v.Len() {
			out.Index(i).Set(filled(v.Index(i), depth+1))
		}
		return out
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if embedded := f.Anonymous && f.Type.Kind() == reflect.Struct; !f.IsExported() && !embedded || f.Tag.Get("json") == "-" {
			continue
		}
		fillField(out.Field(i), f, depth)
	}
	return out
}

// filledAny is filled for an interface.
func filledAny(v reflect.Value, depth int) reflect.Value {
	if v.IsNil() {
		return v
	}
	out := reflect.New(v.Type()).Elem()
	if v.NumMethod() == 0 {
		if text, ok := Of(v.Elem().Type()).write(nil, v.Elem(), depth); ok && json.Valid(text) {
			out.Set(reflect.ValueOf(json.RawMessage(text)))
			return out
		}
	}
	out.Set(filled(v.Elem(), depth+1))
	return out
}

// fillField fills a field in place; those of an embedded struct that is not
// exported can only be set one by one.
func fillField(field reflect.Value, f reflect.StructField, depth int) {
	if field.CanSet() {
		if !strings.Contains(f.Tag.Get("json"), ",omit") || !field.IsZero() {
			field.Set(filled(field, depth+1))
		}
		return
	}
	for i := range field.NumField() {
		if inner := f.Type.Field(i); inner.IsExported() || inner.Anonymous && inner.Type.Kind() == reflect.Struct {
			fillField(field.Field(i), inner, depth)
		}
	}
}

// appendPointed appends the text that encoding/json has written for a t, with a
// point in its whole floats.
func appendPointed(b []byte, t reflect.Type, text []byte) []byte {
	out := b
	if !ScanPlain(text, func(s *Scanner) bool { return s.appendPointed(&out, t) }) {
		return append(b, text...) // it lies too deep
	}
	return out
}

func (s *Scanner) appendPointed(out *[]byte, t reflect.Type) bool {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	first := s.Peek()
	switch known := shapeOf(t); {
	case !floats.in(t) || first != '{' && first != '[' || known.opaque:
	case first == '[':
		*out = append(*out, '[')
		ok := s.List(func(i int) bool {
			*out = append(*out, ","[:min(i, 1)]...)
			return s.appendPointed(out, known.item)
		})
		*out = append(*out, ']')
		return ok
	default:
		*out = append(*out, '{')
		separator := ""
		ok := s.Object(func(key []byte) bool {
			*out = append(quote(append(*out, separator...), string(key)), ':')
			separator = ","
			return s.appendPointed(out, known.at(string(key)))
		})
		*out = append(*out, '}')
		return ok
	}
	raw, ok := s.Skip()
	*out = append(*out, raw...)
	if isFloat := t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64; isFloat && ok && first != '"' && first != 'n' {
		*out = append(*out, pointFor(raw)...)
	}
	return ok
}

// at returns the type of a member: any, when several fields have its name.
func (s *shape) at(key string) reflect.Type {
	if s.item != nil {
		return s.item
	}
	var found reflect.Type
	for _, f := range s.fields {
		if f.name == key && found != nil && found != f.typ {
			return reflect.TypeFor[any]()
		}
		if f.name == key {
			found = f.typ
		}
	}
	if found == nil {
		return reflect.TypeFor[any]()
	}
	return found
}
