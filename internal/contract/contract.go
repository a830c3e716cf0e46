package contract

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/enoki-go/enoki/internal/tag"
)

// Field is a method and where its function stands in the contract.
type Field struct {
	*Method
	Index int
}

// Fields reads the struct type of a contract. Its errors name the
// field, the type and what to change.
func Fields(t reflect.Type) ([]Field, error) {
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("contract %s is a %s; make it a struct whose fields are functions", t, t.Kind())
	}
	var fields []Field
	var mistakes []error
	names := map[string]string{}
	for i := range t.NumField() {
		f := t.Field(i)
		m, err := methodOf(f)
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("contract field %s.%s: %w", t, f.Name, err))
			continue
		}
		name := m.Name
		if m.Reply != nil {
			name = "every " + name // beside the function that serves it
		}
		if other, ok := names[name]; ok {
			mistakes = append(mistakes, fmt.Errorf("contract field %s.%s: method %q is already %s.%s; give one of them another name in its rpc tag", t, f.Name, m.Name, t, other))
			continue
		}
		names[name] = f.Name
		fields = append(fields, Field{m, i})
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	if len(fields) == 0 {
		return nil, fmt.Errorf("contract %s has no functions; add a field such as Hello func(ctx context.Context, name string) (string, error)", t)
	}
	return fields, nil
}

// tags are those of a field of a contract.
var tags = []string{"rpc", "args", "timeout", "sensitive", "delivery", "oneway", "idempotent"}

func methodOf(f reflect.StructField) (*Method, error) {
	if !f.IsExported() {
		return nil, fmt.Errorf("is not exported; begin its name with a capital letter")
	}
	if f.Type.Kind() != reflect.Func {
		return nil, fmt.Errorf("is a %s; a contract holds functions only", f.Type)
	}
	name := f.Tag.Get("rpc")
	if name == "" {
		name = snakeCase(f.Name)
	}
	var args []string
	if tag := f.Tag.Get("args"); tag != "" {
		args = strings.Split(tag, ",")
	}
	unknown := tag.CheckOwn(f.Tag, tags)
	m, err := New(name, f.Type, args)
	if err != nil {
		return nil, errors.Join(unknown, err)
	}
	return m, errors.Join(unknown, m.readTags(f.Tag))
}

// readTags reads what a field's tag says beside names.
func (m *Method) readTags(tags reflect.StructTag) error {
	var mistakes []error
	mistake := func(format string, a ...any) { mistakes = append(mistakes, fmt.Errorf(format, a...)) }
	if text := tags.Get("timeout"); text != "" {
		var err error
		if m.Timeout, err = time.ParseDuration(text); err != nil || m.Timeout <= 0 {
			mistake("timeout tag %q is not a positive duration such as 2s", text)
		}
	}
	if err := m.markSensitive(tags.Get("sensitive")); err != nil {
		mistakes = append(mistakes, err)
	}
	switch text := tags.Get("delivery"); text {
	case "":
	case "at-most-once":
		m.AtMostOnce = true
	default:
		mistake("delivery tag is %q, want at-most-once, or none for calls that are not lost", text)
	}
	for _, flag := range []struct {
		name string
		set  *bool
	}{{"oneway", &m.OneWay}, {"idempotent", &m.Idempotent}} {
		switch text := tags.Get(flag.name); text {
		case "", "false":
		case "true":
			*flag.set = true
		default:
			mistake("%s tag %q is neither true nor false", flag.name, text)
		}
	}
	if m.OneWay && m.AtMostOnce {
		mistake("is one-way, which the broker keeps, and at-most-once, which it may lose; drop one of the tags")
	}
	if m.OneWay && (len(m.Results) > 0 || m.Item != nil || m.Reply != nil) {
		mistake("is one-way, so nobody waits for its results; return an error only, or drop the oneway tag")
	}
	return errors.Join(mistakes...)
}

// markSensitive reads the tag that names the arguments which no log shows.
func (m *Method) markSensitive(tag string) error {
	if tag == "" {
		return nil
	}
	for name := range strings.SplitSeq(tag, ",") {
		i := slices.IndexFunc(m.params, func(p param) bool { return p.name == strings.TrimSpace(name) })
		if i < 0 {
			return fmt.Errorf("sensitive tag names %q, which is no argument; it has %s", name, strings.Join(m.ArgNames(), ", "))
		}
		m.Sensitive, m.params[i].secret = append(m.Sensitive, i), true
	}
	return nil
}
