package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// fieldError says which part of the request an error of huma is about.
// Malformed is true when the body is no JSON at all.
func (e *exchange) fieldError(detail *huma.ErrorDetail) (field FieldError, malformed bool) {
	field = FieldError{Location: detail.Location, Message: detail.Message}
	if name, ok := missingField(detail.Message); ok {
		field.Location += "." + name
		return field, false
	}
	// Huma reports what package json refused with the whole body as value and
	// the error as text, which names Go types. Decoding it once more gives the
	// error itself.
	body, isText := detail.Value.(string)
	if detail.Location != "body" || !isText || e.route.bodyType == nil {
		return field, false
	}
	return decodeError([]byte(body), e.route.bodyType, field)
}

// missingField finds the name in huma's message of a required field.
func missingField(message string) (string, bool) {
	name, ok := strings.CutPrefix(message, "expected required property ")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(name, " to be present")
}

// decodeError explains why body can't be decoded as a t, or returns field as
// it is when it can.
func decodeError(body []byte, t reflect.Type, field FieldError) (FieldError, bool) {
	err := json.Unmarshal(body, reflect.New(t).Interface())
	var syntax *json.SyntaxError
	var unfit *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		line, column := position(body, syntax.Offset)
		field.Message = fmt.Sprintf("not JSON at line %d, column %d: %v", line, column, syntax)
		return field, true
	case errors.As(err, &unfit):
		if unfit.Field != "" {
			field.Location = "body." + unfit.Field
		}
		field.Message = fmt.Sprintf("expected %s, which %s is not", kindText(unfit.Type), unfit.Value)
	}
	return field, false
}

// position returns the line and column of the byte before offset, from 1.
func position(body []byte, offset int64) (line, column int) {
	before := string(body[:min(max(offset-1, 0), int64(len(body)))])
	return strings.Count(before, "\n") + 1, len(before) - strings.LastIndexByte(before, '\n')
}

// kindText names a Go type to somebody who writes JSON.
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
