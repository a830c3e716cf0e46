package quickjson

import (
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"strconv"
	"sync"
	"unicode/utf8"
)

// maxDepth is how deep values may lie within each other before they are left
// to encoding/json, which has a limit of its own.
const maxDepth = 100

// Scanner reads one JSON text from front to end. Its methods return false when
// it refuses; the Scanner is of no use from then on.
type Scanner struct {
	data  []byte
	at    int
	depth int
	whole bool   // refuses null and missing fields
	copy  string // of a small text, made for its first string
	plain bool   // JSON, not kombu's dialect
}

// scanners are those that nobody uses; whoever puts one back clears it.
var scanners = sync.Pool{New: func() any { return new(Scanner) }}

// Scan has read read the whole of data, which must not change meanwhile, and
// reports whether it has. Nothing that is read shares memory with data but what
// Skip returns. The Scanner is of no use once read has returned.
func Scan(data []byte, read func(s *Scanner) bool) bool { return scan(data, false, read) }

// ScanPlain is Scan for JSON that is never kombu's dialect.
func ScanPlain(data []byte, read func(s *Scanner) bool) bool { return scan(data, true, read) }

func scan(data []byte, plain bool, read func(s *Scanner) bool) bool {
	s := scanners.Get().(*Scanner)
	s.data, s.plain = data, plain
	ok := read(s) && s.end()
	*s = Scanner{}
	scanners.Put(s)
	return ok
}

// Whole has s refuse null for what is not optional, and structs without a
// field that is not.
func (s *Scanner) Whole() { s.whole = true }

// Object reads an object. It calls each for every key, in their order, to read
// the value. The key is valid until each returns.
func (s *Scanner) Object(each func(key []byte) bool) bool {
	if !s.enter('{') {
		return false
	}
	if s.next('}') {
		return s.leave()
	}
	return s.members(each)
}

// members reads what is left of an object, from a key on.
func (s *Scanner) members(each func(key []byte) bool) bool {
	for {
		key, ok := s.text()
		if !ok || !s.next(':') || !each(key) {
			return false
		}
		if !s.next(',') {
			return s.next('}') && s.leave()
		}
	}
}

// List reads a list. It calls each for every item to read it.
func (s *Scanner) List(each func(i int) bool) bool {
	if !s.enter('[') {
		return false
	}
	if s.next(']') {
		return s.leave()
	}
	for i := 0; ; i++ {
		if !each(i) {
			return false
		}
		if !s.next(',') {
			return s.next(']') && s.leave()
		}
	}
}

// Null reads null, if that is what comes next.
func (s *Scanner) Null() bool { return s.Peek() == 'n' && s.word("null") }

// end reports whether nothing is left.
func (s *Scanner) end() bool { return s.Peek() == 0 && s.at == len(s.data) }

// Skip reads any value and returns it as it stands in the text.
func (s *Scanner) Skip() ([]byte, bool) {
	c := s.Peek()
	begin := s.at
	ok := false
	switch c {
	case '{':
		ok = s.Object(func([]byte) bool { _, ok := s.Skip(); return ok })
	case '[':
		ok = s.List(func(int) bool { _, ok := s.Skip(); return ok })
	case '"':
		_, ok = s.text()
	case 't':
		ok = s.word("true")
	case 'f':
		ok = s.word("false")
	case 'n':
		ok = s.word("null")
	default:
		_, _, ok = s.number()
	}
	return s.data[begin:s.at], ok
}

// Peek returns the first byte of what comes next, or 0 at the end.
func (s *Scanner) Peek() byte {
	for s.at < len(s.data) {
		c := s.data[s.at]
		if c > ' ' || c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
		s.at++
	}
	return 0
}

// next reads the byte c, if that is what comes next.
func (s *Scanner) next(c byte) bool {
	if s.Peek() != c || s.at == len(s.data) {
		return false
	}
	s.at++
	return true
}

func (s *Scanner) enter(bracket byte) bool {
	s.depth++
	return s.depth <= maxDepth && s.next(bracket)
}

func (s *Scanner) leave() bool {
	s.depth--
	return true
}

// word reads exactly this, without spaces before it.
func (s *Scanner) word(word string) bool {
	end := s.at + len(word)
	if end > len(s.data) || string(s.data[s.at:end]) != word {
		return false
	}
	s.at = end
	return true
}

// text reads a string, which is valid until the data changes.
func (s *Scanner) text() ([]byte, bool) {
	begin, plain, ok := s.span()
	switch {
	case !ok:
		return nil, false
	case plain:
		return s.data[begin : s.at-1], true
	}
	text, ok := s.unquoted(begin)
	return []byte(text), ok
}

// small is how long a text may be, in bytes, whose strings share one copy of
// it. That is one allocation for all of them; the price is that who keeps one
// of them keeps the whole text.
const small = 256

// string reads a string that stays valid.
func (s *Scanner) string() (string, bool) {
	begin, plain, ok := s.span()
	switch {
	case !ok:
		return "", false
	case !plain:
		return s.unquoted(begin)
	case len(s.data) > small:
		return string(s.data[begin : s.at-1]), true
	}
	if s.copy == "" {
		s.copy = string(s.data)
	}
	return s.copy[begin : s.at-1], true
}

// span reads a string without its meaning: where it begins, and whether it is
// plain, without escapes and wrong UTF-8. It ends before the last byte read.
func (s *Scanner) span() (begin int, plain, ok bool) {
	if !s.next('"') {
		return s.at, false, false
	}
	begin = s.at
	odd, foreign := false, false
	for i := begin + plainLength(s.data[begin:]); i < len(s.data); i++ {
		switch c := s.data[i]; {
		case c == '"':
			s.at = i + 1
			return begin, !odd && (!foreign || utf8.Valid(s.data[begin:i])), true
		case c == '\\':
			odd = true
			i++
		case c < ' ':
			return begin, false, false
		case c >= utf8.RuneSelf:
			foreign = true
		}
	}
	return begin, false, false
}

// unquoted has a string that begins there read by encoding/json, for escapes
// and wrong UTF-8.
func (s *Scanner) unquoted(begin int) (text string, ok bool) {
	err := json.Unmarshal(s.data[begin-1:s.at], &text)
	return text, err == nil
}

// plainLength counts the bytes at the beginning of b, eight at a time, that
// are neither a quote, a backslash, a control character nor beyond ASCII.
func plainLength(b []byte) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; n+8 <= len(b); n += 8 {
		w := binary.LittleEndian.Uint64(b[n:])
		quote, backslash := w^('"'*ones), w^('\\'*ones)
		if odd := (w | (w - ' '*ones) | (quote - ones) | (backslash - ones)) & high; odd != 0 {
			return n + bits.TrailingZeros64(odd)/8 // the lowest is exact: borrows go upwards
		}
	}
	return n
}

// number reads a number; whole is true when it has neither fraction nor
// exponent.
func (s *Scanner) number() (text []byte, whole, ok bool) {
	s.Peek()
	begin := s.at
	if s.is('-') {
		s.at++
	}
	if s.is('0') {
		s.at++
	} else if !s.digits() {
		return nil, false, false
	}
	whole = true
	if s.is('.') {
		whole = false
		s.at++
		if !s.digits() {
			return nil, false, false
		}
	}
	if s.is('e') || s.is('E') {
		whole = false
		s.at++
		if s.is('+') || s.is('-') {
			s.at++
		}
		if !s.digits() {
			return nil, false, false
		}
	}
	return s.data[begin:s.at], whole, true
}

func (s *Scanner) is(c byte) bool { return s.at < len(s.data) && s.data[s.at] == c }

// digits reads at least one digit.
func (s *Scanner) digits() bool {
	begin := s.at
	for s.at < len(s.data) && s.data[s.at]-'0' <= 9 {
		s.at++
	}
	return s.at > begin
}

func (s *Scanner) float(bits int) (float64, bool) {
	text, _, ok := s.number()
	if !ok {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(text), bits)
	return f, err == nil
}

// any reads a value of whatever kind into what encoding/json makes of it.
func (s *Scanner) any() (v any, ok bool) {
	switch s.Peek() {
	case '{':
		m := map[string]any{}
		ok = s.Object(func(key []byte) bool {
			name := string(key)
			item, ok := s.any()
			m[name] = item
			return ok
		})
		return m, ok
	case '[':
		list := []any{}
		ok = s.List(func(int) bool {
			item, ok := s.any()
			list = append(list, item)
			return ok
		})
		return list, ok
	case '"':
		return s.string()
	case 't':
		return true, s.word("true")
	case 'f':
		return false, s.word("false")
	case 'n':
		return nil, s.word("null")
	}
	return s.anyNumber()
}
