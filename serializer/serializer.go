// Package serializer has the forms of bodies, besides JSON, that Nameko's
// services can use: MessagePack and YAML. Set one in enoki.Options. Pickle is
// not among them, because it runs code of its sender.
package serializer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/tinylib/msgp/msgp"

	"github.com/enoki-go/enoki"
)

// ByName returns the serializer with Nameko's name: "msgpack" or "yaml". It
// returns nil for "json", which needs none, and an error for any other name.
func ByName(name string) (*enoki.Serializer, error) {
	switch name {
	case "json":
		return nil, nil
	case "msgpack":
		s := MsgPack()
		return &s, nil
	case "yaml":
		s := YAML()
		return &s, nil
	case "pickle":
		return nil, fmt.Errorf("serializer pickle is refused: a pickle runs code of whoever sent it; set json, msgpack or yaml on both sides")
	}
	return nil, fmt.Errorf("no serializer %q; have json, msgpack, yaml", name)
}

// MsgPack returns the serializer "msgpack": MessagePack in bodies of type
// application/x-msgpack. Go sees its bytes as base64 text, like those of
// encoding/json, and its time stamps as RFC 3339 text.
func MsgPack() enoki.Serializer {
	return enoki.Serializer{
		Name: "msgpack", ContentType: "application/x-msgpack",
		Decode: fromMsgPack, Encode: toMsgPack,
	}
}

func fromMsgPack(body []byte) ([]byte, error) {
	plain, rest, err := appendPlain(make([]byte, 0, 2*len(body)), body, 0)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes follow the value", len(rest))
	}
	if !json.Valid(plain) { // for example a map whose keys are not text
		return nil, fmt.Errorf("it holds what JSON has no form for")
	}
	return plain, nil
}

// maxDepth is the deepest nesting of values.
const maxDepth = 1000

// appendPlain appends the first value of a body as JSON and returns the rest of
// the body. A float gets a decimal point.
func appendPlain(b, body []byte, depth int) (out, rest []byte, err error) {
	if depth > maxDepth {
		return nil, nil, fmt.Errorf("values lie more than %d deep", maxDepth)
	}
	switch msgp.NextType(body) {
	case msgp.MapType:
		n, rest, err := msgp.ReadMapHeaderBytes(body)
		b = append(b, '{')
		for i := uint32(0); i < n && err == nil; i++ {
			if b, rest, err = appendKey(separated(b, i), rest); err == nil {
				b, rest, err = appendPlain(append(b, ':'), rest, depth+1)
			}
		}
		return append(b, '}'), rest, err
	case msgp.ArrayType:
		n, rest, err := msgp.ReadArrayHeaderBytes(body)
		b = append(b, '[')
		for i := uint32(0); i < n && err == nil; i++ {
			b, rest, err = appendPlain(separated(b, i), rest, depth+1)
		}
		return append(b, ']'), rest, err
	}
	return appendScalar(b, body)
}

func separated(b []byte, i uint32) []byte {
	if i > 0 {
		return append(b, ',')
	}
	return b
}

// appendKey is appendPlain for the key of a map. The key is text; whole numbers
// become text.
func appendKey(b, body []byte) (out, rest []byte, err error) {
	if kind := msgp.NextType(body); kind != msgp.IntType && kind != msgp.UintType {
		return appendScalar(b, body)
	}
	b, rest, err = appendScalar(append(b, '"'), body)
	return append(b, '"'), rest, err
}

// appendScalar is appendPlain for values that are neither maps nor arrays.
func appendScalar(b, body []byte) (out, rest []byte, err error) {
	rest, err = msgp.Skip(body)
	if err != nil {
		return nil, nil, err
	}
	var text bytes.Buffer
	if _, err := msgp.UnmarshalAsJSON(&text, body[:len(body)-len(rest)]); err != nil {
		return nil, nil, err
	}
	b = append(b, text.Bytes()...)
	switch kind := msgp.NextType(body); {
	case kind != msgp.Float32Type && kind != msgp.Float64Type:
	case !bytes.ContainsAny(text.Bytes(), ".eN"): // not NaN or Inf either
		b = append(b, ".0"...)
	}
	return b, rest, nil
}

func toMsgPack(body []byte) ([]byte, error) {
	v, err := decode(body)
	if err != nil {
		return nil, err
	}
	return msgp.AppendIntf(nil, v)
}

// YAML returns the serializer "yaml": YAML in bodies of type
// application/x-yaml. It reads the YAML values that JSON has a form for. It
// writes JSON, which is YAML, so that parsers of YAML 1.1 read it alike:
// numbers with an exponent have a point and a sign, and characters that YAML
// may not contain are escaped.
func YAML() enoki.Serializer {
	return enoki.Serializer{
		Name: "yaml", ContentType: "application/x-yaml",
		Decode: fromYAML, Encode: toYAML,
	}
}

// fromYAML returns JSON as it is, so that YAML's rules do not change its
// numbers and escapes.
func fromYAML(body []byte) ([]byte, error) {
	if json.Valid(body) {
		return body, nil
	}
	text, err := yaml.YAMLToJSON(body)
	if err == nil && json.Valid(text) {
		return text, nil
	}
	var v any // the library writes characters for which JSON has no escape
	if err := yaml.Unmarshal(body, &v); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

func toYAML(body []byte) ([]byte, error) {
	if !json.Valid(body) {
		return nil, fmt.Errorf("it holds what JSON has no form for, such as NaN")
	}
	out := make([]byte, 0, len(body))
	inText := false
	for i := 0; i < len(body); {
		c := body[i]
		switch {
		case inText && c == '\\':
			out = append(out, c, body[i+1])
			i += 2
			continue
		case c == '"':
			inText = !inText
		case inText && c >= utf8.RuneSelf || c == 0x7f:
			r, n := utf8.DecodeRune(body[i:])
			out = appendRune(out, r)
			i += n
			continue
		case !inText && (c == '-' || c >= '0' && c <= '9'):
			n := numberLength(body[i:])
			out = appendNumber(out, body[i:i+n])
			i += n
			continue
		}
		out = append(out, c)
		i++
	}
	return out, nil
}

// appendRune escapes characters that YAML may not contain.
func appendRune(b []byte, r rune) []byte {
	switch {
	case r == 0x85, r >= 0xa0 && r <= 0xd7ff && r != 0x2028 && r != 0x2029, r >= 0xe000 && r <= 0xfffd && r != 0xfeff, r >= 0x10000:
		return utf8.AppendRune(b, r)
	}
	return fmt.Appendf(b, `\u%04x`, r)
}

func numberLength(b []byte) int {
	n := bytes.IndexFunc(b, func(r rune) bool { return !strings.ContainsRune("+-.0123456789eE", r) })
	if n < 0 {
		return len(b)
	}
	return n
}

// appendNumber gives a number with an exponent a point and a sign. Without them
// YAML 1.1 reads it as text.
func appendNumber(b, number []byte) []byte {
	e := bytes.IndexAny(number, "eE")
	if e < 0 {
		return append(b, number...)
	}
	b = append(b, number[:e]...)
	if !bytes.Contains(number[:e], []byte(".")) {
		b = append(b, ".0"...)
	}
	b = append(b, 'e')
	if c := number[e+1]; c != '-' && c != '+' {
		b = append(b, '+')
	}
	return append(b, number[e+1:]...)
}

// decode decodes JSON. Whole numbers become integers, because other forms keep
// them apart from fractions.
func decode(body []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return nil, err
	}
	return integers(v)
}

func integers(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case json.Number:
		return number(v)
	case []any:
		for i := range v {
			if v[i], err = integers(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for key := range v {
			if v[key], err = integers(v[key]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

func number(n json.Number) (any, error) {
	if whole, err := n.Int64(); err == nil {
		return whole, nil
	}
	if bytes.ContainsAny([]byte(n), ".eE") {
		return n.Float64()
	}
	if whole, err := strconv.ParseUint(string(n), 10, 64); err == nil {
		return whole, nil
	}
	if f, exact := floatOf(n); exact { // JSON writes floats below 1e21 like this
		return f, nil
	}
	return nil, fmt.Errorf("number %s is over 64 bits", n)
}

// floatOf returns a whole number as a float, if a float holds it exactly.
func floatOf(n json.Number) (f float64, exact bool) {
	whole, ok := new(big.Int).SetString(string(n), 10)
	if !ok {
		return 0, false
	}
	f, accuracy := new(big.Float).SetInt(whole).Float64()
	return f, accuracy == big.Exact
}
