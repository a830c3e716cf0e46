package enoki

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
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
func withoutSecrets(v reflect.Value, depth int) reflect.Value {
	if depth > maxArgDepth || !v.IsValid() {
		return v
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() || v.Elem().Kind() != reflect.Struct {
			return v
		}
		out := reflect.New(v.Type().Elem())
		out.Elem().Set(withoutSecrets(v.Elem(), depth+1))
		return out
	case reflect.Slice:
		if v.IsNil() || v.Type().Elem().Kind() != reflect.Struct {
			return v
		}
		out := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			out.Index(i).Set(withoutSecrets(v.Index(i), depth+1))
		}
		return out
	case reflect.Struct:
		return structWithoutSecrets(v, depth)
	}
	return v
}

func structWithoutSecrets(v reflect.Value, depth int) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	for i := range v.NumField() {
		field, f := out.Field(i), v.Type().Field(i)
		switch {
		case !f.IsExported():
		case f.Tag.Get("sensitive") != "true":
			field.Set(withoutSecrets(field, depth+1))
		case field.Kind() == reflect.String:
			field.SetString(hidden)
		default:
			field.SetZero()
		}
	}
	return out
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
