package wire

import (
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Every type that RabbitMQ or a client of it writes is read, and what breaks the
// rules is refused as a whole.
func TestDecodeTable(t *testing.T) {
	deep := func(n int) string { // n lists in each other
		s := ""
		for range n {
			s = "A" + string(binary.BigEndian.AppendUint32(nil, uint32(len(s)))) + s
		}
		return "\x01k" + s
	}
	for what, c := range map[string]struct {
		fields string
		want   any // of the field k; nil for its absence
		broken bool
	}{
		"none":                   {},
		"bool":                   {fields: "\x01kt\x01", want: true},
		"int8":                   {fields: "\x01kb\xff", want: int8(-1)},
		"uint8":                  {fields: "\x01kB\xff", want: uint8(255)},
		"int16":                  {fields: "\x01ks\xff\xfe", want: int16(-2)},
		"int16 by the book":      {fields: "\x01kU\xff\xfe", want: int16(-2)},
		"uint16":                 {fields: "\x01ku\xff\xfe", want: uint16(65534)},
		"int32":                  {fields: "\x01kI\xff\xff\xff\xff", want: int32(-1)},
		"uint32":                 {fields: "\x01ki\xff\xff\xff\xff", want: uint32(math.MaxUint32)},
		"int64":                  {fields: "\x01kl\xff\xff\xff\xff\xff\xff\xff\xff", want: int64(-1)},
		"int64 from Python":      {fields: "\x01kL\xff\xff\xff\xff\xff\xff\xff\xfe", want: int64(-2)},
		"float32":                {fields: "\x01kf\x3f\x80\x00\x00", want: float32(1)},
		"float64":                {fields: "\x01kd\x3f\xf0\x00\x00\x00\x00\x00\x00", want: 1.0},
		"decimal":                {fields: "\x01kD\x02\x00\x00\x01\x3a", want: Decimal{Scale: 2, Value: 314}},
		"time":                   {fields: "\x01kT\x00\x00\x00\x00\x00\x00\x00\x05", want: time.Unix(5, 0)},
		"nothing":                {fields: "\x01kV"},
		"text":                   {fields: "\x01kS\x00\x00\x00\x02ab", want: "ab"},
		"bytes":                  {fields: "\x01kx\x00\x00\x00\x02ab", want: []byte("ab")},
		"a table":                {fields: "\x01kF\x00\x00\x00\x03\x01aV", want: Table{"a": nil}},
		"a list":                 {fields: "\x01kA\x00\x00\x00\x0aVL\x00\x00\x00\x00\x00\x00\x00\x01", want: []any{nil, int64(1)}},
		"depth 33":               {fields: deep(MaxDepth + 1), broken: true},
		"8193 in a list":         {fields: "\x01kA\x00\x00\x20\x01" + strings.Repeat("V", MaxElements+1), broken: true},
		"unknown type":           {fields: "\x01kz1", broken: true},
		"no type":                {fields: "\x01k", broken: true},
		"name over the end":      {fields: "\x09k", broken: true},
		"number over the end":    {fields: "\x01kI123", broken: true},
		"text over the end":      {fields: "\x01kS\x00\x00\x00\x09a", broken: true},
		"text of negative size":  {fields: "\x01kS\xff\xff\xff\xffa", broken: true},
		"table over the end":     {fields: "\x01kF\x00\x00\x00\x09\x01kV", broken: true},
		"value over the table's": {fields: "\x01kF\x00\x00\x00\x03\x01kI1234", broken: true},
	} {
		got, err := DecodeTable([]byte(c.fields))
		if c.broken != errors.Is(err, ErrMalformed) || !c.broken && !reflect.DeepEqual(got["k"], c.want) {
			t.Errorf("%s: got %#v, error %v, want %#v", what, got["k"], err, c.want)
		}
	}
	for what, fields := range map[string]string{
		"depth 32":       deep(MaxDepth),
		"8192 in a list": "\x01kA\x00\x00\x20\x00" + strings.Repeat("V", MaxElements),
	} {
		if _, err := DecodeTable([]byte(fields)); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// An integer takes 32 bits if they suffice, as py-amqp sends it, and what can't
// travel is refused with a reason.
func TestAppendTable(t *testing.T) {
	for _, c := range []struct {
		v    any
		want string // empty for what is refused
	}{
		{int8(-1), "I\xff\xff\xff\xff"}, {uint8(1), "I\x00\x00\x00\x01"}, {int64(math.MaxInt32), "I\x7f\xff\xff\xff"},
		{int64(math.MinInt32 - 1), "l\xff\xff\xff\xff\x7f\xff\xff\xff"}, {uint64(math.MaxInt64), "l\x7f\xff\xff\xff\xff\xff\xff\xff"},
		{uint64(math.MaxInt64 + 1), ""}, {math.NaN(), ""}, {float32(math.Inf(1)), ""}, {struct{}{}, ""}, {[]string{"typed"}, ""},
		{make([]any, MaxElements+1), ""}, {Table{strings.Repeat("k", MaxShort+1): 1}, ""}, {nested(MaxDepth + 1), ""}, {[]any{func() {}}, ""},
	} {
		got, err := AppendTable(nil, Table{"k": c.v})
		if c.want == "" {
			if err == nil || err.Error() == "" {
				t.Errorf("%T was encoded as %.100q, error %v", c.v, got, err)
			}
			continue
		}
		if err != nil || string(got) != "\x01k"+c.want {
			t.Errorf("%v (%T): got %q, error %v, want %q", c.v, c.v, got, err, c.want)
		}
	}
	if _, err := AppendTable(nil, Table{"k": nested(MaxDepth)}); err != nil {
		t.Error(err)
	}
}

func nested(depth int) any {
	var v any
	for range depth {
		v = []any{v}
	}
	return v
}
