package wire

import (
	"encoding/binary"
	"math"
	"time"
)

// decoder reads the parts of a frame. Its first mistake stays: what is read
// after it is empty.
type decoder struct {
	b      []byte
	broken bool
	names  *names
}

// take returns the next n bytes.
func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.b) || d.broken {
		d.broken = true
		return nil
	}
	taken := d.b[:n]
	d.b = d.b[n:]
	return taken
}

func (d *decoder) uint8() uint8 {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint16() uint16 {
	if b := d.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	if b := d.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) short() string { return string(d.take(int(d.uint8()))) }

// name reads a short string that is one of few.
func (d *decoder) name() string {
	b := d.take(int(d.uint8()))
	if d.names == nil {
		return string(b)
	}
	return d.names.of(b)
}

func (d *decoder) long() []byte { return d.take(int(int32(d.uint32()))) }

// names keeps one string for each name that comes again and again, such as
// those of exchanges and headers.
type names map[string]string

// maxNames bounds what a stranger can fill names with.
const maxNames = 512

func (n *names) of(b []byte) string {
	if s, ok := (*n)[string(b)]; ok {
		return s
	}
	if *n == nil || len(*n) >= maxNames {
		*n = names{}
	}
	s := string(b)
	(*n)[s] = s
	return s
}

// table reads names and values to the end.
func (d *decoder) table(depth int) Table {
	t := Table{}
	for len(d.b) > 0 && !d.broken {
		k := d.name()
		t[k] = d.field(depth)
		if len(t) > MaxElements {
			d.broken = true
		}
	}
	return t
}

// list reads values to the end.
func (d *decoder) list(depth int) []any {
	list := []any{}
	for len(d.b) > 0 && !d.broken {
		list = append(list, d.field(depth))
		if len(list) > MaxElements {
			d.broken = true
		}
	}
	return list
}

// field reads a value with its type, into what AppendField takes; see Table.
func (d *decoder) field(depth int) any {
	switch kind := d.uint8(); kind {
	case 'V':
		return nil
	case 't':
		return d.uint8() != 0
	case 'b':
		return int8(d.uint8())
	case 'B':
		return d.uint8()
	case 's', 'U':
		return int16(d.uint16())
	case 'u':
		return d.uint16()
	case 'I':
		return int32(d.uint32())
	case 'i':
		return d.uint32()
	case 'l', 'L': // Python writes L, Go and Java write l
		return int64(d.uint64())
	case 'f':
		return math.Float32frombits(d.uint32())
	case 'd':
		return math.Float64frombits(d.uint64())
	case 'D':
		return Decimal{Scale: d.uint8(), Value: int32(d.uint32())}
	case 'T':
		return time.Unix(int64(d.uint64()), 0)
	case 'S':
		return string(d.long())
	case 'x':
		return append([]byte{}, d.long()...)
	case 'F', 'A':
		return d.nested(kind, depth+1)
	}
	d.broken = true
	return nil
}

// nested reads a table or a list within another.
func (d *decoder) nested(kind byte, depth int) any {
	inner := decoder{b: d.long(), names: d.names, broken: d.broken || depth > MaxDepth}
	var v any
	if kind == 'F' {
		v = inner.table(depth)
	} else {
		v = inner.list(depth)
	}
	d.broken = d.broken || inner.broken
	return v
}
