package contract

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
)

var (
	jsonMarshaler   = reflect.TypeFor[json.Marshaler]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// CheckJSON refuses a type whose values encoding/json cannot carry both ways,
// so that a contract fails at start and not at its first call.
func CheckJSON(t reflect.Type) error {
	return jsonCheck{}.check(t, t.String())
}

// jsonCheck holds the types on the way down, which may be recursive.
type jsonCheck map[reflect.Type]bool

func (seen jsonCheck) check(t reflect.Type, where string) error {
	if seen[t] || carriesItself(t) {
		return nil
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer, reflect.Uintptr:
		return fmt.Errorf("%s is a %s, which JSON cannot carry; use numbers, text, slices, maps or structs", where, t.Kind())
	case reflect.Interface:
		if t.NumMethod() > 0 {
			return fmt.Errorf("%s is an interface with methods, which cannot be decoded; use a concrete type or any", where)
		}
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return seen.check(t.Elem(), where)
	case reflect.Map:
		if err := checkMapKey(t, where); err != nil {
			return err
		}
		return seen.check(t.Elem(), where)
	case reflect.Struct:
		return seen.checkFields(t, where)
	}
	return nil
}

func (seen jsonCheck) checkFields(t reflect.Type, where string) error {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Tag.Get("json") == "-" || !f.IsExported() && !f.Anonymous {
			continue
		}
		if err := seen.check(f.Type, where+"."+f.Name); err != nil {
			return fmt.Errorf(`%w, or leave it out with json:"-"`, err)
		}
	}
	return nil
}

func checkMapKey(t reflect.Type, where string) error {
	switch key := t.Key(); {
	case key.Kind() == reflect.String, key.Kind() >= reflect.Int && key.Kind() <= reflect.Uint64:
		return nil
	case key.Implements(textMarshaler) && reflect.PointerTo(key).Implements(textUnmarshaler):
		return nil
	default:
		return fmt.Errorf("%s is a map with %s keys, which JSON cannot carry; use string keys", where, key)
	}
}

// carriesItself reports whether t encodes and decodes itself.
func carriesItself(t reflect.Type) bool {
	pointer := reflect.PointerTo(t)
	return pointer.Implements(jsonMarshaler) && pointer.Implements(jsonUnmarshaler) ||
		pointer.Implements(textMarshaler) && pointer.Implements(textUnmarshaler)
}
