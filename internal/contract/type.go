package contract

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/enoki-go/enoki/internal/tag"
)

var (
	jsonMarshaler   = reflect.TypeFor[json.Marshaler]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// CheckJSON refuses a type whose values encoding/json cannot carry both ways, and
// tags in it that have no effect, so that a contract fails at start and not at
// its first call. All mistakes are told at once.
func CheckJSON(t reflect.Type) error {
	c := jsonCheck{seen: map[reflect.Type]bool{}}
	c.check(t, t.String(), "")
	return errors.Join(c.mistakes...)
}

// jsonCheck looks at a type and those in it.
type jsonCheck struct {
	seen     map[reflect.Type]bool // on the way down, which may be recursive
	mistakes []error
}

func (c *jsonCheck) mistake(format string, a ...any) {
	c.mistakes = append(c.mistakes, fmt.Errorf(format, a...))
}

// check looks at a type. out says how else it could be mended.
func (c *jsonCheck) check(t reflect.Type, where, out string) {
	if c.seen[t] || carriesItself(t) {
		return
	}
	c.seen[t] = true
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer, reflect.Uintptr:
		c.mistake("%s is a %s, which JSON cannot carry; use numbers, text, slices, maps or structs%s", where, t.Kind(), out)
	case reflect.Interface:
		if t.NumMethod() > 0 {
			c.mistake("%s is an interface with methods, which cannot be decoded; use a concrete type or any%s", where, out)
		}
	case reflect.Pointer, reflect.Slice, reflect.Array:
		c.check(t.Elem(), where, out)
	case reflect.Map:
		if !isKey(t.Key()) {
			c.mistake("%s is a map with %s keys, which JSON cannot carry; use string keys%s", where, t.Key(), out)
		}
		c.check(t.Elem(), where, out)
	case reflect.Struct:
		for i := range t.NumField() {
			c.checkField(t.Field(i), where)
		}
	}
}

func (c *jsonCheck) checkField(f reflect.StructField, where string) {
	where += "." + f.Name
	if err := checkTags(f); err != nil {
		c.mistake("%s: %w", where, err)
	}
	if f.Tag.Get("json") != "-" && (f.IsExported() || f.Anonymous) {
		c.check(f.Type, where, `, or leave it out with json:"-"`)
	}
}

// valueTags are those of the fields of arguments, results and payloads.
var valueTags = []string{"json", "required", "sensitive"}

// checkTags refuses a field whose tags have no effect: misspelt, or on a field
// that nobody can read.
func checkTags(f reflect.StructField) error {
	if err := tag.CheckShared(f.Tag, valueTags); err != nil {
		return err
	}
	if f.IsExported() || f.Anonymous {
		return nil
	}
	for _, key := range valueTags {
		if value, tagged := f.Tag.Lookup(key); tagged && value != "-" {
			return fmt.Errorf("is tagged %s, but is not exported; begin its name with a capital letter", key)
		}
	}
	return nil
}

// isKey tells whether a type can be the key of an object.
func isKey(key reflect.Type) bool {
	return key.Kind() == reflect.String || key.Kind() >= reflect.Int && key.Kind() <= reflect.Uint64 ||
		key.Implements(textMarshaler) && reflect.PointerTo(key).Implements(textUnmarshaler)
}

// carriesItself reports whether t encodes and decodes itself.
func carriesItself(t reflect.Type) bool {
	pointer := reflect.PointerTo(t)
	return pointer.Implements(jsonMarshaler) && pointer.Implements(jsonUnmarshaler) ||
		pointer.Implements(textMarshaler) && pointer.Implements(textUnmarshaler)
}
