// Package contextdata writes and reads the context data of messages as JSON,
// with the types that broker.Message promises. A number with a point or an
// exponent is a float64, and any other number an int64. An object with one key
// that begins with '$' stands for a value that JSON has no form for.
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
	MapKey   = "$map"
)

// Append appends context data as JSON. Nil values are left out of maps. The
// error names the key whose value can't be written.
func Append(b []byte, m map[string]any) ([]byte, error) {
	start := len(b)
	b, err := appendMembers(b, m, 0)
	if err == nil {
		err = CheckSize(len(b) - start)
	}
	return b, err
}

func appendMembers(b []byte, m map[string]any, depth int) ([]byte, error) {
	if err := CheckNesting(len(m), depth); err != nil {
		return nil, err
	}
	b = append(b, '{')
	first := true
	for key, v := range m {
		if v == nil {
			continue
		}
		key = Text(key)
		if err := CheckKey(key); err != nil {
			return nil, err
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(appendString(b, key), ':')
		var err error
		if b, err = appendValue(b, v, depth); err != nil {
			return nil, fmt.Errorf("%q: %w", key, err)
		}
	}
	return append(b, '}'), nil
}

func appendValue(b []byte, v any, depth int) ([]byte, error) {
	switch v := v.(type) {
	case string:
		return appendString(b, v), nil
	case []any:
		return appendList(b, v, depth+1)
	case map[string]any:
		return appendMap(b, v, depth+1)
	}
	v, err := Scalar(v)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case bool:
		return strconv.AppendBool(b, v), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case float64:
		return appendFloat(b, v), nil
	case time.Time:
		return appendTime(b, v), nil
	}
	return append(b, "null"...), nil
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

func appendList(b []byte, list []any, depth int) ([]byte, error) {
	if err := CheckNesting(len(list), depth); err != nil {
		return nil, err
	}
	b = append(b, '[')
	for i, v := range list {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendValue(b, v, depth); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func appendMap(b []byte, m map[string]any, depth int) ([]byte, error) {
	if !IsAmbiguous(m) {
		return appendMembers(b, m, depth)
	}
	b, err := appendMembers(append(b, `{"`+MapKey+`":`...), m, depth+1)
	return append(b, '}'), err
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
// is not plain. What a stranger has written and Append would refuse is refused
// here, or all that is sent in its context would fail.
func Parse(text string) (map[string]any, error) {
	p := plainParser{rest: text}
	if m, ok := p.object(0); ok && p.rest == "" && len(text) <= MaxSize {
		return m, nil
	}
	m, err := parseJSON(text)
	if err == nil {
		_, err = Append(nil, m)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
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
				if special, err := parseSpecial(key, v); special != nil || err != nil {
					return special, err
				}
			case map[string]any:
				if key == MapKey {
					return parseMap(v)
				}
			}
		}
	}
	return parseMap(m)
}

// parseSpecial returns nil for a key that stands for nothing else.
func parseSpecial(key, text string) (any, error) {
	switch key {
	case timeKey:
		return time.Parse(time.RFC3339Nano, text)
	case floatKey:
		return strconv.ParseFloat(text, 64)
	}
	return nil, nil
}
