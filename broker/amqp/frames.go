package amqp

import (
	"encoding/binary"
	"errors"
)

// The client library ends the connection for a header that it can't decode,
// and the broker delivers the same message again on the next one: one message
// of another client would keep a service from working for ever. Python writes
// such headers: an int of more than 32 bits has the type L, which the library
// does not know though RabbitMQ does. So the headers of what arrives are made
// readable before the library sees them.

// Limits of the client library on what it decodes.
const (
	maxDepth    = 32   // of tables and arrays in each other
	maxElements = 8192 // of one of them
)

// Parts of a frame and of a content header, by AMQP 0-9-1, 4.2.
const (
	frameHead   = 7 // type, channel, size
	frameHeader = 2 // the type of a frame with the properties of a message

	flagContentType     = 0x8000
	flagContentEncoding = 0x4000
	flagHeaders         = 0x2000
)

// readableHeader returns the frame with headers that the library can decode:
// the type of a value is replaced by that of the same value, or the headers
// are left out as a whole, and then it returns false.
func readableHeader(frame []byte) ([]byte, bool) {
	const flagsAt = frameHead + 12 // after class, weight and the size of the body
	end := len(frame) - 1          // without the end mark
	if end < flagsAt+2 {
		return frame, true // for the library to judge
	}
	flags := binary.BigEndian.Uint16(frame[flagsAt:])
	at := flagsAt + 2
	for _, f := range []uint16{flagContentType, flagContentEncoding} {
		if flags&f != 0 && at < end {
			at += 1 + int(frame[at]) // a short string
		}
	}
	if flags&flagHeaders == 0 || at+4 > end {
		return frame, true
	}
	from, to := at, at+4+int(binary.BigEndian.Uint32(frame[at:]))
	if to > end {
		return frame, true
	}
	w := fieldWalk{b: frame[from+4 : to]}
	if w.table(0) == nil {
		return frame, true
	}
	binary.BigEndian.PutUint16(frame[flagsAt:], flags&^flagHeaders)
	frame = append(frame[:from], frame[to:]...)
	binary.BigEndian.PutUint32(frame[3:], uint32(len(frame)-frameHead-1))
	return frame, false
}

// fieldWalk walks over the fields of a table and makes their types such that
// the library knows.
type fieldWalk struct{ b []byte }

var errField = errors.New("a field can't be decoded")

// take returns the next n bytes.
func (w *fieldWalk) take(n int) ([]byte, error) {
	if n < 0 || n > len(w.b) {
		return nil, errField
	}
	taken := w.b[:n]
	w.b = w.b[n:]
	return taken, nil
}

// sub returns a walk over what the next four bytes give the length of.
func (w *fieldWalk) sub() (*fieldWalk, error) {
	length, err := w.take(4)
	if err != nil {
		return nil, err
	}
	b, err := w.take(int(int32(binary.BigEndian.Uint32(length))))
	return &fieldWalk{b}, err
}

// table walks over names and values to the end.
func (w *fieldWalk) table(depth int) error {
	for n := 0; len(w.b) > 0; n++ {
		length, err := w.take(1)
		if err != nil {
			return err
		}
		if _, err := w.take(int(length[0])); err != nil {
			return err
		}
		if err := w.value(depth); err != nil || n >= maxElements {
			return errField
		}
	}
	return nil
}

// array walks over values to the end.
func (w *fieldWalk) array(depth int) error {
	for n := 0; len(w.b) > 0; n++ {
		if err := w.value(depth); err != nil || n >= maxElements {
			return errField
		}
	}
	return nil
}

// fixedSizes are the lengths of values by type, as RabbitMQ and its clients
// have them, which is not as the specification has them.
var fixedSizes = [256]int8{
	't': 1, 'b': 1, 'B': 1, 's': 2, 'u': 2, 'I': 4, 'i': 4, 'f': 4, 'D': 5, 'l': 8, 'd': 8, 'T': 8,
}

func (w *fieldWalk) value(depth int) error {
	kind, err := w.take(1)
	if err != nil {
		return err
	}
	switch kind[0] {
	case 'L':
		kind[0] = 'l' // 64 bits with sign: Python writes L, Go and Java write l
	case 'U':
		kind[0] = 's' // 16 bits with sign, by the specification
	}
	switch kind[0] {
	case 'V':
		return nil
	case 'S', 'x':
		_, err := w.sub()
		return err
	case 'F', 'A':
		inner, err := w.sub()
		if err != nil || depth >= maxDepth {
			return errField
		}
		if kind[0] == 'F' {
			return inner.table(depth + 1)
		}
		return inner.array(depth + 1)
	}
	size := int(fixedSizes[kind[0]])
	if size == 0 {
		return errField
	}
	_, err = w.take(size)
	return err
}
