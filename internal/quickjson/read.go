package quickjson

import (
	"bytes"
	"reflect"
	"strconv"
)

// Read reads a whole text into v, which must be settable and zero; after a
// refusal it may not be any more.
func (c *Codec) Read(data []byte, v reflect.Value) bool {
	return Scan(data, func(s *Scanner) bool { return s.Value(c, v) })
}

// ReadWhole is Read that refuses null and missing fields, see Check.
func (c *Codec) ReadWhole(data []byte, v reflect.Value) bool {
	return Scan(data, func(s *Scanner) bool {
		s.Whole()
		return s.Value(c, v)
	})
}

// Value reads a value into v, which must be settable and zero.
func (s *Scanner) Value(c *Codec, v reflect.Value) bool {
	if s.whole && !c.null && s.Peek() == 'n' {
		return false
	}
	if c.own && s.Peek() == 'n' {
		return s.word("null") // v stays as it is
	}
	return c.read(s, v)
}

// field reads the value of a field, which may be null when it is optional.
func (s *Scanner) field(f *field, v reflect.Value) bool {
	if s.whole && f.optional && s.Peek() == 'n' {
		return s.word("null")
	}
	return s.Value(f.codec, v.Field(f.index))
}

// readByStandard has encoding/json read the value.
func readByStandard(s *Scanner, v reflect.Value) bool {
	text, ok := s.Skip()
	return ok && s.decode(text, v) &&
		(!s.whole || Check(v.Type(), text) == nil)
}

func refuseToRead(*Scanner, reflect.Value) bool { return false }

// ReadPlain is Read for JSON that is never kombu's dialect.
func (c *Codec) ReadPlain(data []byte, v reflect.Value) bool {
	return ScanPlain(data, func(s *Scanner) bool { return s.Value(c, v) })
}

func readBool(s *Scanner, v reflect.Value) bool {
	switch s.Peek() {
	case 't':
		v.SetBool(true)
		return s.word("true")
	case 'f':
		return s.word("false")
	}
	return false
}

func readInt(s *Scanner, v reflect.Value) bool {
	text, whole, ok := s.number()
	if !ok || !whole {
		return false
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || v.OverflowInt(n) {
		return false
	}
	v.SetInt(n)
	return true
}

func readUint(s *Scanner, v reflect.Value) bool {
	text, whole, ok := s.number()
	if !ok || !whole {
		return false
	}
	n, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil || v.OverflowUint(n) {
		return false
	}
	v.SetUint(n)
	return true
}

func readFloat(s *Scanner, v reflect.Value) bool {
	if f, ok := s.notFinite(); ok {
		v.SetFloat(f)
		return true
	}
	f, ok := s.float(v.Type().Bits())
	v.SetFloat(f)
	return ok
}

func readString(s *Scanner, v reflect.Value) bool {
	text, ok := s.taggedText()
	v.SetString(text)
	return ok
}

func readAny(s *Scanner, v reflect.Value) bool {
	item, ok := s.any()
	if ok {
		v.Set(reflect.ValueOf(item)) // never nil: that was null
	}
	return ok
}

func readPointer(t reflect.Type, element *Codec) func(*Scanner, reflect.Value) bool {
	return func(s *Scanner, v reflect.Value) bool {
		target := reflect.New(t)
		v.Set(target)
		return s.Value(element, target.Elem())
	}
}

func readSlice(t reflect.Type, element *Codec) func(*Scanner, reflect.Value) bool {
	return func(s *Scanner, v reflect.Value) bool {
		ok := s.List(func(i int) bool {
			if i == v.Cap() {
				v.Grow(max(4, i))
			}
			v.SetLen(i + 1)
			return s.Value(element, v.Index(i))
		})
		if ok && v.IsNil() {
			v.Set(reflect.MakeSlice(t, 0, 0)) // an empty list is not null
		}
		return ok
	}
}

func readMap(t reflect.Type, element *Codec) func(*Scanner, reflect.Value) bool {
	return func(s *Scanner, v reflect.Value) bool {
		m := reflect.MakeMap(t)
		v.Set(m)
		key, item := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
		return s.Object(func(text []byte) bool {
			key.SetString(string(text))
			item.SetZero()
			if !s.Value(element, item) {
				return false
			}
			m.SetMapIndex(key, item)
			return true
		})
	}
}

func readStruct(fields []field, strict bool) func(*Scanner, reflect.Value) bool {
	names := make(map[string]int, len(fields))
	needed := uint64(0) // a bit for each field that must come
	for i, f := range fields {
		names[f.name] = i
		if !f.optional {
			needed |= uint64(1) << i
		}
	}
	return func(s *Scanner, v reflect.Value) bool {
		if !s.enter('{') {
			return false
		}
		if s.next('}') {
			return (!s.whole || needed == 0) && s.leave()
		}
		n := 0 // of fields that come in their order, as Go writes them
		for s.Peek(); n < len(fields) && s.word(fields[n].quoted); s.Peek() {
			if !s.field(&fields[n], v) {
				return false
			}
			n++
			if !s.next(',') {
				return s.next('}') && (!s.whole || needed>>n == 0) && s.leave()
			}
		}
		read := uint64(1)<<n - 1
		return s.members(readField(fields, names, &read, n, s, v, strict)) && (!s.whole || needed&^read == 0)
	}
}

// readField returns what reads further fields in any order, once n have come,
// and notes those that have.
func readField(fields []field, names map[string]int, read *uint64, n int, s *Scanner, v reflect.Value, strict bool) func(key []byte) bool {
	expected := n
	return func(key []byte) bool {
		i := expected
		if i >= len(fields) || fields[i].name != string(key) {
			var ok bool
			if i, ok = names[string(key)]; !ok && strict {
				_, ok = s.Skip()
				return ok
			}
			if !ok {
				return s.skipField(fields, key)
			}
		}
		bit := uint64(1) << i
		if *read&bit != 0 {
			return false
		}
		*read, expected = *read|bit, i+1
		return s.field(&fields[i], v)
	}
}

// skipField skips a field that the struct does not have, also in another case.
func (s *Scanner) skipField(fields []field, key []byte) bool {
	for _, f := range fields {
		if bytes.EqualFold([]byte(f.name), key) {
			return false
		}
	}
	_, ok := s.Skip()
	return ok
}
