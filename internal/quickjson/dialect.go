package quickjson

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math"
	"math/big"
	"reflect"
	"strconv"
)

// Python's services write JSON with kombu, whose dialect has more than JSON:
// the bare words NaN, Infinity and -Infinity, and since version 5.3 objects
// {"__type__": T, "__value__": V} for values that JSON has no form for. Whether
// such an object is a value of the dialect or just an object says the type that
// it is read into: any, maps, structs and json.RawMessage take it as it is, a
// string and what else is read from text gets the text.

// tagKey marks a value of kombu's dialect.
const tagKey = "__type__"

// Untagged returns the text that kombu before 5.3 wrote for a tagged value. An
// object of a user's that only looks like one is none, unless it has a type of
// kombu's.
func Untagged(object map[string]any) (text string, ok bool) {
	kind, isText := object[tagKey].(string)
	value, isTagged := object["__value__"]
	if !isText || !isTagged || len(object) != 2 {
		return "", false
	}
	switch kind {
	case "datetime", "date", "time", "decimal", "bytes":
		text, ok = value.(string)
	case "base64": // of bytes that are no UTF-8; Go's own form of []byte
		text, ok = value.(string)
		if _, err := base64.StdEncoding.DecodeString(text); err != nil {
			return "", false
		}
	case "uuid":
		parts, _ := value.(map[string]any)
		digits, _ := parts["hex"].(string)
		return dashed(digits)
	}
	return text, ok
}

// dashed gives 32 hexadecimal digits the form that Python prints a UUID in.
func dashed(digits string) (string, bool) {
	if _, err := hex.DecodeString(digits); err != nil || len(digits) != 32 {
		return "", false
	}
	return digits[:8] + "-" + digits[8:12] + "-" + digits[12:16] + "-" + digits[16:20] + "-" + digits[20:], true
}

// untag returns the text of a tagged value that is written as JSON.
func untag(raw []byte) (string, bool) {
	if len(raw) == 0 || raw[0] != '{' || !bytes.Contains(raw, []byte(tagKey)) {
		return "", false
	}
	var object map[string]any
	if json.Unmarshal(raw, &object) != nil {
		return "", false
	}
	return Untagged(object)
}

// decode has encoding/json read a value, or the text of a tagged one.
func (s *Scanner) decode(text []byte, v reflect.Value) bool {
	if Unmarshal(text, v) == nil {
		return true
	}
	plain, ok := untag(text)
	if s.plain || !ok {
		return false
	}
	v.SetZero()
	quoted, err := json.Marshal(plain)
	return err == nil && json.Unmarshal(quoted, v.Addr().Interface()) == nil
}

// taggedText reads a string, also that of a tagged value.
func (s *Scanner) taggedText() (string, bool) {
	if s.plain || s.Peek() != '{' {
		return s.string()
	}
	raw, ok := s.Skip()
	if !ok {
		return "", false
	}
	return untag(raw)
}

// notFinite reads one of the dialect's words for a number.
func (s *Scanner) notFinite() (float64, bool) {
	switch c := s.Peek(); {
	case s.plain:
	case c == 'N' && s.word("NaN"):
		return math.NaN(), true
	case c == 'I' && s.word("Infinity"):
		return math.Inf(1), true
	case c == '-' && s.word("-Infinity"):
		return math.Inf(-1), true
	}
	return 0, false
}

// anyNumber reads a number into what keeps it: a whole one is an int64, or a
// *big.Int if it has more than 64 bits, any other a float64.
func (s *Scanner) anyNumber() (any, bool) {
	if f, ok := s.notFinite(); ok {
		return f, true
	}
	begin := s.at
	text, whole, ok := s.number()
	if !ok || !whole {
		s.at = begin
		return boxed(s.float(64))
	}
	return wholeNumber(string(text))
}

func boxed[T any](v T, ok bool) (any, bool) { return v, ok }

// appendNotFinite appends a number that JSON has no form for, in kombu's words.
func appendNotFinite(b []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, "NaN"...)
	case f > 0:
		return append(b, "Infinity"...)
	}
	return append(b, "-Infinity"...)
}

// wholeNumber returns a whole number as an int64, or as a *big.Int.
func wholeNumber(digits string) (any, bool) {
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
		return n, true
	}
	return boxed(new(big.Int).SetString(digits, 10))
}

// Unmarshal is json.Unmarshal, but that numbers in a value of type any are those
// that this package reads.
func Unmarshal(data []byte, v reflect.Value) error {
	target := v.Addr().Interface()
	if !interfaces.in(v.Type()) {
		return json.Unmarshal(data, target)
	}
	if err := json.Unmarshal(data, target); err != nil { // also what follows the value
		return err
	}
	v.SetZero()
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(target); err != nil {
		return err
	}
	keepNumbers(v, 0)
	return nil
}

// keepNumbers replaces each json.Number that lies in a value of type any.
func keepNumbers(v reflect.Value, depth int) {
	if depth > maxDepth || shapeOf(v.Type()).opaque || !interfaces.in(v.Type()) {
		return
	}
	switch v.Kind() {
	case reflect.Interface:
		if !v.IsNil() && v.CanSet() {
			v.Set(reflect.ValueOf(kept(v.Interface())))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			keepNumbers(v.Elem(), depth+1)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			keepNumbers(v.Index(i), depth+1)
		}
	case reflect.Map:
		for key, item := range v.Seq2() {
			settable := reflect.New(item.Type()).Elem()
			settable.Set(item)
			keepNumbers(settable, depth+1)
			v.SetMapIndex(key, settable)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() || f.Anonymous {
				keepNumbers(v.Field(i), depth+1)
			}
		}
	}
}

// kept returns what encoding/json has read into a value of type any, with
// numbers that keep what came.
func kept(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, ok := wholeNumber(string(v)); ok {
			return n
		}
		f, _ := v.Float64() // infinite beyond its range, which json.Unmarshal has refused
		return f
	case []any:
		for i := range v {
			v[i] = kept(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = kept(v[key])
		}
	}
	return v
}
