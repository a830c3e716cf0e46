package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/goccy/go-yaml"
)

// anyValue is a setting of any type: a list, a mapping, a struct.
type anyValue struct {
	p        reflect.Value // pointer to the value
	standard reflect.Value // the default
	text     string        // of the default
}

func newAnyValue(v any) anyValue {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		panic(fmt.Sprintf("host: a setting's value goes where a pointer points, and this is %T", v))
	}
	standard := reflect.New(p.Type().Elem()).Elem()
	standard.Set(p.Elem())
	a := anyValue{p: p, standard: standard}
	if !standard.IsZero() {
		text, err := yaml.MarshalWithOptions(v, yaml.JSON())
		if err != nil {
			panic(fmt.Sprintf("host: a setting's default of type %s can't be shown: %v", standard.Type(), err))
		}
		a.text = string(bytes.TrimSpace(text))
	}
	return a
}

func (v anyValue) String() string { return v.text }

// parse reads YAML, of which JSON is a part. Nothing in it is expanded: a
// shell has done that.
func (v anyValue) parse(text string) error {
	if text == v.text {
		v.p.Elem().Set(v.standard)
		return nil
	}
	n, err := parseDocument("", []byte(text), nil)
	if err != nil {
		return errors.New("want a value in YAML or JSON")
	}
	return v.take(n)
}

// take replaces the value as a whole, and only when all of it fits.
func (v anyValue) take(n node) error {
	plain, err := n.plain()
	if err != nil {
		return err
	}
	var source bytes.Buffer
	encoder := json.NewEncoder(&source)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(plain); err != nil {
		return errors.New("want a value without infinity and NaN")
	}
	into := reflect.New(v.p.Type().Elem())
	if err := yaml.UnmarshalWithOptions(source.Bytes(), into.Interface(), yaml.Strict()); err != nil {
		return v.misfit(err)
	}
	v.p.Elem().Set(into.Elem())
	return nil
}

// misfit says what does not fit, without the value, which may be a secret.
func (v anyValue) misfit(err error) error {
	var wrong *yaml.TypeError
	var unknown *yaml.UnknownFieldError
	switch {
	case errors.As(err, &wrong) && wrong.StructFieldName != nil:
		return fmt.Errorf("%s: want %s, have %s", *wrong.StructFieldName, wrong.DstType, wrong.SrcType)
	case errors.As(err, &wrong):
		return fmt.Errorf("want %s, have %s", wrong.DstType, wrong.SrcType)
	case errors.As(err, &unknown):
		return errors.New(unknown.GetMessage())
	}
	return fmt.Errorf("does not fit into %s", v.standard.Type())
}

// plain returns the node as the standard library has it: nil, bool, int64,
// float64, string, []any or map[string]any.
func (n node) plain() (any, error) {
	switch v := n.value.(type) {
	case []node:
		list := make([]any, len(v))
		for i, item := range v {
			var err error
			if list[i], err = item.plain(); err != nil {
				return nil, err
			}
		}
		return list, nil
	case []pair:
		mapping := make(map[string]any, len(v))
		for _, p := range v {
			value, err := p.value.plain()
			if err != nil {
				return nil, err
			}
			if _, twice := mapping[p.key.text]; twice {
				return nil, fmt.Errorf("key %s is there twice", p.key.text)
			}
			mapping[p.key.text] = value
		}
		return mapping, nil
	}
	return n.value, nil
}
