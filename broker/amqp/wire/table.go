package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"time"
)

// Table is a field table: arguments of a declaration, or the headers of a
// message. The types of values are those of RabbitMQ and its clients, which are
// not those of the specification (https://www.rabbitmq.com/amqp-0-9-1-errata,
// section 3): nil, bool, string, []byte, integers, float32 and float64, Decimal,
// time.Time in seconds, []any and Table. An integer of any Go type goes in 32
// bits if they suffice and else in 64, as Python's client sends it.
type Table = map[string]any

// Decimal is Value divided by ten to the power of Scale.
type Decimal struct {
	Scale uint8
	Value int32
}

// Bounds of what is sent, and of what is made of a stranger's message.
const (
	MaxDepth    = 32   // tables and lists in each other
	MaxElements = 8192 // of one of them

	MaxShort = 255 // bytes of a short string, such as a name or a routing key
)

// AppendShort appends a string of at most 255 bytes, such as the name of a field.
func AppendShort(b []byte, s string) []byte {
	return append(append(b, byte(len(s))), s...)
}

// AppendTable appends the fields of a table, without their length.
func AppendTable(b []byte, t Table) ([]byte, error) { return appendTable(b, t, 0) }

func appendTable(b []byte, t Table, depth int) ([]byte, error) {
	if len(t) > MaxElements {
		return nil, fmt.Errorf("the headers have a table of %d elements, more than %d", len(t), MaxElements)
	}
	var err error
	for k, v := range t {
		if len(k) > MaxShort {
			return nil, fmt.Errorf("the header %.40q... has a name of %d bytes, more than %d", k, len(k), MaxShort)
		}
		if b, err = AppendField(AppendShort(b, k), v, depth); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func appendList(b []byte, list []any, depth int) ([]byte, error) {
	if len(list) > MaxElements {
		return nil, fmt.Errorf("the headers have a list of %d elements, more than %d", len(list), MaxElements)
	}
	var err error
	for _, v := range list {
		if b, err = AppendField(b, v, depth); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// AppendField appends a value with its type; depth counts the tables and lists
// around it.
func AppendField(b []byte, v any, depth int) ([]byte, error) {
	if depth > MaxDepth {
		return nil, fmt.Errorf("more than %d lists and maps in each other can't travel", MaxDepth)
	}
	switch v := v.(type) {
	case nil:
		return append(b, 'V'), nil
	case bool:
		return append(b, 't', bit(v)), nil
	case string:
		b = binary.BigEndian.AppendUint32(append(b, 'S'), uint32(len(v)))
		return append(b, v...), nil
	case []byte:
		b = binary.BigEndian.AppendUint32(append(b, 'x'), uint32(len(v)))
		return append(b, v...), nil
	case int64:
		return AppendInt(b, v), nil
	case float64:
		return binary.BigEndian.AppendUint64(append(b, 'd'), math.Float64bits(v)), checkFloat(v)
	case float32:
		return binary.BigEndian.AppendUint32(append(b, 'f'), math.Float32bits(v)), checkFloat(float64(v))
	case time.Time:
		return binary.BigEndian.AppendUint64(append(b, 'T'), uint64(v.Unix())), nil
	case Decimal:
		return binary.BigEndian.AppendUint32(append(b, 'D', v.Scale), uint32(v.Value)), nil
	case []any:
		b, from := BeginList(b)
		b, err := appendList(b, v, depth+1)
		return End(b, from, err)
	case Table:
		b, from := BeginTable(b)
		b, err := appendTable(b, v, depth+1)
		return End(b, from, err)
	}
	return appendNumber(b, v)
}

// appendNumber appends the integers that are none of int64.
func appendNumber(b []byte, v any) ([]byte, error) {
	switch v := reflect.ValueOf(v); v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32:
		return AppendInt(b, v.Int()), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if v.Uint() <= math.MaxInt64 {
			return AppendInt(b, int64(v.Uint())), nil
		}
	}
	return nil, fmt.Errorf("a value of type %T can't travel; use bool, an integer of up to 64 bits with sign, float64, string, time.Time, []any or map[string]any", v)
}

// AppendInt appends an integer with its type.
func AppendInt(b []byte, n int64) []byte {
	if math.MinInt32 <= n && n <= math.MaxInt32 {
		return binary.BigEndian.AppendUint32(append(b, 'I'), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, 'l'), uint64(n))
}

// checkFloat refuses what RabbitMQ can't read: it would end the connection.
func checkFloat(v float64) error {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Errorf("%v can't travel in a header", v)
	}
	return nil
}

// BeginTable begins a table that is the value of a field. Its fields are
// appended next, each with AppendShort and AppendField, and then End is called.
func BeginTable(b []byte) ([]byte, int) { return begin(append(b, 'F')) }

// BeginList is BeginTable for a list, whose elements have no names.
func BeginList(b []byte) ([]byte, int) { return begin(append(b, 'A')) }

// End ends what began at from, unless err is an error, which it returns.
func End(b []byte, from int, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return end(b, from), nil
}

// begin appends room for the length that end fills in.
func begin(b []byte) ([]byte, int) { return append(b, 0, 0, 0, 0), len(b) + 4 }

func end(b []byte, from int) []byte {
	binary.BigEndian.PutUint32(b[from-4:], uint32(len(b)-from))
	return b
}

// DecodeTable reads fields as AppendTable writes them.
func DecodeTable(b []byte) (Table, error) {
	d := decoder{b: b, names: &names{}}
	t := d.table(0)
	if d.broken {
		return nil, malformed("a table of %d bytes can't be read", len(b))
	}
	return t, nil
}
