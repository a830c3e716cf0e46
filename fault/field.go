package fault

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// fields are the fields of an error struct. They are the arguments of its
// exception.
type fields []reflect.StructField

// fieldsOf returns the fields of E, which is a struct or a pointer to one.
func fieldsOf[E error]() (fields, error) {
	t := reflect.TypeFor[E]()
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("%s is no struct whose fields could be the arguments; use TypeFunc", t)
	}
	var mistakes []error
	list := make(fields, t.NumField())
	for i := range list {
		f := t.Field(i)
		list[i] = f
		switch f.Type.Kind() {
		case reflect.Chan, reflect.Func, reflect.Interface, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128:
			mistakes = append(mistakes, fmt.Errorf("%s.%s is a %s, which text can't carry; use TypeFunc", t, f.Name, f.Type))
		default:
			if !f.IsExported() {
				mistakes = append(mistakes, fmt.Errorf("%s.%s is not exported and would be lost; begin its name with a capital letter, or use TypeFunc", t, f.Name))
			}
		}
	}
	return list, errors.Join(mistakes...)
}

// arguments returns the fields of e in a form that fill can read.
func (f fields) arguments(e any) []any {
	v := reflect.Indirect(reflect.ValueOf(e))
	args := make([]any, len(f))
	for i := range f {
		args[i] = argument(v.Field(i))
	}
	return args
}

// argument returns a value that crosses the wire as text. set can read that
// text.
func argument(v reflect.Value) any {
	switch {
	case v.Kind() == reflect.String:
		return v.String()
	case v.Kind() == reflect.Bool:
		return v.Bool()
	case v.CanInt():
		return v.Int() // a String method would give a text that set can't read
	case v.CanUint():
		return v.Uint()
	case v.CanFloat():
		return v.Float()
	}
	var text []byte
	var err error
	if marshaler, ok := v.Interface().(encoding.TextMarshaler); ok {
		text, err = marshaler.MarshalText()
	} else {
		text, err = json.Marshal(v.Interface())
	}
	if err != nil {
		return fmt.Sprint(v.Interface())
	}
	return string(text)
}

// fill sets the fields of the error that target points to. It panics if args
// don't fit.
func (f fields) fill(target any, args []any) {
	v := reflect.ValueOf(target).Elem()
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if len(args) != len(f) {
		panic(fmt.Sprintf("%d arguments for %d fields of %s", len(args), len(f), v.Type()))
	}
	for i := range f {
		text, ok := args[i].(string)
		if !ok { // a list or map from Python
			list, err := json.Marshal(args[i])
			if err != nil {
				panic(err)
			}
			text = string(list)
		}
		if err := set(v.Field(i), text); err != nil {
			panic(err)
		}
	}
}

// set sets v from a text that argument or Python has written.
func set(v reflect.Value, text string) error {
	switch {
	case v.Kind() == reflect.String:
		v.SetString(text)
		return nil
	case v.Kind() == reflect.Bool:
		b, err := strconv.ParseBool(strings.ToLower(text))
		v.SetBool(b)
		return err
	case v.CanInt():
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		v.SetInt(n)
		return err
	case v.CanUint():
		n, err := strconv.ParseUint(text, 10, v.Type().Bits())
		v.SetUint(n)
		return err
	case v.CanFloat():
		n, err := strconv.ParseFloat(text, v.Type().Bits())
		v.SetFloat(n)
		return err
	}
	if unmarshaler, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return unmarshaler.UnmarshalText([]byte(text))
	}
	return json.Unmarshal([]byte(text), v.Addr().Interface())
}
