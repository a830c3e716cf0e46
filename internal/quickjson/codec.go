// Package quickjson reads and writes ordinary JSON several times faster than
// encoding/json. The results are equal, with three exceptions. A nil slice or
// map is written as [] or {}. A whole number in a value of type any is read as
// an int64 or a *big.Int. A float is written with its point, as 1.0, unless
// strict, because Python tells floats from integers. On request it refuses null
// and missing fields, which would otherwise become a zero value without notice.
//
// It is fast because it knows less. It refuses everything that is not ordinary:
// a duplicate key, a name in another case, a value that does not fit. It passes
// values of types with their own JSON methods to encoding/json, one by one.
// After a refusal its caller uses encoding/json, so errors and rare cases are
// always those of the standard library.
//
// It uses neither package unsafe nor the internals of encoding/json.
package quickjson

import (
	"encoding"
	"encoding/json"
	"net/url"
	"reflect"
	"strings"
	"sync"
)

// Codec reads and writes values of one type. It may be used concurrently.
type Codec struct {
	own   bool // read and written here, not by encoding/json
	null  bool // null may stand for a value
	read  func(s *Scanner, v reflect.Value) bool
	write writer
}

// codecs and strictCodecs remember what Of and Strict have found, which a type
// never changes.
var codecs, strictCodecs sync.Map // of *Codec by reflect.Type

// Of returns the codec of a type.
func Of(t reflect.Type) *Codec { return find(&codecs, t, false) }

// Strict returns a codec of a type that knows a field by its exact name only, and
// writes floats as ECMAScript does. It refuses types for which only encoding/json
// could go on, and url.URL, whose form is its user's choice.
func Strict(t reflect.Type) *Codec { return find(&strictCodecs, t, true) }

func find(known *sync.Map, t reflect.Type, strict bool) *Codec {
	if c, ok := known.Load(t); ok {
		return c.(*Codec)
	}
	b := builder{made: map[reflect.Type]*Codec{}, strict: strict}
	c := b.codec(t)
	for t, c := range b.made {
		known.Store(t, c)
	}
	return c
}

// builder makes codecs.
type builder struct {
	made   map[reflect.Type]*Codec // also those that are being made; types may be recursive
	strict bool
}

func (b *builder) codec(t reflect.Type) *Codec {
	if c, ok := b.made[t]; ok {
		return c
	}
	c := &Codec{own: true}
	b.made[t] = c
	switch {
	case b.strict && t == reflect.TypeFor[url.URL]():
		*c = Codec{read: refuseToRead, write: refuseToWrite}
	case speaksForItself(t):
		*c = Codec{read: readByStandard, write: writeByStandard}
	case b.fill(c, t):
	case !b.strict:
		*c = Codec{read: readByStandard, write: writeByStandard}
		if lists.in(t) || floats.in(t) {
			c.write = writeFilled
		}
	case t.Kind() == reflect.Slice: // of bytes
		*c = Codec{read: readByStandard, write: writeBytes}
	case isFlat(t):
		*c = Codec{read: readByStandard, write: writeByStandard}
	default:
		*c = Codec{read: refuseToRead, write: refuseToWrite}
	}
	c.null = TakesNull(t)
	return c
}

// isFlat reports whether t is an array without names and slices in it.
func isFlat(t reflect.Type) bool {
	for t.Kind() == reflect.Array {
		t = t.Elem()
	}
	return t.Kind() <= reflect.Float64 || t.Kind() == reflect.String
}

// fill reports whether values of t are ordinary.
func (b *builder) fill(c *Codec, t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool:
		c.read, c.write = readBool, writeBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		c.read, c.write = readInt, writeInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		c.read, c.write = readUint, writeUint
	case reflect.Float32, reflect.Float64:
		c.read, c.write = readFloat, writeFloat
		if b.strict {
			c.write = writeStrictFloat
		}
	case reflect.String:
		c.read, c.write = readString, writeString
	case reflect.Interface:
		c.read, c.write = readAny, writeAny(b.strict)
		return t.NumMethod() == 0
	case reflect.Pointer:
		element := b.codec(t.Elem())
		c.read, c.write = readPointer(t.Elem(), element), writePointer(element)
	case reflect.Slice:
		element := b.codec(t.Elem())
		c.read, c.write = readSlice(t, element), writeSlice(element)
		return !isBytes(t)
	case reflect.Map:
		element := b.codec(t.Elem())
		c.read, c.write = readMap(t, element), writeMap(element)
		return t.Key().Kind() == reflect.String && !speaksForItself(t.Key())
	case reflect.Struct:
		fields, ok := b.fields(t)
		c.read, c.write = readStruct(fields, b.strict), writeStruct(fields)
		return ok
	default:
		return false
	}
	return true
}

// speaksForItself tells whether t has a form of its own in JSON.
func speaksForItself(t reflect.Type) bool {
	if t == reflect.TypeFor[json.Number]() {
		return true
	}
	for _, form := range []reflect.Type{
		reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.Unmarshaler](),
		reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
	} {
		if t.Implements(form) || reflect.PointerTo(t).Implements(form) {
			return true
		}
	}
	return false
}

// field is a field of a struct.
type field struct {
	name      string
	quoted    string // with the colon, as it is written
	index     int
	omitEmpty bool
	optional  bool // may be missing or null
	codec     *Codec
}

// maxFields is how many bits there are to tell which fields have been read.
const maxFields = 64

// fields reports whether the fields of t are ordinary: none embedded, each
// with a plain name of its own and no option but omitempty.
func (b *builder) fields(t reflect.Type) ([]field, bool) {
	var fields []field
	names := map[string]bool{}
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		if f.Anonymous {
			return nil, false
		}
		if !f.IsExported() || tag == "-" {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if name == "" {
			name = f.Name
		}
		if !isPlain(name) || names[name] || options != "" && options != "omitempty" {
			return nil, false
		}
		names[name] = true
		fields = append(fields, field{name, `"` + name + `":`, i, options != "", isOptional(f, options), b.codec(f.Type)})
	}
	return fields, len(fields) <= maxFields
}

// isPlain tells whether a name is written as it is.
func isPlain(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}
