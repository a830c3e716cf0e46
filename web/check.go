package web

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/enoki-go/enoki/internal/quickjson"
)

// shape is a schema that is ready to check JSON. It reads the text itself, so
// that nothing is lost before the check. A key that comes twice is refused, and
// a key in another case is another key. A shape may be used concurrently.
type shape struct {
	schema  *Schema // for huma's messages
	typ     string  // "" accepts every type
	null    bool
	beside  *shape // accepts that or null; nothing else is set then
	pattern *regexp.Regexp
	enum    []any // as encoding/json decodes them

	members    []shapeMember
	at         map[string]int // the index in members, by key
	open       bool           // other keys are allowed
	others     *shape         // the shape of the values of other keys
	dependents map[string][]string

	items *shape

	all, any, one []*shape
	not           *shape
}

// shapeMember is a property of an object.
type shapeMember struct {
	name     string
	shape    *shape
	required bool
	standard []byte // the default as JSON, or nil
}

// anything accepts every value, but refuses keys that come twice.
var anything = &shape{null: true, open: true}

// shapes are the shapes under construction. They are kept because types may be
// recursive.
type shapes struct {
	registry huma.Registry
	made     map[*Schema]*shape
}

func newShapes(r huma.Registry) *shapes { return &shapes{registry: r, made: map[*Schema]*shape{}} }

// of returns the shape of a schema.
func (b *shapes) of(s *Schema) *shape {
	for s != nil && s.Ref != "" {
		s = b.registry.SchemaFromRef(s.Ref)
	}
	if s == nil {
		return anything // additional properties without a schema, or a foreign reference
	}
	if made := b.made[s]; made != nil {
		return made
	}
	out := new(shape)
	b.made[s] = out
	b.fill(out, s)
	return out
}

func (b *shapes) fill(out *shape, s *Schema) {
	if real := maybe(s); real != nil {
		out.beside = b.of(real)
		return
	}
	isFree := s.Type == "" && s.OneOf == nil && s.AnyOf == nil && s.AllOf == nil && s.Not == nil
	*out = shape{schema: s, typ: s.Type, null: s.Nullable || s.Type == typeNull || isFree}
	if s.Pattern != "" {
		out.pattern = regexp.MustCompile(s.Pattern)
	}
	for _, value := range s.Enum {
		out.enum = append(out.enum, plain(value))
	}
	out.all, out.any, out.one = b.each(s.AllOf), b.each(s.AnyOf), b.each(s.OneOf)
	if s.Not != nil {
		out.not = b.of(s.Not)
	}
	out.items = b.of(s.Items)
	b.fillObject(out, s)
}

func (b *shapes) fillObject(out *shape, s *Schema) {
	out.dependents, out.at = s.DependentRequired, map[string]int{}
	for name, p := range s.Properties {
		required := slices.Contains(s.Required, name) && !p.ReadOnly
		out.members = append(out.members, shapeMember{name, b.of(p), required, defaultOf(p)})
	}
	slices.SortFunc(out.members, func(x, y shapeMember) int { return strings.Compare(x.name, y.name) })
	for i, m := range out.members {
		out.at[m.name] = i
	}
	switch others := s.AdditionalProperties.(type) {
	case nil:
		out.open, out.others = true, anything
	case bool:
		out.open, out.others = others, anything
	case *Schema:
		out.open, out.others = true, b.of(others)
	}
}

func (b *shapes) each(list []*Schema) []*shape {
	var out []*shape
	for _, s := range list {
		out = append(out, b.of(s))
	}
	return out
}

// maybe returns the other schema if s accepts one schema or null.
func maybe(s *Schema) *Schema {
	if s.Type == "" && len(s.AnyOf) == 2 && s.AnyOf[1].Type == typeNull && s.OneOf == nil && s.AllOf == nil && s.Not == nil && s.Enum == nil {
		return s.AnyOf[0]
	}
	return nil
}

// plain returns a value in the form in which encoding/json decodes it.
func plain(value any) any {
	text, err := json.Marshal(value)
	if err != nil || json.Unmarshal(text, &value) != nil {
		return value
	}
	return value
}

func defaultOf(s *Schema) []byte {
	if s.Default == nil {
		return nil
	}
	text, err := json.Marshal(s.Default)
	if err != nil {
		return nil // declarations were checked before
	}
	return text
}

// visit is the check of one text. If nobody wants the faults, it ends at the
// first one.
type visit struct {
	*quickjson.Scanner
	path   []byte
	faults *[]FieldError
}

// maxFaults is how many faults of a request the response lists. A response must
// not be much larger than its request.
const maxFaults = 20

// passes reports whether text is JSON that fits.
func (s *shape) passes(text []byte) bool {
	return quickjson.ScanPlain(text, func(scan *quickjson.Scanner) bool {
		v := visit{Scanner: scan}
		return s.visit(&v)
	})
}

// faults returns what is wrong with text, which is JSON and lies at location.
func (s *shape) faults(text []byte, location string) []FieldError {
	var faults []FieldError
	quickjson.ScanPlain(text, func(scan *quickjson.Scanner) bool {
		v := visit{Scanner: scan, path: []byte(location), faults: &faults}
		return s.visit(&v)
	})
	return faults
}

// fault notes a fault at the present place and reports whether to go on.
func (v *visit) fault(format string, a ...any) bool {
	if v.faults == nil || len(*v.faults) == maxFaults {
		return false
	}
	if len(a) > 0 {
		format = fmt.Sprintf(format, a...)
	}
	location := v.path
	if len(location) > longestLocation {
		location = append(bytes.ToValidUTF8(location[:longestLocation], nil), "…"...)
	}
	*v.faults = append(*v.faults, FieldError{Location: string(location), Message: format})
	return true
}

// skipFault is fault for a value that was not read yet.
func (v *visit) skipFault(format string, a ...any) bool { return v.fault(format, a...) && v.skip() }

func (v *visit) skip() bool {
	_, ok := v.Skip()
	return ok
}

// visit reads a value.
func (s *shape) visit(v *visit) bool {
	if s.beside != nil {
		return v.Null() || s.beside.visit(v)
	}
	if s.all != nil || s.any != nil || s.one != nil || s.not != nil || len(s.enum) > 0 && s.typ != huma.TypeString {
		return s.visitChoice(v)
	}
	return s.visitType(v)
}

func (s *shape) visitType(v *visit) bool {
	kind := kindOf(v.Peek())
	switch {
	case kind == typeNull && s.null:
		return v.Null()
	case kind == "":
		return false // not JSON
	case s.typ == "":
	case s.typ == huma.TypeInteger && kind == huma.TypeNumber:
	case s.typ != kind:
		return v.skipFault("expected %s", s.typ)
	}
	switch kind {
	case huma.TypeNumber:
		return s.visitNumber(v)
	case huma.TypeString:
		return s.visitString(v)
	case huma.TypeArray:
		return s.visitList(v)
	case huma.TypeObject:
		return s.visitObject(v)
	}
	return v.skip()
}

// kindOf returns the type of a value that begins with first, or "".
func kindOf(first byte) string {
	switch {
	case first == '"':
		return huma.TypeString
	case first == '{':
		return huma.TypeObject
	case first == '[':
		return huma.TypeArray
	case first == 't', first == 'f':
		return huma.TypeBoolean
	case first == 'n':
		return typeNull
	case first == '-', '0' <= first && first <= '9':
		return huma.TypeNumber
	}
	return ""
}

// exactDigits is the length up to which a number is exact as a float64.
const exactDigits = 15

// longestExact is the length in bytes up to which a number is computed exactly.
const longestExact = 40

func (s *shape) visitNumber(v *visit) bool {
	text, ok := v.Skip()
	if !ok {
		return false
	}
	n, err := strconv.ParseFloat(string(text), 64)
	switch {
	case err != nil:
		return v.fault("expected number of 64 bits")
	case s.schema == nil:
		return true
	case s.typ == huma.TypeInteger && n != math.Trunc(n):
		return v.fault("expected integer")
	case s.typ == huma.TypeInteger && !inBits(text, n, s.schema.Format):
		return v.fault("expected integer of 64 bits, which number %.40s is not", text)
	}
	limits := s.schema
	compare := func(limit *float64) int { return compareNumber(text, n, *limit) }
	switch {
	case limits.Minimum != nil && compare(limits.Minimum) < 0:
		return v.fault("expected number >= %v", *limits.Minimum)
	case limits.Maximum != nil && compare(limits.Maximum) > 0:
		return v.fault("expected number <= %v", *limits.Maximum)
	case limits.ExclusiveMinimum != nil && compare(limits.ExclusiveMinimum) <= 0:
		return v.fault("expected number > %v", *limits.ExclusiveMinimum)
	case limits.ExclusiveMaximum != nil && compare(limits.ExclusiveMaximum) >= 0:
		return v.fault("expected number < %v", *limits.ExclusiveMaximum)
	case limits.MultipleOf != nil && !isMultiple(text, n, *limits.MultipleOf):
		return v.fault("expected number to be a multiple of %v", *limits.MultipleOf)
	}
	return true
}

// inBits reports whether an integer fits into 64 bits, if the format requires
// it. For smaller integers the schema has limits.
func inBits(text []byte, n float64, format string) bool {
	switch format {
	case "int64":
		return compareNumber(text, n, -1<<63) >= 0 && compareNumber(text, n, 1<<63) < 0
	case "uint64":
		return compareNumber(text, n, 1<<64) < 0
	}
	return true
}

// compareNumber compares the number in text with limit. n is text as a float64,
// which may be inexact.
func compareNumber(text []byte, n, limit float64) int {
	if len(text) > exactDigits && len(text) <= longestExact && n != 0 {
		if exact, ok := new(big.Rat).SetString(string(text)); ok {
			return exact.Cmp(new(big.Rat).SetFloat64(limit))
		}
	}
	switch {
	case n < limit:
		return -1
	case n > limit:
		return 1
	}
	return 0
}

// isMultiple computes with decimal fractions, as people do: 0.3 is a multiple
// of 0.1.
func isMultiple(text []byte, n, of float64) bool {
	if n == 0 {
		return true
	}
	unit, ok := new(big.Rat).SetString(strconv.FormatFloat(of, 'g', -1, 64))
	if !ok || unit.Sign() == 0 || len(text) > longestExact {
		return math.Mod(n, of) == 0
	}
	exact, ok := new(big.Rat).SetString(string(text))
	return ok && exact.Quo(exact, unit).IsInt()
}

func (s *shape) visitString(v *visit) bool {
	text, ok := v.Skip()
	if !ok {
		return false
	}
	limits := s.schema
	if limits == nil || limits.MinLength == nil && limits.MaxLength == nil && s.pattern == nil && limits.Format == "" &&
		limits.ContentEncoding == "" && len(s.enum) == 0 {
		return true
	}
	if bytes.IndexByte(text, '\\') >= 0 {
		var plain string
		if json.Unmarshal(text, &plain) != nil {
			return false
		}
		text = []byte(plain)
	} else {
		text = text[1 : len(text)-1]
	}
	switch {
	case limits.MinLength != nil && utf8.RuneCount(text) < *limits.MinLength:
		return v.fault("expected length >= %d", *limits.MinLength)
	case limits.MaxLength != nil && utf8.RuneCount(text) > *limits.MaxLength:
		return v.fault("expected length <= %d", *limits.MaxLength)
	case s.pattern != nil && !s.pattern.Match(text):
		if limits.PatternDescription != "" {
			return v.fault("expected string to be %s", limits.PatternDescription)
		}
		return v.fault("expected string to match pattern %s", limits.Pattern)
	case len(s.enum) > 0 && !slices.ContainsFunc(s.enum, func(one any) bool { known, _ := one.(string); return one != nil && known == string(text) }):
		return v.fault("%s", s.choices())
	case limits.Format != "" || limits.ContentEncoding != "":
		return s.visitFormat(v, string(text))
	}
	return true
}

func (s *shape) choices() string {
	words := make([]string, 0, len(s.enum))
	for _, one := range s.enum {
		if one != nil {
			words = append(words, fmt.Sprint(one))
		}
	}
	return fmt.Sprintf("expected value to be one of \"%s\"", strings.Join(words, ", "))
}

// visitFormat lets huma check the format of a string.
func (s *shape) visitFormat(v *visit, text string) bool {
	if s.schema.ContentEncoding == "base64" {
		if _, err := base64.StdEncoding.DecodeString(text); err != nil {
			return v.fault("expected string to be base64 encoded")
		}
	}
	var result huma.ValidateResult
	format := Schema{Type: huma.TypeString, Format: s.schema.Format}
	huma.Validate(nil, &format, huma.NewPathBuffer(nil, 0), huma.ModeWriteToServer, text, &result)
	if len(result.Errors) == 0 {
		return true
	}
	var detail *huma.ErrorDetail
	detail, _ = result.Errors[0].(*huma.ErrorDetail)
	message, _, _ := strings.Cut(detail.Message, ": ") // the rest repeats the value
	return v.fault("%s", message)
}

func (s *shape) visitList(v *visit) bool {
	items := s.items
	if items == nil {
		items = anything
	}
	before, n := len(v.path), 0
	unique := map[string]bool(nil)
	if s.schema != nil && s.schema.UniqueItems {
		unique = map[string]bool{}
	}
	repeated := false
	ok := v.List(func(i int) bool {
		n++
		if v.faults != nil {
			v.path = append(strconv.AppendInt(append(v.path[:before], '['), int64(i), 10), ']')
		}
		if unique == nil {
			return items.visit(v)
		}
		return items.visitText(v, func(text []byte) {
			key := canonical(text)
			repeated = repeated || unique[key]
			unique[key] = true
		})
	})
	v.path = v.path[:before]
	switch {
	case !ok:
		return false
	case s.schema == nil:
		return true
	case s.schema.MinItems != nil && n < *s.schema.MinItems:
		return v.fault("expected array length >= %d", *s.schema.MinItems)
	case s.schema.MaxItems != nil && n > *s.schema.MaxItems:
		return v.fault("expected array length <= %d", *s.schema.MaxItems)
	case repeated:
		return v.fault("expected array items to be unique")
	}
	return true
}

// visitText reads a value and gives its text to see.
func (s *shape) visitText(v *visit, see func(text []byte)) bool {
	text, ok := v.Skip()
	if !ok {
		return false
	}
	see(text)
	return s.visitAgain(v, text)
}

// visitAgain visits a text that was read before.
func (s *shape) visitAgain(v *visit, text []byte) bool {
	return quickjson.ScanPlain(text, func(scan *quickjson.Scanner) bool {
		return s.visit(&visit{Scanner: scan, path: v.path, faults: v.faults})
	})
}

// canonical returns the same text for equal values.
func canonical(text []byte) string {
	var value any
	if json.Unmarshal(text, &value) != nil {
		return string(text)
	}
	same, _ := json.Marshal(value) // it was JSON before
	return string(same)
}

// visitChoice reads a value that must also fit other schemas, or that must be
// one of several values.
func (s *shape) visitChoice(v *visit) bool {
	text, ok := v.Skip()
	if !ok {
		return false
	}
	if s.null && string(text) == "null" {
		return true
	}
	for _, each := range s.all {
		if !each.visitAgain(v, text) {
			return false
		}
	}
	fit := func(list []*shape) (n int) {
		for _, each := range list {
			if each.passes(text) {
				n++
			}
		}
		return n
	}
	matches := fit(s.one)
	switch {
	case s.one != nil && matches == 0:
		return v.fault("expected value to match exactly one schema but matched none")
	case matches > 1:
		return v.fault("expected value to match exactly one schema but matched multiple")
	case s.any != nil && fit(s.any) == 0:
		return v.fault("expected value to match at least one schema but matched none")
	case s.not != nil && s.not.passes(text):
		return v.fault("expected value to not match schema")
	case len(s.enum) > 0 && !s.isOneOf(text):
		return v.fault("%s", s.choices())
	}
	own := *s
	own.all, own.any, own.one, own.not, own.enum = nil, nil, nil, nil, nil
	return own.visitAgain(v, text)
}

func (s *shape) isOneOf(text []byte) bool {
	var value any
	if json.Unmarshal(text, &value) != nil {
		return false
	}
	return slices.ContainsFunc(s.enum, func(one any) bool { return reflect.DeepEqual(one, value) })
}

// keys are the keys of an object that have come. Members are bits, others are
// names.
type keys struct {
	few    uint64
	more   []bool // for members beyond the first 64
	others map[string]bool
}

// add notes a member and reports whether it is new.
func (k *keys) add(i, of int) bool {
	if i < 64 {
		seen := k.few&(1<<i) != 0
		k.few |= 1 << i
		return !seen
	}
	if k.more == nil {
		k.more = make([]bool, of-64)
	}
	seen := k.more[i-64]
	k.more[i-64] = true
	return !seen
}

func (k *keys) has(i int) bool {
	if i < 64 {
		return k.few&(1<<i) != 0
	}
	return k.more != nil && k.more[i-64]
}

func (k *keys) addOther(key string) bool {
	if k.others == nil {
		k.others = map[string]bool{}
	}
	seen := k.others[key]
	k.others[key] = true
	return !seen
}

func (s *shape) visitObject(v *visit) bool {
	var seen keys
	before, n := len(v.path), 0
	ok := v.Object(func(key []byte) bool {
		n++
		if v.faults != nil {
			v.path = append(append(v.path[:before], '.'), bytes.ToValidUTF8(key[:min(len(key), longestKey)], nil)...)
		}
		i, known := s.at[string(key)]
		switch {
		case known && !seen.add(i, len(s.members)), !known && s.open && !seen.addOther(string(key)):
			return v.skipFault("is there twice")
		case known:
			return s.members[i].shape.visit(v)
		case s.open && s.others != nil:
			return s.others.visit(v)
		case s.open:
			return anything.visit(v)
		}
		return v.skipFault("%s", s.unexpected(string(key)))
	})
	v.path = v.path[:before]
	return ok && s.isWhole(v, &seen) && s.isRight(v, n)
}

// How many bytes of a foreign key, and of its place, a response repeats.
const (
	longestKey      = 100
	longestLocation = 300
)

// unexpected returns the fault of an unknown key. It suggests a similar key.
func (s *shape) unexpected(key string) string {
	for _, m := range s.members {
		if strings.EqualFold(m.name, key) {
			return "unexpected property; it is written " + m.name
		}
	}
	return "unexpected property"
}

// isWhole notes the required members that have not come.
func (s *shape) isWhole(v *visit, seen *keys) bool {
	for i, m := range s.members {
		if m.required && !seen.has(i) && !v.faultAt(m.name, "expected required property %s to be present", m.name) {
			return false
		}
		for _, other := range s.dependents[m.name] {
			if j, known := s.at[other]; known && seen.has(i) && !seen.has(j) &&
				!v.faultAt(other, "expected property %s to be present when %s is present", other, m.name) {
				return false
			}
		}
	}
	return true
}

// faultAt is fault for a member of the present object.
func (v *visit) faultAt(name, format string, a ...any) bool {
	before := len(v.path)
	defer func() { v.path = v.path[:before] }()
	v.path = append(append(v.path, '.'), name...)
	return v.fault(format, a...)
}

func (s *shape) isRight(v *visit, n int) bool {
	switch {
	case s.schema == nil:
	case s.schema.MinProperties != nil && n < *s.schema.MinProperties:
		return v.fault("expected object with at least %d properties", *s.schema.MinProperties)
	case s.schema.MaxProperties != nil && n > *s.schema.MaxProperties:
		return v.fault("expected object with at most %d properties", *s.schema.MaxProperties)
	}
	return true
}
