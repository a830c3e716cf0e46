package contextdata

import (
	"strconv"
	"strings"
)

// plainParser reads the JSON of context data as it is nearly always: without
// spaces, escapes, floats or keys that begin with '$'. Each method takes its
// part off rest and returns false for anything else, which is left to package
// json. It is there because package json took a quarter of a service's time.
type plainParser struct{ rest string }

// plainDepth is how deep plain context data may be.
const plainDepth = 32

// object reads a map; nil values are left out.
func (p *plainParser) object(depth int) (map[string]any, bool) {
	if !p.take('{') || depth > plainDepth {
		return nil, false
	}
	m := make(map[string]any)
	if p.take('}') {
		return m, true
	}
	for {
		key, ok := p.text()
		if !ok || !p.take(':') || strings.HasPrefix(key, "$") || len(key) > MaxKey || len(m) == MaxItems {
			return nil, false
		}
		value, ok := p.value(depth)
		if !ok {
			return nil, false
		}
		if value != nil {
			m[key] = value
		} else {
			delete(m, key) // the last of the same keys counts
		}
		if !p.take(',') {
			return m, p.take('}')
		}
	}
}

func (p *plainParser) list(depth int) ([]any, bool) {
	if !p.take('[') || depth > plainDepth {
		return nil, false
	}
	if p.take(']') {
		return []any{}, true
	}
	list := make([]any, 0, 4)
	for {
		value, ok := p.value(depth)
		if !ok || len(list) == MaxItems {
			return nil, false
		}
		list = append(list, value)
		if !p.take(',') {
			return list, p.take(']')
		}
	}
}

func (p *plainParser) value(depth int) (any, bool) {
	if p.rest == "" {
		return nil, false
	}
	switch p.rest[0] {
	case '"':
		return boxed(p.text())
	case '{':
		return boxed(p.object(depth + 1))
	case '[':
		return boxed(p.list(depth + 1))
	case 't':
		return true, p.word("true")
	case 'f':
		return false, p.word("false")
	case 'n':
		return nil, p.word("null")
	}
	return boxed(p.integer())
}

func boxed[T any](value T, ok bool) (any, bool) { return value, ok }

// text reads a string of printable ASCII without escapes.
func (p *plainParser) text() (string, bool) {
	if !p.take('"') {
		return "", false
	}
	for i := range len(p.rest) {
		switch c := p.rest[i]; {
		case c == '"':
			text := p.rest[:i]
			p.rest = p.rest[i+1:]
			return text, true
		case c < ' ' || c > '~' || c == '\\':
			return "", false
		}
	}
	return "", false
}

func (p *plainParser) integer() (int64, bool) {
	digits := strings.TrimPrefix(p.rest, "-")
	n := 0
	for n < len(digits) && '0' <= digits[n] && digits[n] <= '9' {
		n++
	}
	if n == 0 || n > 1 && digits[0] == '0' {
		return 0, false
	}
	end := len(p.rest) - len(digits) + n
	i, err := strconv.ParseInt(p.rest[:end], 10, 64)
	p.rest = p.rest[end:] // what follows is no point or exponent, or is refused there
	return i, err == nil
}

func (p *plainParser) take(c byte) bool {
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *plainParser) word(w string) bool {
	rest, ok := strings.CutPrefix(p.rest, w)
	p.rest = rest
	return ok
}
