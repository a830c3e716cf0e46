package contract

import (
	"fmt"
	"reflect"
	"slices"
)

// Hidden stands in a log for text that is sensitive.
const Hidden = "xxxxx"

// WithoutSecrets returns v, or a copy of it whose sensitive fields are Hidden.
// What lies too deep, as in a value that contains itself, is its zero value.
func WithoutSecrets(v reflect.Value) reflect.Value { return withoutSecrets(v, 0) }

func withoutSecrets(v reflect.Value, depth int) reflect.Value {
	if !v.IsValid() {
		return v
	}
	if depth > maxDepth {
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
			field.SetString(Hidden)
		default:
			field.SetZero()
		}
	}
}

// maxDepth is how deep a log shows a value.
const maxDepth = 20

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
func (m *Method) holdsSecrets() bool {
	return slices.ContainsFunc(m.params, func(p param) bool { return p.secret || holdsSecrets(p.typ) })
}

// Excerpt returns the beginning of what m is said to have returned, for an
// error.
func (m *Method) Excerpt(raw []byte) string {
	if slices.ContainsFunc(m.Results, holdsSecrets) {
		return "something else"
	}
	return fmt.Sprintf("%.80s", raw)
}
