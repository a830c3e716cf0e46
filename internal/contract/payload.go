package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/enoki-go/enoki/fault"
	"github.com/enoki-go/enoki/internal/quickjson"
)

// Unmarshal decodes a body into v, which must be settable and zero. Null, and a
// field that is missing, are refused where they would become zero.
func Unmarshal(body []byte, kombu bool, v reflect.Value) (err error) {
	defer fault.Rescue(&err)
	if quickjson.Of(v.Type()).ReadWhole(body, v) {
		return nil
	}
	v.SetZero()
	body = plain(body, kombu)
	if err := quickjson.Unmarshal(body, v); err != nil {
		return err
	}
	return quickjson.Check(v.Type(), body)
}

// appendJSON appends v as json.Marshal writes it.
func appendJSON(b []byte, codec *quickjson.Codec, v reflect.Value) ([]byte, error) {
	out, err := tryAppend(b, codec, v)
	if err != nil && holdsSecrets(v.Type()) {
		err = fault.WithText(err, fmt.Sprintf("a %s can't be encoded", v.Type()))
	}
	return out, err
}

func tryAppend(b []byte, codec *quickjson.Codec, v reflect.Value) (out []byte, err error) {
	defer fault.Rescue(&err)
	if out, ok := codec.Append(b, v); ok {
		return out, nil
	}
	text, err := json.Marshal(v.Interface())
	return append(b, text...), err
}

// Marshal is json.Marshal. A panic of a MarshalJSON is an error.
func Marshal(payload any) ([]byte, error) {
	v := reflect.ValueOf(payload)
	if !v.IsValid() {
		return []byte("null"), nil
	}
	return appendJSON(make([]byte, 0, usualSize), quickjson.Of(v.Type()), v)
}

// usualSize is the room that a new body begins with, in bytes.
const usualSize = 256

// jsonMistake says in a caller's words what encoding/json says of Go types.
func jsonMistake(err error) error {
	wrong, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return err
	}
	field := ""
	if wrong.Field != "" {
		field = "field " + wrong.Field + ": "
	}
	return fmt.Errorf("%swant %s, got %s", field, wrong.Type, wrong.Value)
}

// Unfit says in a caller's words why a JSON text is no t. Where a sensitive field
// may lie in it, that says which field and which type, and nothing of the text:
// a number that is too large, a date that is none and an error of a user's
// UnmarshalJSON would show it.
func Unfit(t reflect.Type, err error) error {
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
	return fault.WithText(err, fmt.Sprintf("it does not fit; want %s", t))
}
