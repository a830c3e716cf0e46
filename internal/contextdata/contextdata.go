// Package contextdata writes the context data of messages as JSON and reads
// it, with the types that broker.Message promises: a number with a point or an
// exponent is a float64, any other an int64, and objects with one key that
// begins with '$' stand for what JSON has no form for.
package contextdata

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Keys of the JSON objects that stand for what JSON has no form for.
const (
	timeKey  = "$time"
	floatKey = "$float"
	mapKey   = "$map"
)

// Append appends context data as JSON. Nil values are left out of maps. The
// error names the key whose value can't be written.
func Append(b []byte, m map[string]any) ([]byte, error) {
	b = append(b, '{')
	first := true
	for key, v := range m {
		if v == nil {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(appendString(b, key), ':')
		var err error
		if b, err = appendValue(b, v); err != nil {
			return nil, fmt.Errorf("%q: %w", key, err)
		}
	}
	return append(b, '}'), nil
}

func appendValue(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case string:
		return appendString(b, v), nil
	case float64:
		return appendFloat(b, v), nil
	case float32:
		return appendFloat(b, float64(v)), nil
	case time.Time:
		return appendTime(b, v), nil
	case []any:
		return appendList(b, v)
	case map[string]any:
		return appendMap(b, v)
	}
	return appendInteger(b, v)
}

func appendInteger(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case int:
		return strconv.AppendInt(b, int64(v), 10), nil
	case int8:
		return strconv.AppendInt(b, int64(v), 10), nil
	case int16:
		return strconv.AppendInt(b, int64(v), 10), nil
	case int32:
		return strconv.AppendInt(b, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case uint8:
		return strconv.AppendUint(b, uint64(v), 10), nil
	case uint16:
		return strconv.AppendUint(b, uint64(v), 10), nil
	case uint32:
		return strconv.AppendUint(b, uint64(v), 10), nil
	case uint:
		return appendUnsigned(b, uint64(v))
	case uint64:
		return appendUnsigned(b, v)
	}
	return nil, fmt.Errorf("context data can't hold a %T", v)
}

func appendUnsigned(b []byte, v uint64) ([]byte, error) {
	if v > math.MaxInt64 {
		return nil, fmt.Errorf("context data can't hold %d: it is more than an int64", v)
	}
	return strconv.AppendUint(b, v, 10), nil
}

// appendFloat keeps a whole number recognisable as a float.
func appendFloat(b []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Appendf(b, `{"%s":"%s"}`, floatKey, strconv.FormatFloat(v, 'g', -1, 64))
	}
	start := len(b)
	b = strconv.AppendFloat(b, v, 'g', -1, 64)
	if !bytes.ContainsAny(b[start:], ".e") {
		b = append(b, ".0"...)
	}
	return b
}

func appendTime(b []byte, v time.Time) []byte {
	b = append(b, `{"`+timeKey+`":"`...)
	b = v.AppendFormat(b, time.RFC3339Nano)
	return append(b, `"}`...)
}

func appendList(b []byte, list []any) ([]byte, error) {
	b = append(b, '[')
	for i, v := range list {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendValue(b, v); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func appendMap(b []byte, m map[string]any) ([]byte, error) {
	if !meansSomethingElse(m) {
		return Append(b, m)
	}
	b, err := Append(append(b, `{"`+mapKey+`":`...), m)
	return append(b, '}'), err
}

// meansSomethingElse tells whether m, written as it is, would be read as one
// of the values that JSON has no form for.
func meansSomethingElse(m map[string]any) bool {
	for _, key := range []string{timeKey, floatKey, mapKey} {
		if _, ok := m[key]; ok {
			return true
		}
	}
	return false
}

// appendString appends s as a JSON string; most strings need no escaping.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			text, _ := json.Marshal(s) // a string always has a JSON form
			return append(b, text...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// Parse reads what Append has written. Package json reads what
// is not plain.
func Parse(text string) (map[string]any, error) {
	p := plainParser{rest: text}
	if m, ok := p.object(0); ok && p.rest == "" {
		return m, nil
	}
	return parseJSON(text)
}

func parseJSON(text string) (map[string]any, error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var raw map[string]any
	if err := decoder.Decode(&raw); err != nil {
		return nil, err
	}
	return parseMap(raw)
}

func parseMap(raw map[string]any) (map[string]any, error) {
	for key, v := range raw {
		value, err := parseValue(v)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", key, err)
		}
		if value == nil {
			delete(raw, key)
		} else {
			raw[key] = value
		}
	}
	return raw, nil
}

func parseValue(v any) (any, error) {
	switch v := v.(type) {
	case json.Number:
		return parseNumber(v.String())
	case []any:
		for i := range v {
			item, err := parseValue(v[i])
			if err != nil {
				return nil, err
			}
			v[i] = item
		}
		return v, nil
	case map[string]any:
		return parseObject(v)
	}
	return v, nil
}

func parseNumber(text string) (any, error) {
	if strings.ContainsAny(text, ".eE") {
		return strconv.ParseFloat(text, 64)
	}
	return strconv.ParseInt(text, 10, 64)
}

func parseObject(m map[string]any) (any, error) {
	if len(m) == 1 {
		for key, v := range m {
			switch v := v.(type) {
			case string:
				if key == timeKey {
					return time.Parse(time.RFC3339Nano, v)
				}
				if key == floatKey {
					return strconv.ParseFloat(v, 64)
				}
			case map[string]any:
				if key == mapKey {
					return parseMap(v)
				}
			}
		}
	}
	return parseMap(m)
}
