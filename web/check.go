package web

import (
	"bytes"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/enoki-go/enoki/internal/quickjson"
)

// check reads a JSON value and reports whether it is sure that the value is
// valid. Huma checks a body by decoding it into maps, which costs more than
// all else of a request; what a check is sure of is spared that, and whatever
// it is not sure of goes to huma, which finds the words for what is wrong.
type check func(*quickjson.Scanner) bool

// checkOf returns the check of a schema, or nil when the schema says what a
// check can't look at.
func checkOf(r huma.Registry, s *Schema) check {
	c := checks{registry: r, made: map[*Schema]*check{}}
	f := c.of(s)
	if c.unknown {
		return nil
	}
	return f
}

// checks are those that are being made; types may be recursive.
type checks struct {
	registry huma.Registry
	made     map[*Schema]*check
	unknown  bool // something that checks know nothing of
}

func (c *checks) of(s *Schema) check {
	if s = c.schema(s); s == nil || !isOrdinary(s) {
		c.unknown = true
		return nil
	}
	if f, ok := c.made[s]; ok {
		return func(scan *quickjson.Scanner) bool { return (*f)(scan) }
	}
	f := new(check)
	c.made[s] = f
	*f = c.ofType(s)
	return *f
}

// schema returns the schema that s refers to, or s.
func (c *checks) schema(s *Schema) *Schema {
	for s != nil && s.Ref != "" {
		s = c.registry.SchemaFromRef(s.Ref)
	}
	return s
}

// isOrdinary reports whether the schema has only what checks look at.
func isOrdinary(s *Schema) bool {
	return s.AnyOf == nil && s.AllOf == nil && s.Not == nil && s.Discriminator == nil &&
		s.MultipleOf == nil && s.ContentEncoding == "" && !s.UniqueItems &&
		s.MinProperties == nil && s.MaxProperties == nil && len(s.DependentRequired) == 0 && !s.ReadOnly && !s.WriteOnly &&
		(s.OneOf == nil || s.Type == "") && (s.Type == huma.TypeString || len(s.Enum) == 0) &&
		(s.Type != huma.TypeString || s.Format == "")
}

func (c *checks) ofType(s *Schema) check {
	switch s.Type {
	case "":
		return c.choiceCheck(s.OneOf)
	case huma.TypeBoolean:
		return isBool
	case huma.TypeNumber, huma.TypeInteger:
		return numberCheck(s)
	case huma.TypeString:
		return c.stringCheck(s)
	case huma.TypeArray:
		return c.listCheck(s)
	case huma.TypeObject:
		return c.objectCheck(s)
	}
	c.unknown = true
	return nil
}

func isBool(scan *quickjson.Scanner) bool {
	text, ok := scan.Skip()
	return ok && (text[0] == 't' || text[0] == 'f')
}

// exactDigits is how many digits an integer may have to be exact as a float64,
// as which huma compares it.
const exactDigits = 15

func numberCheck(s *Schema) check {
	return func(scan *quickjson.Scanner) bool {
		text, ok := scan.Skip()
		if !ok || text[0] != '-' && (text[0] < '0' || text[0] > '9') {
			return false
		}
		if s.Type == huma.TypeInteger && (len(text) > exactDigits || bytes.ContainsAny(text, ".eE")) {
			return false
		}
		n, err := strconv.ParseFloat(string(text), 64)
		return err == nil &&
			(s.Minimum == nil || n >= *s.Minimum) && (s.ExclusiveMinimum == nil || n > *s.ExclusiveMinimum) &&
			(s.Maximum == nil || n <= *s.Maximum) && (s.ExclusiveMaximum == nil || n < *s.ExclusiveMaximum)
	}
}

func (c *checks) stringCheck(s *Schema) check {
	pattern, err := regexp.Compile(s.Pattern)
	c.unknown = c.unknown || err != nil
	return func(scan *quickjson.Scanner) bool {
		text, ok := scan.Skip()
		if !ok || text[0] != '"' || bytes.IndexByte(text, '\\') >= 0 || !utf8.Valid(text) {
			return false
		}
		text = text[1 : len(text)-1]
		return (s.MinLength == nil && s.MaxLength == nil || within(utf8.RuneCount(text), s.MinLength, s.MaxLength)) &&
			(s.Pattern == "" || pattern.Match(text)) &&
			(len(s.Enum) == 0 || slices.Contains(s.Enum, any(string(text))))
	}
}

func within(n int, least, most *int) bool {
	return (least == nil || n >= *least) && (most == nil || n <= *most)
}

func (c *checks) listCheck(s *Schema) check {
	item := c.of(s.Items)
	return func(scan *quickjson.Scanner) bool {
		n := 0
		ok := scan.List(func(int) bool {
			n++
			return item(scan)
		})
		return ok && within(n, s.MinItems, s.MaxItems)
	}
}

// choiceCheck is that of a schema which is one of several, all of different
// types, so that a value can fit one only: its first byte says which.
func (c *checks) choiceCheck(choices []*Schema) check {
	byType := map[string]check{}
	for _, s := range choices {
		f := c.of(s)
		if c.unknown {
			return nil
		}
		name := c.schema(s).Type
		if name == huma.TypeInteger {
			name = huma.TypeNumber
		}
		c.unknown = name == "" || byType[name] != nil
		byType[name] = f
	}
	c.unknown = c.unknown || len(choices) == 0
	return func(scan *quickjson.Scanner) bool {
		f := byType[typeOf(scan.Peek())]
		return f != nil && f(scan)
	}
}

// typeOf returns the type of a value that begins so, or "".
func typeOf(first byte) string {
	switch {
	case first == '"':
		return huma.TypeString
	case first == '{':
		return huma.TypeObject
	case first == '[':
		return huma.TypeArray
	case first == 't', first == 'f':
		return huma.TypeBoolean
	case first == '-', '0' <= first && first <= '9':
		return huma.TypeNumber
	}
	return ""
}

// property is one that an object may have.
type property struct {
	name  string
	check check
}

// maxProperties is how many bits there are to tell which have been seen.
const maxProperties = 64

func (c *checks) objectCheck(s *Schema) check {
	closed, isBool := s.AdditionalProperties.(bool)
	if s.AdditionalProperties != nil && !isBool || len(s.Properties) > maxProperties {
		c.unknown = true
		return nil
	}
	var properties []property
	var required uint64
	at := map[string]int{}
	for name, p := range s.Properties {
		at[name] = len(properties)
		properties = append(properties, property{name, c.of(p)})
	}
	for _, name := range s.Required {
		i, known := at[name]
		if !known {
			c.unknown = true
			return nil
		}
		required |= 1 << i
	}
	open := !isBool || closed
	return func(scan *quickjson.Scanner) bool {
		var seen uint64
		ok := scan.Object(func(key []byte) bool {
			i, known := at[string(key)]
			if !known {
				return open && other(properties, key) && skip(scan)
			}
			if seen&(1<<i) != 0 {
				return false // the last one counts
			}
			seen |= 1 << i
			return properties[i].check(scan)
		})
		return ok && seen&required == required
	}
}

// other reports whether the key is none of the properties in another case,
// which huma and encoding/json take for them.
func other(properties []property, key []byte) bool {
	for _, p := range properties {
		if strings.EqualFold(p.name, string(key)) {
			return false
		}
	}
	return true
}

func skip(scan *quickjson.Scanner) bool {
	_, ok := scan.Skip()
	return ok
}

// largestChecked is how many bytes of a body are read before huma reads it.
const largestChecked = 64 << 10

// passes reads the body of a request and reports whether the check is sure of
// it. Huma can read it again.
func (c check) passes(req *http.Request) bool {
	if c == nil || req.ContentLength <= 0 || req.ContentLength > largestChecked || !isPlainJSON(req) {
		return false
	}
	body := make([]byte, req.ContentLength)
	n, err := io.ReadFull(req.Body, body)
	if err == nil {
		err = io.EOF
	}
	seen := &seenBody{rest: req.Body, err: err}
	seen.text.Reset(body[:n])
	req.Body = seen
	return err == io.EOF && quickjson.Scan(body, c)
}

func isPlainJSON(req *http.Request) bool {
	types := req.Header["Content-Type"]
	return len(types) == 1 && types[0] == jsonType
}

// seenBody is a body that was read: its text, and then how reading ended.
type seenBody struct {
	text bytes.Reader
	err  error
	rest io.Closer
}

func (b *seenBody) Read(p []byte) (int, error) {
	if b.text.Len() > 0 {
		return b.text.Read(p)
	}
	return 0, b.err
}

func (b *seenBody) Close() error { return b.rest.Close() }
