package contextdata

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"
	"unicode/utf8"
)

// Limits of context data. They are the same on all brokers, so that what
// travels on one does on every other; RabbitMQ's headers set them.
const (
	MaxKey   = 248      // bytes of a key: with Nameko's prefix the most that a header's name has
	MaxDepth = 32       // lists and maps in each other
	MaxItems = 8192     // of one list or map
	MaxSize  = 96 << 10 // bytes of all as a driver writes them; a dead letter adds to it
)

// CheckSize refuses context data that takes n bytes, if that is too much.
func CheckSize(n int) error {
	if n > MaxSize {
		return fmt.Errorf("has %d bytes, more than %d: send what is large in the body", n, MaxSize)
	}
	return nil
}

// CheckKey refuses a key that is too long to travel.
func CheckKey(key string) error {
	if len(key) > MaxKey {
		return fmt.Errorf("the key %.40q... has %d bytes, more than %d", key, len(key), MaxKey)
	}
	return nil
}

// CheckNesting refuses a list or a map of n elements that is within depth
// others.
func CheckNesting(n, depth int) error {
	if depth > MaxDepth {
		return fmt.Errorf("has more than %d lists and maps in each other", MaxDepth)
	}
	if n > MaxItems {
		return fmt.Errorf("has a list or a map of %d elements, more than %d", n, MaxItems)
	}
	return nil
}

// Text returns s as it arrives: each byte that is no UTF-8 is replaced by
// U+FFFD. Python could not read it.
func Text(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}

// Scalar returns a value that is neither a list nor a map as it arrives: an
// integer as int64, a time in UTC and in whole seconds, which are all that AMQP
// has. It refuses what can't travel.
func Scalar(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, int64, float64:
		return v, nil
	case string:
		return Text(v), nil
	case time.Time:
		t := v.UTC().Truncate(time.Second)
		if y := t.Year(); y < 0 || y > 9999 {
			return nil, fmt.Errorf("can't hold a time of the year %d", y)
		}
		return t, nil
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return r.Int(), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if r.Uint() > math.MaxInt64 {
			return nil, fmt.Errorf("can't hold %d: it is more than an int64", r.Uint())
		}
		return int64(r.Uint()), nil
	case reflect.Float32:
		return r.Float(), nil
	}
	return nil, fmt.Errorf("can't hold a %T; use bool, an integer of up to 64 bits with sign, float64, string, time.Time, []any or map[string]any", v)
}

// Special returns the map that stands for v where a broker has a form for most
// values but none for v: NaN and the infinities, and a time before 1970. It is
// false for all others.
func Special(v any) (map[string]any, bool) {
	switch v := v.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return map[string]any{floatKey: strconv.FormatFloat(v, 'g', -1, 64)}, true
		}
	case time.Time:
		if v.Unix() < 0 {
			return map[string]any{timeKey: v.Format(time.RFC3339)}, true
		}
	}
	return nil, false
}

// IsAmbiguous tells whether m, written as it is, would be read as one of the
// values that Special stands for. It travels within another map then, under
// MapKey.
func IsAmbiguous(m map[string]any) bool {
	for _, key := range []string{timeKey, floatKey, MapKey} {
		if _, ok := m[key]; ok {
			return true
		}
	}
	return false
}

// Meant returns what Special had if m stands for that, and else m itself.
func Meant(m map[string]any) any {
	if len(m) != 1 {
		return m
	}
	for key, v := range m {
		text, ok := v.(string)
		if v, err := parseSpecial(key, text); ok && v != nil && err == nil {
			return v
		}
	}
	return m
}
