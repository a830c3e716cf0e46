package web

import (
	"github.com/enoki-go/enoki/internal/quickjson"
)

// defaults says which shapes have defaults below them.
type defaults map[*shape]bool

// in reports whether a value of the shape may lack something that has a
// default.
func (d defaults) in(s *shape) bool {
	if found, known := d[s]; known || s == nil {
		return found
	}
	d[s] = false // meanwhile, because types may be recursive
	found := d.in(s.items) || d.in(s.others) || d.in(s.beside)
	for _, m := range s.members {
		found = d.in(m.shape) || m.standard != nil || found
	}
	d[s] = found
	return found
}

// complete returns text with the defaults of everything that was left out. text
// fits the shape. This is done in the text, because after decoding a zero that
// was sent looks like nothing.
func (s *shape) complete(text []byte) []byte {
	out := make([]byte, 0, len(text)+64)
	if !quickjson.ScanPlain(text, func(scan *quickjson.Scanner) bool { return s.appendTo(&out, scan) }) {
		return text // impossible: it was read before
	}
	return out
}

func (s *shape) appendTo(out *[]byte, scan *quickjson.Scanner) bool {
	switch first := scan.Peek(); {
	case s.beside != nil:
		return s.beside.appendTo(out, scan)
	case first == '[' && s.items != nil:
		return s.appendList(out, scan)
	case first == '{' && (len(s.members) > 0 || s.others != nil):
		return s.appendObject(out, scan)
	}
	text, ok := scan.Skip()
	*out = append(*out, text...)
	return ok
}

func (s *shape) appendList(out *[]byte, scan *quickjson.Scanner) bool {
	*out = append(*out, '[')
	ok := scan.List(func(i int) bool {
		if i > 0 {
			*out = append(*out, ',')
		}
		return s.items.appendTo(out, scan)
	})
	*out = append(*out, ']')
	return ok
}

func (s *shape) appendObject(out *[]byte, scan *quickjson.Scanner) bool {
	*out = append(*out, '{')
	separator := ""
	begin := func(key []byte) {
		*out = append(*out, separator...)
		*out = append(appendKey(*out, key), ':')
		separator = ","
	}
	var seen keys
	ok := scan.Object(func(key []byte) bool {
		i, known := s.at[string(key)]
		if !known {
			begin(key)
			return s.others.appendTo(out, scan)
		}
		if s.members[i].standard != nil && scan.Peek() == 'n' {
			return scan.Null() // it counts as left out
		}
		seen.add(i, len(s.members))
		begin(key)
		return s.members[i].shape.appendTo(out, scan)
	})
	for i, m := range s.members {
		if m.standard != nil && !seen.has(i) {
			begin([]byte(m.name))
			*out = append(*out, m.standard...)
		}
	}
	*out = append(*out, '}')
	return ok
}
