package nameko

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/enoki-go/enoki/internal/quickjson"
)

// Tagged is a Python value that JSON has no form for: a datetime, date, time,
// Decimal, UUID or bytes. kombu writes such a value as text or, from version
// 5.3 on, as an object with the type. Tagged reads both forms. It writes the
// form in which the value came, so Python gets back what it sent.
type Tagged struct {
	// Type is kombu's name of the type: datetime, date, time, decimal, uuid, bytes,
	// or base64 for bytes that are not UTF-8. If it is empty, the value is written
	// as text. Every kombu reads that, but Python then gets a str.
	Type string

	// Text is the value as Python prints it. For base64 it is the base64 text.
	Text string
}

// UnmarshalJSON reads text or one of kombu's objects.
func (t *Tagged) UnmarshalJSON(body []byte) error {
	var text string
	if json.Unmarshal(body, &text) == nil {
		*t = Tagged{Text: text}
		return nil
	}
	var object map[string]any
	if err := json.Unmarshal(body, &object); err != nil {
		return fmt.Errorf("%.40s is neither text nor a tagged value of kombu's", body)
	}
	text, ok := quickjson.Untagged(object)
	if !ok {
		return fmt.Errorf(`%.40s is no tagged value of kombu's; want {"__type__": "decimal", "__value__": "1.50"} or its like`, body)
	}
	kind, _ := object["__type__"].(string)
	*t = Tagged{Type: kind, Text: text}
	return nil
}

// MarshalJSON writes the value in the form that Type says.
func (t Tagged) MarshalJSON() ([]byte, error) {
	var value any = t.Text
	switch t.Type {
	case "":
		return json.Marshal(t.Text)
	case "uuid":
		digits := strings.ReplaceAll(t.Text, "-", "")
		value = map[string]any{"hex": digits, "version": uuidVersion(digits)}
	case "datetime", "date", "time", "decimal", "bytes", "base64":
	default:
		return nil, fmt.Errorf("kombu has no type %q; want datetime, date, time, decimal, uuid, bytes or base64", t.Type)
	}
	return json.Marshal(map[string]any{"__type__": t.Type, "__value__": value})
}

// uuidVersion returns the version that Python gives for a UUID. It is nil for a
// UUID of another variant than that of RFC 9562.
func uuidVersion(digits string) any {
	if len(digits) != 32 || !strings.ContainsRune("89abAB", rune(digits[16])) {
		return nil
	}
	return int(strings.IndexByte("0123456789abcdef", digits[12]|0x20))
}

// String returns Text.
func (t Tagged) String() string { return t.Text }

// Time parses a datetime or date. It is in UTC if it has no zone.
func (t Tagged) Time() (time.Time, error) { return parseTime(t.Text) }

// Bytes returns the bytes of a value of type bytes or base64.
func (t Tagged) Bytes() ([]byte, error) {
	if t.Type == "base64" {
		return base64.StdEncoding.DecodeString(t.Text)
	}
	return []byte(t.Text), nil
}
