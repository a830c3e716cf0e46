package web

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// tagTypes are the tags that apply to values of one type only.
var tagTypes = []struct{ tag, typ string }{
	{"minimum", huma.TypeNumber}, {"maximum", huma.TypeNumber}, {"exclusiveMinimum", huma.TypeNumber},
	{"exclusiveMaximum", huma.TypeNumber}, {"multipleOf", huma.TypeNumber},
	{"minLength", huma.TypeString}, {"maxLength", huma.TypeString}, {"pattern", huma.TypeString},
	{"minItems", huma.TypeArray}, {"maxItems", huma.TypeArray}, {"uniqueItems", huma.TypeArray},
	{"minProperties", huma.TypeObject}, {"maxProperties", huma.TypeObject},
}

// schemaTags are the tags that describe a value, in a parameter or within a
// body.
var schemaTags = []string{
	"json", "required", "default", "nullable", "enum", "doc", "example", "format", "encoding", "hidden", "sensitive",
	"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern", "patternDescription",
	"minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties", "readOnly", "writeOnly", "deprecated",
	"dependentRequired", "additionalProperties", "nameHint", "timeFormat", "contentType",
}

// fieldTags are the tags of the fields of an input or an output.
var fieldTags = slices.Concat(places, []string{"form"}, schemaTags)

// ofField returns the schema of a field's type, with what the field's tags say.
// It notes mistakes in the tags under where.
func (r *schemas) ofField(f reflect.StructField, where, hint string) (s *Schema) {
	defer func() {
		if p := recover(); p != nil { // huma refuses a tag with a panic
			r.mistake(where, "%v", p)
			s = &Schema{}
		}
	}()
	standard, hasDefault := f.Tag.Lookup("default")
	null := f.Tag.Get("nullable")
	for _, ours := range []string{"nullable", "default"} { // huma knows less of these
		f.Tag = reflect.StructTag(strings.ReplaceAll(string(f.Tag), ours+`:"`, "-"+ours+`:"`))
	}
	s = huma.SchemaFromField(r, f, hint)
	r.checkTags(f, s, where)
	switch {
	case null == "true", null != "false" && s.Nullable:
		s = nullable(s)
	case null == "false":
		s.Nullable = false
	}
	if hasDefault {
		s.Default = r.defaultOf(s, standard, where)
	}
	r.later = append(r.later, func() { r.checkValues(f.Type, s, where) })
	return s
}

// mistake notes what is wrong with a field.
func (r *schemas) mistake(where, format string, a ...any) {
	r.mistakes.add("field "+where+": "+format, a...)
}

// real returns the schema that s means, without null.
func (r *schemas) real(s *Schema) *Schema {
	if beside := maybe(s); beside != nil {
		s = beside
	}
	for s.Ref != "" {
		if s = r.SchemaFromRef(s.Ref); s == nil {
			return &Schema{}
		}
	}
	return s
}

// checkTags notes tags that do not apply to values of the type.
func (r *schemas) checkTags(f reflect.StructField, s *Schema, where string) {
	s = r.real(s)
	items := s
	if s.Type == huma.TypeArray && s.Items != nil {
		items = r.real(s.Items)
	}
	for _, known := range tagTypes {
		value := f.Tag.Get(known.tag)
		if value == "" {
			continue
		}
		typ := items.Type // huma applies the tags to them
		if known.typ == huma.TypeArray || known.typ == huma.TypeObject {
			typ = s.Type
		}
		if typ == huma.TypeInteger {
			typ = huma.TypeNumber
		}
		if typ != "" && typ != known.typ {
			r.mistake(where, "the tag %s:%q is for a %s, but the field is a %s in JSON", known.tag, value, known.typ, typ)
		}
	}
	switch {
	case items.Minimum != nil && items.Maximum != nil && *items.Minimum > *items.Maximum:
		r.mistake(where, "no number is at least %v and at most %v", *items.Minimum, *items.Maximum)
	case items.MinLength != nil && items.MaxLength != nil && *items.MinLength > *items.MaxLength:
		r.mistake(where, "no text is at least %d and at most %d long", *items.MinLength, *items.MaxLength)
	case s.MinItems != nil && s.MaxItems != nil && *s.MinItems > *s.MaxItems:
		r.mistake(where, "no list has at least %d and at most %d items", *s.MinItems, *s.MaxItems)
	}
}

// defaultOf returns the default that a tag means.
func (r *schemas) defaultOf(s *Schema, text, where string) any {
	real := r.real(s)
	if real.Type == huma.TypeString {
		return text
	}
	var value any
	if err := json.Unmarshal([]byte(text), &value); err == nil {
		return value
	}
	if real.Type == huma.TypeArray && real.Items != nil && r.real(real.Items).Type == huma.TypeString {
		items := []any{}
		for item := range strings.SplitSeq(text, ",") {
			items = append(items, strings.TrimSpace(item))
		}
		return items
	}
	r.mistake(where, "the default %q is no JSON", text)
	return nil
}

// checkValues checks the values in tags against the schema, once all schemas
// exist.
func (r *schemas) checkValues(t reflect.Type, s *Schema, where string) {
	whole := newShapes(r).of(s)
	check := func(tag string, value any) {
		if text, err := json.Marshal(value); err != nil || !whole.passes(text) {
			reason := "it does not fit the field"
			if faults := whole.faults(text, where); len(faults) > 0 {
				reason = faults[0].Message
			}
			r.mistake(where, "the tag %s has %s, which is not valid: %s", tag, short(text), reason)
		} else if tag == "default" && unmarshal(text, reflect.New(t).Elem()) != nil {
			r.mistake(where, "the tag default has %s, which a %s can't be", short(text), t)
		}
	}
	if s.Default != nil {
		check("default", s.Default)
	}
	for _, example := range s.Examples {
		check("example", example)
	}
	for _, one := range s.Enum {
		check("enum", one)
	}
}

func short(text []byte) string { return fmt.Sprintf("%.80s", text) }

// settle runs what waited for all schemas, and returns the mistakes.
func (r *schemas) settle() mistakes {
	for len(r.later) > 0 {
		check := r.later[0]
		r.later = r.later[1:]
		check()
	}
	found := r.mistakes
	r.mistakes = nil
	return found
}
