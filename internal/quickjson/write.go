package quickjson

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A writer appends a value that lies depth values deep within others.
type writer func(b []byte, v reflect.Value, depth int) ([]byte, bool)

// Append appends v as json.Marshal writes it, with empty slices and maps for nil
// ones; after a refusal b is to be used
// as it was.
func (c *Codec) Append(b []byte, v reflect.Value) ([]byte, bool) {
	if v.CanAddr() && v.Kind() != reflect.Interface {
		v = reflect.ValueOf(v.Interface()) // Marshal does not see where v lies, on which methods may depend
	}
	return c.write(b, v, 0)
}

// writeByStandard has encoding/json write the value.
func writeByStandard(b []byte, v reflect.Value, _ int) ([]byte, bool) {
	if v.CanAddr() {
		v = v.Addr()
	}
	text, err := json.Marshal(v.Interface())
	return append(b, text...), err == nil
}

// writeFilled is writeByStandard for a type in which slices, maps or floats may
// lie.
func writeFilled(b []byte, v reflect.Value, _ int) ([]byte, bool) {
	t := v.Type()
	if v.CanAddr() {
		v = filled(v.Addr(), 0) // to stay so, on which methods may depend
	} else {
		v = filled(v, 0)
	}
	text, err := json.Marshal(v.Interface())
	if err != nil {
		return b, false
	}
	if floats.in(t) {
		return appendPointed(b, t, text), true
	}
	return append(b, text...), true
}

func writeBool(b []byte, v reflect.Value, _ int) ([]byte, bool) {
	return strconv.AppendBool(b, v.Bool()), true
}

func writeInt(b []byte, v reflect.Value, _ int) ([]byte, bool) {
	return strconv.AppendInt(b, v.Int(), 10), true
}

func writeUint(b []byte, v reflect.Value, _ int) ([]byte, bool) {
	return strconv.AppendUint(b, v.Uint(), 10), true
}

// writeFloat writes as Python does: with a point or an exponent, and what JSON has
// no form for in kombu's words.
func writeFloat(b []byte, v reflect.Value, _ int) ([]byte, bool) {
	f := v.Float()
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return appendNotFinite(b, f), true
	}
	begin := len(b)
	b = appendFloat(b, f, v.Type().Bits())
	return append(b, pointFor(b[begin:])...), true
}

// writeStrictFloat writes as ECMAScript does, as encoding/json promises.
func writeStrictFloat(b []byte, v reflect.Value, _ int) ([]byte, bool) {
	f := v.Float()
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return b, false
	}
	return appendFloat(b, f, v.Type().Bits()), true
}

// pointFor returns what tells a number from a whole one.
func pointFor(number []byte) string {
	if bytes.ContainsAny(number, ".e") {
		return ""
	}
	return ".0"
}

func appendFloat(b []byte, f float64, bits int) []byte {
	abs := math.Abs(f)
	low, high := 1e-6, 1e21
	if bits == 32 {
		low, high = float64(float32(1e-6)), float64(float32(1e21))
	}
	if abs == 0 || abs >= low && abs < high {
		return strconv.AppendFloat(b, f, 'f', -1, bits)
	}
	b = strconv.AppendFloat(b, f, 'e', -1, bits)
	if n := len(b); string(b[n-4:n-1]) == "e-0" { // e-09 is e-9
		b = append(b[:n-2], b[n-1])
	}
	return b
}

func writeString(b []byte, v reflect.Value, _ int) ([]byte, bool) { return quote(b, v.String()), true }

// quote appends a string. What needs an escape is left to encoding/json.
func quote(b []byte, s string) []byte {
	foreign := false
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf {
			foreign = true
		} else if escaped[c] {
			return escape(b, s)
		}
	}
	if foreign && (!utf8.ValidString(s) || strings.Contains(s, "\u2028") || strings.Contains(s, "\u2029")) {
		return escape(b, s)
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// escaped are the bytes that never stand for themselves, those of HTML too;
// read only.
var escaped = func() (table [utf8.RuneSelf]bool) {
	for c := range byte(' ') {
		table[c] = true
	}
	for _, c := range `"\<>&` {
		table[c] = true
	}
	return table
}()

func escape(b []byte, s string) []byte {
	text, _ := json.Marshal(s) // a string can always be written
	return append(b, text...)
}

func writeNull(b []byte) ([]byte, bool) { return append(b, "null"...), true }

func writeAny(strict bool) writer {
	of := Of
	if strict {
		of = Strict
	}
	return func(b []byte, v reflect.Value, depth int) ([]byte, bool) {
		if v.IsNil() {
			return writeNull(b)
		}
		v = v.Elem()
		return of(v.Type()).write(b, v, depth)
	}
}

// writeBytes writes base64, and an empty text for nil.
func writeBytes(b []byte, v reflect.Value, depth int) ([]byte, bool) {
	if v.IsNil() {
		return append(b, `""`...), true
	}
	return writeByStandard(b, v, depth)
}

func refuseToWrite(b []byte, _ reflect.Value, _ int) ([]byte, bool) { return b, false }

// writePointer bounds the depth: a value may contain itself.
func writePointer(element *Codec) writer {
	return func(b []byte, v reflect.Value, depth int) ([]byte, bool) {
		if v.IsNil() {
			return writeNull(b)
		}
		if depth == maxDepth {
			return b, false
		}
		return element.write(b, v.Elem(), depth+1)
	}
}

func writeSlice(element *Codec) writer {
	return func(b []byte, v reflect.Value, depth int) ([]byte, bool) {
		if depth == maxDepth {
			return b, false
		}
		ok := true
		b = append(b, '[')
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			if b, ok = element.write(b, v.Index(i), depth+1); !ok {
				return b, false
			}
		}
		return append(b, ']'), true
	}
}

type entry struct {
	key   string
	value reflect.Value
}

func writeMap(element *Codec) writer {
	return func(b []byte, v reflect.Value, depth int) ([]byte, bool) {
		if depth == maxDepth {
			return b, false
		}
		ok := true
		b = append(b, '{')
		for i, e := range sortedEntries(v) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(quote(b, e.key), ':')
			if b, ok = element.write(b, e.value, depth+1); !ok {
				return b, false
			}
		}
		return append(b, '}'), true
	}
}

func sortedEntries(v reflect.Value) []entry {
	entries := make([]entry, 0, v.Len())
	for key, value := range v.Seq2() {
		entries = append(entries, entry{key.String(), value})
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	return entries
}

func writeStruct(fields []field) writer {
	return func(b []byte, v reflect.Value, depth int) ([]byte, bool) {
		ok, separate := true, false
		b = append(b, '{')
		for i := range fields {
			f := &fields[i]
			item := v.Field(f.index)
			if f.omitEmpty && isEmpty(item) {
				continue
			}
			if separate {
				b = append(b, ',')
			}
			separate = true
			b = append(b, f.quoted...)
			if b, ok = f.codec.write(b, item, depth); !ok {
				return b, false
			}
		}
		return append(b, '}'), true
	}
}

func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}
