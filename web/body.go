package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// syntaxFault says where a body stops being JSON. It is "" if the body is JSON.
func syntaxFault(body []byte) string {
	err := json.Unmarshal(body, new(json.RawMessage))
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return ""
	}
	line, column := position(body, syntax.Offset)
	return fmt.Sprintf("not JSON at line %d, column %d: %v", line, column, syntax)
}

// position returns the line and column of the byte before offset, from 1.
func position(body []byte, offset int64) (line, column int) {
	before := string(body[:min(max(offset-1, 0), int64(len(body)))])
	return strings.Count(before, "\n") + 1, len(before) - strings.LastIndexByte(before, '\n')
}

// maxDepth is the deepest nesting of lists and objects. Package quickjson reads
// no deeper.
const maxDepth = 100

// depthOf returns how deeply lists and objects are nested in JSON.
func depthOf(body []byte) (deepest int) {
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{', c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}', c == ']':
			depth--
		}
	}
	return deepest
}

// decodeFault says why a valid body can't be decoded. Either a number is too
// large for its type, or a type of the service refused its value.
func decodeFault(body []byte, err error) FieldError {
	fault := FieldError{Location: "body", Message: "a value can't be read"}
	var unfit *jsonv2.SemanticError
	if !errors.As(err, &unfit) {
		return fault
	}
	fault.Location = locationOf(body, unfit.JSONPointer)
	switch t := unfit.GoType; {
	case t == nil || !isNumber(t):
	case unfit.JSONKind == '0':
		fault.Message = fmt.Sprintf("expected %s, which number %.40s is not", kindText(t), unfit.JSONValue)
	default: // a key
		fault.Message = "expected " + kindText(t)
	}
	return fault
}

// locationOf writes a pointer into a body in the form of locations.
func locationOf(body []byte, pointer jsontext.Pointer) string {
	var value any
	_ = json.Unmarshal(body, &value) // it was JSON before
	at := "body"
	for name := range pointer.Tokens() {
		switch v := value.(type) {
		case []any:
			at += "[" + name + "]"
			i, _ := strconv.Atoi(name)
			value = nil
			if i < len(v) {
				value = v[i]
			}
		case map[string]any:
			at += "." + name
			value = v[name]
		}
	}
	return at
}

// kindText names a Go type for people who write JSON.
func kindText(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		return "string"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return fmt.Sprintf("integer of %d bits", t.Bits())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("integer of %d bits from 0", t.Bits())
	case reflect.Float32, reflect.Float64:
		return fmt.Sprintf("number of %d bits", t.Bits())
	case reflect.Slice, reflect.Array:
		return "array"
	}
	return "object"
}
