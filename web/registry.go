package web

import (
	"cmp"
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// schemas is the Registry of an API. It makes the schema of each type. The
// OpenAPI document shows it, and requests are checked against it. It adds to
// huma's schemas what encoding/json does with a type.
type schemas struct {
	byName map[string]*Schema
	types  map[string]reflect.Type
	names  map[reflect.Type]string // names of structs

	mistakes mistakes // in tags
	later    []func() // checks that run once all schemas exist
}

const schemaPrefix = "#/components/schemas/"

func newSchemas() *schemas {
	return &schemas{byName: map[string]*Schema{}, types: map[string]reflect.Type{}, names: map[reflect.Type]string{}}
}

// Schema returns the schema of a type. For a struct it is a reference if
// allowRef is true. hint names a type without a name.
func (r *schemas) Schema(t reflect.Type, allowRef bool, hint string) *Schema {
	isPointer := t.Kind() == reflect.Pointer
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	s := r.schema(t, allowRef, hint)
	if isPointer {
		return nullable(s)
	}
	return s
}

// nullable returns a schema that accepts null and what s accepts.
func nullable(s *Schema) *Schema {
	if maybe(s) != nil {
		return s
	}
	own := *s // a type's Schema method may return the same one each time
	s = &own
	switch {
	case s.Type == "" && s.Ref == "" && s.OneOf == nil && s.AnyOf == nil && s.AllOf == nil && s.Not == nil:
		return s // it accepts everything
	case s.Type == "":
		return &Schema{AnyOf: []*Schema{s, {Type: typeNull}}, Description: s.Description, Default: s.Default}
	case len(s.Enum) > 0 && !slices.Contains(s.Enum, nil):
		s.Enum = append(slices.Clone(s.Enum), nil)
	}
	s.Nullable = true
	return s
}

const typeNull = "null"

func (r *schemas) schema(t reflect.Type, allowRef bool, hint string) *Schema {
	switch {
	case t == reflect.TypeFor[huma.ErrorModel]():
		return r.schema(reflect.TypeFor[Problem](), allowRef, hint)
	case implements[huma.SchemaProvider](t), t == reflect.TypeFor[time.Time](), t == reflect.TypeFor[json.RawMessage]():
		return huma.SchemaFromType(r, t)
	case t == reflect.TypeFor[url.URL]():
		return &Schema{Type: huma.TypeString, Format: "uri-reference"}
	case t == reflect.TypeFor[json.Number]():
		return &Schema{Type: huma.TypeNumber}
	case t == reflect.TypeFor[net.IP](), t == reflect.TypeFor[netip.Addr]():
		return &Schema{Type: huma.TypeString, Format: "ip"}
	case implements[json.Marshaler](t), implements[json.Unmarshaler](t):
		return transformed(r, t, &Schema{}) // it has its own JSON form
	case implements[encoding.TextMarshaler](t), implements[encoding.TextUnmarshaler](t):
		return transformed(r, t, &Schema{Type: huma.TypeString})
	case t.Kind() == reflect.Struct:
		return r.ofStruct(t, allowRef, hint)
	}
	s := huma.SchemaFromType(r, t)
	switch {
	case s == nil:
		return &Schema{} // the check of declarations reports it
	case s.Type == huma.TypeArray:
		s.Nullable = false // a nil list is written as []
	case s.Type == huma.TypeInteger:
		bound(s, t)
	case t.Kind() == reflect.Map && isNumber(t.Key()) && !speaks(t.Key()):
		s.Extensions = map[string]any{"propertyNames": &Schema{Pattern: quotedPattern(t.Key())}}
	}
	return s
}

func implements[T any](t reflect.Type) bool {
	form := reflect.TypeFor[T]()
	return t.Implements(form) || reflect.PointerTo(t).Implements(form)
}

func transformed(r Registry, t reflect.Type, s *Schema) *Schema {
	if implements[huma.SchemaTransformer](t) {
		s = reflect.New(t).Interface().(huma.SchemaTransformer).TransformSchema(r, s)
		s.PrecomputeMessages()
	}
	return s
}

// bound gives an integer the limits of its type. A limit is a float, which
// can't hold the limits of 64 bits.
func bound(s *Schema, t reflect.Type) {
	bits := t.Bits()
	unsigned := t.Kind() >= reflect.Uint
	s.Format = fmt.Sprintf("%s%d", map[bool]string{false: "int", true: "uint"}[unsigned], bits)
	if bits == 64 {
		return
	}
	least, most := -math.Ldexp(1, bits-1), math.Ldexp(1, bits-1)-1
	if unsigned {
		least, most = 0, math.Ldexp(1, bits)-1
	}
	s.Minimum, s.Maximum = &least, &most
}

// ofStruct returns the schema of a struct, or a reference to it.
func (r *schemas) ofStruct(t reflect.Type, allowRef bool, hint string) *Schema {
	name, known := r.names[t]
	if !known {
		name = r.nameFor(t, hint)
		s := &Schema{}
		r.names[t], r.types[name], r.byName[name] = name, t, s // before its fields, because types may be recursive
		*s = *transformed(r, t, r.object(t))
	}
	if allowRef {
		return &Schema{Ref: schemaPrefix + name}
	}
	return r.byName[name]
}

// nameFor returns a name for the schema of a struct. Types with the same name,
// from different packages or without one, get a number.
func (r *schemas) nameFor(t reflect.Type, hint string) string {
	plain := huma.DefaultSchemaNamer(t, hint)
	name := plain
	for n := 2; r.byName[name] != nil; n++ {
		name = plain + strconv.Itoa(n)
	}
	return name
}

// object describes the fields of a struct.
func (r *schemas) object(t reflect.Type) *Schema {
	s := &Schema{Type: huma.TypeObject, Properties: map[string]*Schema{}, AdditionalProperties: false}
	members, _ := membersOf(t)
	for _, m := range members {
		s.Properties[m.name] = r.property(t, &m)
		if !m.isOptional() && m.Tag.Get("hidden") != "true" {
			s.Required = append(s.Required, m.name)
		}
		if dependents := m.Tag.Get("dependentRequired"); dependents != "" {
			if s.DependentRequired == nil {
				s.DependentRequired = map[string][]string{}
			}
			s.DependentRequired[m.name] = strings.Split(dependents, ",")
		}
	}
	for name, others := range s.DependentRequired {
		for _, other := range others {
			if s.Properties[other] == nil {
				r.mistake(cmp.Or(t.Name(), "Body")+"."+name, "the tag dependentRequired names %q, which is no field", other)
			}
		}
	}
	if blank, ok := t.FieldByName("_"); ok {
		s.AdditionalProperties = blank.Tag.Get("additionalProperties") == "true"
		s.Nullable = blank.Tag.Get("nullable") == "true"
	}
	s.PrecomputeMessages()
	return s
}

// property describes one field. A null for an optional field counts as left
// out.
func (r *schemas) property(t reflect.Type, m *member) *Schema {
	field := m.StructField
	if m.isQuoted {
		field.Type = reflect.TypeFor[string]()
	}
	s := r.ofField(field, cmp.Or(t.Name(), "Body")+"."+m.Name, t.Name()+m.Name+"Struct")
	if m.isQuoted && m.Type.Kind() != reflect.String {
		s.Pattern = quotedPattern(m.Type)
		s.PrecomputeMessages()
	}
	if m.Tag.Get("required") == "true" && m.Tag.Get("default") != "" {
		r.mistake(cmp.Or(t.Name(), "Body")+"."+m.Name, "the default never applies: the field is required; take one of the two tags away")
	}
	if m.isOptional() && m.Tag.Get("nullable") != "false" {
		s = nullable(s)
	}
	return s
}

// quotedPattern matches a number or a bool inside a string.
func quotedPattern(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t.Kind() == reflect.Bool:
		return "^(true|false)$"
	case t.Kind() == reflect.Float32, t.Kind() == reflect.Float64:
		return `^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`
	case t.Kind() >= reflect.Uint:
		return "^(0|[1-9][0-9]*)$"
	}
	return "^-?(0|[1-9][0-9]*)$"
}

// SchemaFromRef returns the schema of a reference, or nil.
func (r *schemas) SchemaFromRef(ref string) *Schema {
	name, ours := strings.CutPrefix(ref, schemaPrefix)
	if !ours {
		return nil
	}
	return r.byName[name]
}

// TypeFromRef returns the type of a reference, or nil.
func (r *schemas) TypeFromRef(ref string) reflect.Type {
	return r.types[strings.TrimPrefix(ref, schemaPrefix)]
}

// Map returns the schemas by name.
func (r *schemas) Map() map[string]*Schema { return r.byName }

// RegisterTypeAlias is part of huma's interface; nothing calls it here.
func (r *schemas) RegisterTypeAlias(reflect.Type, reflect.Type) {}

// MarshalJSON writes the schemas by name.
func (r *schemas) MarshalJSON() ([]byte, error) { return json.Marshal(r.byName) }

// MarshalYAML returns the schemas by name.
func (r *schemas) MarshalYAML() (any, error) { return maps.Clone(r.byName), nil }
