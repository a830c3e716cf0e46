package web

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/enoki-go/enoki"
)

// places are where parameters come from. They are also the names of the tags.
var places = []string{"path", "query", "header", "cookie"}

// param is a field of an input that does not come from the body.
type param struct {
	place, name string
	index       []int
	typ         reflect.Type // without a pointer
	pointer     bool
	list        bool // a list of values
	explode     bool // a comma is part of a value
	read        reader
	required    bool
	standard    []string // used if no value comes; nil means none
	schema      *Schema
	shape       *shape // nil if the type is the only rule
}

// A reader sets v to the value of a text. It returns the value as JSON, or what
// it expected.
type reader func(text string, v reflect.Value) (token []byte, fault string)

// location returns the place of the parameter in a fault.
func (p *param) location() string { return p.place + "." + p.name }

// set sets the field of an input from the texts that came.
func (p *param) set(texts []string, came bool, in reflect.Value) []FieldError {
	fault := func(text string) []FieldError { return []FieldError{{Location: p.location(), Message: text}} }
	switch {
	case !came && p.required:
		return fault("required " + p.place + " parameter is missing")
	case !came && p.standard == nil:
		return nil
	case !came:
		texts = p.standard
	case p.list:
		texts = p.split(texts)
	case len(texts) > 1:
		return fault(fmt.Sprintf("expected one value, got %d", len(texts)))
	}
	v := in.FieldByIndex(p.index)
	if p.pointer {
		v.Set(reflect.New(p.typ))
		v = v.Elem()
	}
	token, wrong := p.value(texts, v)
	if wrong != "" {
		return fault(wrong)
	}
	if p.shape == nil || p.shape.passes(token) {
		return nil
	}
	return p.shape.faults(token, p.location())
}

// value sets v to the value of the texts.
func (p *param) value(texts []string, v reflect.Value) (token []byte, fault string) {
	if !p.list {
		return p.read(texts[0], v)
	}
	v.Set(reflect.MakeSlice(p.typ, len(texts), len(texts)))
	token = []byte{'['}
	for i, text := range texts {
		item, fault := p.read(text, v.Index(i))
		if fault != "" {
			return nil, fmt.Sprintf("value %d: %s", i+1, fault)
		}
		if i > 0 {
			token = append(token, ',')
		}
		token = append(token, item...)
	}
	return append(token, ']'), ""
}

// split returns the values of a list. They may come in several texts. Without
// explode, one text may hold several values.
func (p *param) split(texts []string) []string {
	if p.explode {
		return texts
	}
	values := []string{}
	for _, text := range texts {
		for value := range strings.SplitSeq(text, ",") {
			if p.place == "header" {
				value = strings.Trim(value, " \t") // the space around an item is not part of it: RFC 9110, 5.6.1
			}
			if value != "" {
				values = append(values, value)
			}
		}
	}
	return values
}

// readerOf returns the reader for values of t. layout is that of a time.
func readerOf(t reflect.Type, layout string) (reader, bool) {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return timeReader(layout), true
	case t == reflect.TypeFor[time.Duration]():
		return readDuration, true
	case t == reflect.TypeFor[url.URL]():
		return readURL, true
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return readText, true
	case t.Kind() == reflect.Bool:
		return readBool, true
	case t.Kind() == reflect.String:
		return readString, true
	case t.Kind() == reflect.Float32, t.Kind() == reflect.Float64:
		return readFloat, true
	case isNumber(t) && t.Kind() >= reflect.Uint:
		return readUint, true
	case isNumber(t):
		return readInt, true
	}
	return nil, false
}

func readString(text string, v reflect.Value) ([]byte, string) {
	v.SetString(text)
	return quoted(text), ""
}

func quoted(text string) []byte {
	token, _ := json.Marshal(text) // a string always marshals
	return token
}

func readBool(text string, v reflect.Value) ([]byte, string) {
	b, err := strconv.ParseBool(text)
	if err != nil {
		return nil, "invalid boolean"
	}
	v.SetBool(b)
	return strconv.AppendBool(nil, b), ""
}

func readInt(text string, v reflect.Value) ([]byte, string) {
	n, err := strconv.ParseInt(text, 10, v.Type().Bits())
	if err != nil {
		return nil, numberFault(err, v.Type())
	}
	v.SetInt(n)
	return strconv.AppendInt(nil, n, 10), ""
}

func readUint(text string, v reflect.Value) ([]byte, string) {
	n, err := strconv.ParseUint(text, 10, v.Type().Bits())
	if err != nil {
		return nil, numberFault(err, v.Type())
	}
	v.SetUint(n)
	return strconv.AppendUint(nil, n, 10), ""
}

// decimal matches a number with a fraction. Go would also accept NaN and
// hexadecimal.
var decimal = regexp.MustCompile(`^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$`)

func readFloat(text string, v reflect.Value) ([]byte, string) {
	if !decimal.MatchString(text) {
		return nil, "invalid float"
	}
	f, err := strconv.ParseFloat(text, v.Type().Bits())
	if err != nil {
		return nil, numberFault(err, v.Type())
	}
	v.SetFloat(f)
	return strconv.AppendFloat(nil, f, 'g', -1, v.Type().Bits()), ""
}

func numberFault(err error, t reflect.Type) string {
	switch {
	case errors.Is(err, strconv.ErrRange):
		return "expected " + kindText(t)
	case t.Kind() == reflect.Float32, t.Kind() == reflect.Float64:
		return "invalid float"
	}
	return "invalid integer"
}

func timeReader(layout string) reader {
	return func(text string, v reflect.Value) ([]byte, string) {
		at, err := time.Parse(layout, text)
		if layout == http.TimeFormat {
			at, err = http.ParseTime(text)
		}
		if err != nil {
			return nil, "expected a time such as " + time.Date(2006, 1, 2, 15, 4, 5, 0, time.UTC).Format(layout)
		}
		v.Set(reflect.ValueOf(at))
		return quoted(text), ""
	}
}

func readDuration(text string, v reflect.Value) ([]byte, string) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return nil, "expected a duration such as 1m30s"
	}
	v.SetInt(int64(d))
	return quoted(text), ""
}

func readURL(text string, v reflect.Value) ([]byte, string) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, "expected a URL"
	}
	v.Set(reflect.ValueOf(*u))
	return quoted(text), ""
}

// readText lets a type read its own text. The type's error may repeat the
// value, so only a message for clients is shown.
func readText(text string, v reflect.Value) ([]byte, string) {
	err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text))
	if err == nil {
		return quoted(text), ""
	}
	var told *enoki.Error
	if errors.As(err, &told) && told.Message != "" && enoki.CodeOf(err).HTTPStatus() < http.StatusInternalServerError {
		return nil, told.Message
	}
	return nil, fmt.Sprintf("expected the text of a %s", strings.ToLower(v.Type().Name()))
}

// durationPattern matches what time.ParseDuration accepts.
const durationPattern = `^[+-]?(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$`

// newParam returns the parameter of a field. The field has a tag for place.
func (b *declaration) newParam(f reflect.StructField, place string) *param {
	tag := f.Tag.Get(place)
	name, options, _ := strings.Cut(tag, ",")
	p := &param{place: place, name: name, index: f.Index, typ: f.Type, required: place == "path" || f.Tag.Get("required") == "true"}
	p.explode = slices.Contains(strings.Split(options, ","), "explode")
	if p.pointer = f.Type.Kind() == reflect.Pointer; p.pointer {
		p.typ = f.Type.Elem()
	}
	layout := time.RFC3339
	if place == "header" {
		layout = http.TimeFormat
	}
	if own := f.Tag.Get("timeFormat"); own != "" {
		layout = own
	}
	element, known := p.typ, false
	if p.read, known = readerOf(p.typ, layout); !known && p.typ.Kind() == reflect.Slice && p.typ.Elem().Kind() != reflect.Uint8 {
		p.list, element = true, p.typ.Elem()
		p.read, known = readerOf(element, layout)
	}
	if !known {
		b.mistake(f.Name, "a %s parameter can't be a %s; use text, numbers, bool, time.Time, a type with UnmarshalText, or a slice of those", place, f.Type)
		return nil
	}
	p.schema = b.paramSchema(f, p, element)
	if p.schema == nil {
		return nil
	}
	if s := b.shapes.of(p.schema); !isFree(p.schema) {
		p.shape = s
	}
	b.setDefault(f, p)
	return p
}

// isFree reports whether every value of the type fits the schema.
func isFree(s *Schema) bool {
	if s.Type == huma.TypeArray {
		return s.MinItems == nil && s.MaxItems == nil && !s.UniqueItems && s.Items != nil && s.Items.Type != huma.TypeArray && isFree(s.Items)
	}
	return (s.Type == huma.TypeString || s.Type == huma.TypeInteger || s.Type == huma.TypeNumber || s.Type == huma.TypeBoolean) &&
		s.Minimum == nil && s.Maximum == nil && s.ExclusiveMinimum == nil && s.ExclusiveMaximum == nil && s.MultipleOf == nil &&
		s.MinLength == nil && s.MaxLength == nil && s.Pattern == "" && len(s.Enum) == 0 &&
		(s.Type != huma.TypeString || s.Format == "" && s.ContentEncoding == "") && s.Not == nil && s.AllOf == nil && s.AnyOf == nil && s.OneOf == nil
}

// paramSchema describes a parameter.
func (b *declaration) paramSchema(f reflect.StructField, p *param, element reflect.Type) *Schema {
	text := reflect.TypeFor[string]()
	f.Type = p.typ
	switch {
	case element == reflect.TypeFor[time.Duration](), element == reflect.TypeFor[url.URL]():
		f.Type = text
	case element != reflect.TypeFor[time.Time]() && !implements[huma.SchemaProvider](element) && reflect.PointerTo(element).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		f.Type = text // here its text counts, not its JSON form
	}
	if p.list && f.Type == text {
		f.Type = reflect.TypeFor[[]string]()
	}
	s := b.field(f, "default", "required")
	if s == nil {
		return nil
	}
	target := s
	if p.list {
		target = s.Items
	}
	switch {
	case element == reflect.TypeFor[time.Duration]() && target.Pattern == "":
		target.Pattern, target.PatternDescription = durationPattern, "a duration such as 1m30s"
	case element == reflect.TypeFor[url.URL]() && target.Format == "":
		target.Format = "uri-reference"
	case element == reflect.TypeFor[time.Time]() && f.Tag.Get("timeFormat") != "":
		target.Format = "" // readers of the document do not know Go's layouts
		switch f.Tag.Get("timeFormat") {
		case time.DateOnly:
			target.Format = "date"
		case time.TimeOnly:
			target.Format = "time"
		}
	}
	s.PrecomputeMessages()
	return s
}

// setDefault reads the default of a parameter as if a client had sent it.
func (b *declaration) setDefault(f reflect.StructField, p *param) {
	text, isSet := f.Tag.Lookup("default")
	if !isSet {
		return
	}
	if p.required {
		b.mistake(f.Name, "the default %q never applies: the parameter always comes", text)
		return
	}
	p.standard = []string{text}
	var items []any
	switch {
	case p.list && strings.HasPrefix(text, "[") && json.Unmarshal([]byte(text), &items) == nil:
		p.standard = []string{}
		for _, item := range items {
			p.standard = append(p.standard, fmt.Sprint(item))
		}
	case p.list:
		p.standard = p.split([]string{text})
	}
	v := reflect.New(p.typ).Elem()
	token, fault := p.value(p.standard, v)
	if fault == "" && p.shape != nil && !p.shape.passes(token) {
		fault = p.shape.faults(token, p.location())[0].Message
	}
	if fault != "" {
		b.mistake(f.Name, "the default %q is not valid: %s", text, fault)
		return
	}
	_ = json.Unmarshal(token, &p.schema.Default) // it was made as JSON
}
