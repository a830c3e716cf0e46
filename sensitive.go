package enoki

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/enoki-go/enoki/internal/quickjson"
)

// hidden stands in a log for text that is sensitive.
const hidden = "xxxxx"

// LogArgs returns Args as a log may show them, for middleware that writes one.
// Arguments that the contract's tag names, as in sensitive:"password,card", are
// hidden, and so are fields of structs with the tag sensitive:"true": text is
// "xxxxx", anything else its zero value.
func (c *Call) LogArgs() []any {
	out := make([]any, len(c.in))
	for i, v := range c.in {
		if slices.Contains(c.sensitive, i) {
			out[i] = hidden
		} else {
			out[i] = withoutSecrets(v, 0).Interface()
		}
	}
	return out
}

// withoutSecrets returns v, or a copy of it whose sensitive fields are hidden.
// What lies too deep, as in a value that contains itself, is its zero value.
func withoutSecrets(v reflect.Value, depth int) reflect.Value {
	if !v.IsValid() {
		return v
	}
	if depth > maxArgDepth {
		return reflect.Zero(v.Type())
	}
	out := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		out.Set(reflect.New(v.Type().Elem()))
		out.Elem().Set(withoutSecrets(v.Elem(), depth+1))
	case reflect.Interface:
		if v.IsNil() {
			return v
		}
		out.Set(withoutSecrets(v.Elem(), depth+1))
	case reflect.Slice:
		if v.IsNil() || isPlain(v.Type().Elem()) {
			return v
		}
		out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		hideItems(out, v, depth)
	case reflect.Array:
		hideItems(out, v, depth)
	case reflect.Map:
		if v.IsNil() {
			return v
		}
		out.Set(reflect.MakeMapWithSize(v.Type(), v.Len()))
		for key, value := range v.Seq2() {
			out.SetMapIndex(withoutSecrets(key, depth+1), withoutSecrets(value, depth+1))
		}
	case reflect.Struct:
		out.Set(v)
		hideFields(out, depth)
	default:
		return v
	}
	return out
}

// isPlain tells whether no struct can lie in a value of t.
func isPlain(t reflect.Type) bool {
	return t.Kind() <= reflect.Complex128 || t.Kind() == reflect.String
}

func hideItems(out, in reflect.Value, depth int) {
	for i := range in.Len() {
		out.Index(i).Set(withoutSecrets(in.Index(i), depth+1))
	}
}

// hideFields hides the sensitive fields of a struct.
func hideFields(v reflect.Value, depth int) {
	for i := range v.NumField() {
		field, f := v.Field(i), v.Type().Field(i)
		switch {
		case !f.IsExported() && f.Anonymous && f.Type.Kind() == reflect.Struct:
			hideFields(field, depth) // its exported fields are ours
		case !f.IsExported():
		case f.Tag.Get("sensitive") != "true":
			field.Set(withoutSecrets(field, depth+1))
		case field.Kind() == reflect.String:
			field.SetString(hidden)
		default:
			field.SetZero()
		}
	}
}

// holdsSecrets tells whether a sensitive field may lie in a value of t. It is
// asked when something has failed.
func holdsSecrets(t reflect.Type) bool { return hasSecrets(t, map[reflect.Type]bool{}) }

func hasSecrets(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] {
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Map:
		return hasSecrets(t.Key(), seen) || hasSecrets(t.Elem(), seen)
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return hasSecrets(t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); f.Tag.Get("sensitive") == "true" || hasSecrets(f.Type, seen) {
				return true
			}
		}
	}
	return false
}

// holdsSecrets tells whether m has an argument that no error may show.
func (m *method) holdsSecrets() bool {
	return slices.ContainsFunc(m.params, func(p param) bool { return p.secret || holdsSecrets(p.typ) })
}

// excerpt returns the beginning of what m is said to have returned, for an
// error.
func (m *method) excerpt(raw []byte) string {
	if slices.ContainsFunc(m.results, holdsSecrets) {
		return "something else"
	}
	return fmt.Sprintf("%.80s", raw)
}

// unfit says in a caller's words why a JSON text is no t. Where a sensitive field
// may lie in it, that says which field and which type, and nothing of the text:
// a number that is too large, a date that is none and an error of a user's
// UnmarshalJSON would show it.
func unfit(t reflect.Type, err error) error {
	if !holdsSecrets(t) {
		return jsonMistake(err)
	}
	if absent, ok := errors.AsType[*quickjson.AbsentError](err); ok {
		return absent.WithoutKeys()
	}
	if broken, ok := errors.AsType[*json.SyntaxError](err); ok {
		return broken
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		kind, _, _ := strings.Cut(wrong.Value, " ")
		if !slices.Contains([]string{"string", "number", "bool", "array", "object"}, kind) {
			kind = "something else"
		}
		return jsonMistake(&json.UnmarshalTypeError{Value: kind, Type: wrong.Type, Field: wrong.Field})
	}
	return hushed(err, fmt.Sprintf("it does not fit; want %s", t))
}

// hushed returns an error with another text, that is a panic's if err is.
func hushed(err error, text string) (out error) {
	defer func() {
		if recover() != nil { // of an As or Unwrap
			out = errors.New(text)
		}
	}()
	if caught, ok := errors.AsType[*caughtPanic](err); ok {
		return &Error{Code: Internal, Type: "Panic", Path: "enoki.Panic", Message: "panic: " + text, cause: caught}
	}
	return errors.New(text)
}

// markSensitive reads the tag that names the arguments which no log shows.
func (m *method) markSensitive(tag string) error {
	if tag == "" {
		return nil
	}
	for name := range strings.SplitSeq(tag, ",") {
		i := slices.IndexFunc(m.params, func(p param) bool { return p.name == strings.TrimSpace(name) })
		if i < 0 {
			return fmt.Errorf("sensitive tag names %q, which is no argument; it has %s", name, strings.Join(m.argNames(), ", "))
		}
		m.sensitive, m.params[i].secret = append(m.sensitive, i), true
	}
	return nil
}
