package web

import (
	"encoding"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/enoki-go/enoki/internal/tag"
)

// declaration reads the types of one route. It prepares how requests are read
// and responses are written, and describes both for the document. It collects
// all mistakes that can't work for any request.
type declaration struct {
	route    *Route
	registry *schemas
	shapes   *shapes
	op       *huma.Operation
	mistakes mistakes
}

// mistakes are the mistakes in a route.
type mistakes []string

func (m *mistakes) add(format string, a ...any) {
	if text := fmt.Sprintf(format, a...); !slices.Contains(*m, text) {
		*m = append(*m, text)
	}
}

// mistake notes what is wrong with a field.
func (b *declaration) mistake(field, format string, a ...any) {
	b.mistakes.add("field "+field+": "+format, a...)
}

// field returns the schema of a field. It ignores the tags in without. It
// returns nil after a mistake.
func (b *declaration) field(f reflect.StructField, without ...string) (s *Schema) {
	for _, tag := range without {
		f.Tag = reflect.StructTag(strings.ReplaceAll(string(f.Tag), tag+`:"`, "-"+tag+`:"`))
	}
	before := len(b.registry.mistakes)
	s = b.registry.ofField(f, f.Name, b.op.OperationID+f.Name)
	if len(b.registry.mistakes) > before {
		return nil
	}
	return s
}

// input reads the declaration of a route's input.
func (b *declaration) input(t reflect.Type) *input {
	in := &input{has: map[string]bool{}}
	if implements[huma.Resolver](t) || implements[huma.ResolverWithPath](t) {
		b.mistakes.add("the input has the method Resolve, which nobody calls; look at the input in the handler")
	}
	if t.Kind() != reflect.Struct {
		b.mistakes.add("input must be a struct, not a %s", t)
		return in
	}
	taken := map[string]string{}
	for _, f := range b.fieldsOf(t) {
		b.ownTags(f)
		place, found := b.placeOf(f)
		switch {
		case f.Name == "Body" && !found:
			b.body(in, f)
		case f.Name == "RawBody" && !found:
			b.rawBody(in, f)
		case found:
			b.param(in, f, place, taken)
		default:
			b.mistake(f.Name, "nothing fills it; tag it path, query, header or cookie, or name it Body")
		}
	}
	if in.body != nil && in.raw != nil {
		b.mistakes.add("the input has both Body and RawBody, but a request has one body; keep one of them")
	}
	b.wildcards(in)
	return in
}

// ownTags refuses tags that nothing reads.
func (b *declaration) ownTags(f reflect.StructField) {
	if err := tag.CheckOwn(f.Tag, fieldTags); err != nil {
		b.mistake(f.Name, "%v", err)
	}
}

// fieldsOf returns the fields of a struct and of its embedded structs, with
// indexes from the outermost one.
func (b *declaration) fieldsOf(t reflect.Type) []reflect.StructField {
	var fields []reflect.StructField
	for _, f := range reflect.VisibleFields(t) {
		hasTag := slices.ContainsFunc(places, func(place string) bool { return f.Tag.Get(place) != "" })
		switch {
		case f.Anonymous && !hasTag && f.Type.Kind() == reflect.Struct:
		case f.Anonymous && !hasTag && f.Type.Kind() == reflect.Pointer:
			b.mistake(f.Name, "is an embedded pointer, which nobody sets; embed the struct itself")
		case !f.IsExported() && hasTag:
			b.mistake(f.Name, "is tagged, but can't be set: begin its name with a capital letter")
		case f.IsExported() && !throughPointer(t, f.Index):
			fields = append(fields, f)
		}
	}
	return fields
}

// throughPointer reports whether a field lies in an embedded pointer.
func throughPointer(t reflect.Type, index []int) bool {
	for _, i := range index[:len(index)-1] {
		if t = t.Field(i).Type; t.Kind() == reflect.Pointer {
			return true
		}
	}
	return false
}

// placeOf returns where a field comes from.
func (b *declaration) placeOf(f reflect.StructField) (place string, found bool) {
	for _, each := range places {
		if f.Tag.Get(each) == "" {
			continue
		}
		if found {
			b.mistake(f.Name, "is tagged %s and %s, but comes from one of them only", place, each)
			continue
		}
		place, found = each, true
	}
	if _, isForm := f.Tag.Lookup("form"); isForm && !found {
		b.mistake(f.Name, "the tag form is not known; take the whole form in a field RawBody of type multipart.Form")
		return "form", true
	}
	return place, found
}

func (b *declaration) param(in *input, f reflect.StructField, place string, taken map[string]string) {
	if place == "form" {
		return
	}
	name, _, _ := strings.Cut(f.Tag.Get(place), ",")
	if !isToken(name) && place != "query" && place != "path" || name == "" {
		b.mistake(f.Name, "%q is no name of a %s", name, place)
		return
	}
	key := place + " " + name
	if place == "header" {
		key = place + " " + textproto.CanonicalMIMEHeaderKey(name)
	}
	if other, twice := taken[key]; twice {
		b.mistake(f.Name, "is tagged %s:%q, as the field %s is", place, name, other)
		return
	}
	taken[key] = f.Name
	if place == "path" && f.Type.Kind() == reflect.Pointer {
		b.mistake(f.Name, "a path parameter always comes; it needs no pointer")
	}
	in.has[place] = true
	p := b.newParam(f, place)
	if p == nil {
		in.params = append(in.params, &param{place: place, name: name}) // for wildcards
		return
	}
	documented := p.name
	if place == "header" {
		p.name = textproto.CanonicalMIMEHeaderKey(p.name)
	}
	in.params = append(in.params, p)
	if f.Tag.Get("hidden") != "true" {
		b.document(p, documented)
	}
}

// document describes a parameter.
func (b *declaration) document(p *param, name string) {
	out := &huma.Param{Name: name, In: p.place, Description: p.schema.Description, Required: p.required, Schema: p.schema}
	if p.list && p.place != "header" && p.place != "path" {
		out.Explode = &p.explode
	}
	b.op.Parameters = append(b.op.Parameters, out)
}

// isToken reports whether name is a valid name of a header or a cookie.
func isToken(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return !strings.ContainsRune("!#$%&'*+-.^_`|~", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// wildcards compares the wildcards of the path with the fields of the input.
func (b *declaration) wildcards(in *input) {
	fields := map[string]bool{}
	for _, p := range in.params {
		if p.place == "path" {
			fields[p.name] = true
		}
	}
	for part := range strings.SplitSeq(documentPath(b.route.path), "/") {
		name, isWildcard := strings.CutPrefix(part, "{")
		if !isWildcard {
			continue
		}
		name = strings.TrimSuffix(name, "}")
		if !fields[name] {
			b.mistakes.add("the path has {%s}, but the input has no field for it; give it one tagged `path:\"%s\"`", name, name)
		}
		delete(fields, name)
	}
	for _, p := range in.params {
		if p.place == "path" && fields[p.name] {
			b.mistakes.add("the input has a field tagged `path:\"%s\"`, but the path has no {%s}", p.name, p.name)
		}
	}
}

func (b *declaration) body(in *input, f reflect.StructField) {
	if b.route.method == http.MethodGet {
		b.mistakes.add("a GET request has no body; take the field Body out of the input, or declare the route with Post")
	}
	if !b.json(f.Type, "Body", reading) {
		return
	}
	schema := b.field(f, "required")
	if schema == nil {
		return
	}
	b.noForm(f.Type)
	in.body = f.Index
	in.optional = (f.Type.Kind() == reflect.Pointer || f.Type.Kind() == reflect.Interface) && f.Tag.Get("required") != "true" || f.Tag.Get("required") == "false"
	in.shape = b.shapes.of(schema)
	in.completes = defaults{}.in(in.shape)
	b.op.RequestBody = &huma.RequestBody{
		Required: !in.optional,
		Content:  map[string]*huma.MediaType{b.mediaType(f): {Schema: schema}},
	}
}

// noForm notes fields of a JSON body that have a form tag.
func (b *declaration) noForm(t reflect.Type) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return
	}
	for _, f := range reflect.VisibleFields(t) {
		_, isForm := f.Tag.Lookup("form")
		if _, isJSON := f.Tag.Lookup("json"); isForm && !isJSON {
			b.mistake("Body."+f.Name, "the tag form is not known, the body is JSON; take the whole form in a field RawBody of type multipart.Form")
		}
	}
}

// mediaType returns the media type of a JSON body. A tag may make it more
// exact.
func (b *declaration) mediaType(f reflect.StructField) string {
	own := f.Tag.Get("contentType")
	switch {
	case own == "":
		return jsonType
	case own != jsonType && !strings.HasSuffix(own, "+json"):
		b.mistake("Body", "is JSON, which %q is not; take the body as it is, as []byte", own)
	}
	return own
}

func (b *declaration) rawBody(in *input, f reflect.StructField) {
	media, schema := "application/octet-stream", &Schema{Type: huma.TypeString, Format: "binary"}
	switch f.Type {
	case reflect.TypeFor[[]byte]():
		if own := f.Tag.Get("contentType"); own != "" {
			media = own
		}
	case reflect.TypeFor[multipart.Form]():
		media, schema = "multipart/form-data", &Schema{Type: huma.TypeObject}
	default:
		b.mistake("RawBody", "can't be a %s; have []byte and multipart.Form", f.Type)
		return
	}
	if b.route.method == http.MethodGet {
		b.mistakes.add("a GET request has no body; take the field RawBody out of the input, or declare the route with Post")
	}
	in.raw = f.Index
	b.op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{media: {Schema: schema}}}
}

// output reads the declaration of a route's output.
func (b *declaration) output(t reflect.Type) *output {
	out := &output{status: b.route.settings.status, mediaTypes: jsonType}
	if t.Kind() != reflect.Struct {
		b.mistakes.add("output must be a struct, not a %s", t)
		return out
	}
	var body *Schema
	headers := map[string]*huma.Header{}
	for _, f := range b.fieldsOf(t) {
		b.ownTags(f)
		switch name := f.Tag.Get("header"); {
		case name != "":
			b.header(out, f, name, headers)
		case f.Name == "Status":
			b.status(out, f)
		case f.Name == "Body":
			body = b.outputBody(out, f)
		default:
			b.mistake(f.Name, "nobody sends it; tag it header, or name it Body or Status")
		}
	}
	if _, own := headers["Content-Type"]; own && out.isRaw {
		out.mediaTypes = "*/*"
	}
	b.responses(out, body, headers)
	if own := out.mediaTypes; own == "*/*" {
		out.mediaTypes = "application/octet-stream" // if the field is empty
	}
	return out
}

func (b *declaration) status(out *output, f reflect.StructField) {
	if f.Type.Kind() != reflect.Int {
		b.mistake("Status", "is a %s; make it an int", f.Type)
		return
	}
	out.statusAt = f.Index
	if f.Tag.Get("enum") == "" {
		return
	}
	for text := range strings.SplitSeq(f.Tag.Get("enum"), ",") {
		status, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || status < 200 || status > 599 {
			b.mistake("Status", "%q in its enum is no status; have 200 to 599", text)
		}
		out.statuses = append(out.statuses, status)
	}
}

func (b *declaration) outputBody(out *output, f reflect.StructField) *Schema {
	if f.Type == reflect.TypeFor[[]byte]() {
		out.body, out.isRaw, out.mediaTypes = f.Index, true, "application/octet-stream"
		if own := f.Tag.Get("contentType"); own != "" {
			out.mediaTypes = own
		}
		return &Schema{Type: huma.TypeString, Format: "binary"}
	}
	if f.Type.Implements(reflect.TypeFor[io.Reader]()) {
		b.mistake("Body", "is a %s, which can't be sent as JSON; make a route of web.Handle for a stream", f.Type)
		return nil
	}
	if !b.json(f.Type, "Body", writing) {
		return nil
	}
	out.body, out.mediaTypes = f.Index, b.mediaType(f)
	return b.field(f)
}

func (b *declaration) header(out *output, f reflect.StructField, name string, documented map[string]*huma.Header) {
	h := header{name: textproto.CanonicalMIMEHeaderKey(name), index: f.Index, layout: http.TimeFormat}
	if own := f.Tag.Get("timeFormat"); own != "" {
		h.layout = own
	}
	element := f.Type
	if element.Kind() == reflect.Slice && !isText(element) {
		element = element.Elem()
	}
	if element.Kind() == reflect.Pointer {
		element = element.Elem()
	}
	switch _, known := readerOf(element, ""); {
	case !isToken(name):
		b.mistake(f.Name, "%q is no name of a header", name)
		return
	case documented[h.name] != nil:
		b.mistake(f.Name, "the header %s has a field already", h.name)
		return
	case !known && !isText(element) || element == reflect.TypeFor[url.URL]() && f.Type.Kind() == reflect.Slice:
		b.mistake(f.Name, "a header can't be a %s; use text, numbers, bool, time.Time or a type with MarshalText or String", f.Type)
		return
	}
	if isText(element) && f.Tag.Get("timeFormat") == "" && h.layout == http.TimeFormat && !isTime(element) {
		element = reflect.TypeFor[string]()
	}
	f.Type = element
	schema := b.field(f)
	out.headers = append(out.headers, h)
	if f.Tag.Get("hidden") != "true" {
		documented[h.name] = &huma.Header{Schema: schema}
	}
}

// responses describes the responses.
func (b *declaration) responses(out *output, body *Schema, headers map[string]*huma.Header) {
	if out.status == 0 {
		out.status = http.StatusOK
		if out.body == nil {
			out.status = http.StatusNoContent
		}
	}
	switch status := out.status; {
	case status < 200 || status > 399:
		b.mistakes.add("status %d is none to answer with when nothing failed; have 200 to 399", status)
	case hasNoBody(status) && out.body != nil:
		b.mistakes.add("status %d has no body; take the field Body out of the output, or give the route another status", status)
	}
	if own := b.route.settings.status; own != 0 && out.statuses != nil && !slices.Contains(out.statuses, own) {
		b.mistakes.add("status %d of the route is not in the enum of the output's Status", own)
	}
	b.op.Responses = map[string]*huma.Response{}
	describe := func(key string, status int) {
		r := &huma.Response{Description: http.StatusText(status), Headers: headers}
		if body != nil && !hasNoBody(status) {
			r.Content = map[string]*huma.MediaType{out.mediaTypes: {Schema: body}}
		}
		if r.Description == "" {
			r.Description = "Another answer"
		}
		b.op.Responses[key] = r
	}
	describe(strconv.Itoa(out.status), out.status)
	for _, status := range out.statuses {
		describe(strconv.Itoa(status), status)
	}
	if out.statusAt != nil && out.statuses == nil {
		describe("2XX", 0)
		describe("3XX", 0)
	}
	b.op.Responses["default"] = &huma.Response{Description: "Error", Content: map[string]*huma.MediaType{
		problemType: {Schema: b.registry.Schema(reflect.TypeFor[Problem](), true, "")},
	}}
}

// direction says whether a type is read or written.
type direction bool

const (
	reading direction = false
	writing direction = true
)

// json notes why a type can't be JSON, and reports whether it can.
func (b *declaration) json(t reflect.Type, where string, way direction) bool {
	before := len(b.mistakes)
	b.walk(t, where, way, map[reflect.Type]bool{})
	return len(b.mistakes) == before
}

// walk checks a type and the types in it. seen has the types that were checked.
// A type is false in seen if no struct lies between it and here: its schema
// would never end.
func (b *declaration) walk(t reflect.Type, where string, way direction, seen map[reflect.Type]bool) {
	whole, known := seen[t]
	if known && !whole {
		b.mistake(where, "%s is a list, map or pointer of itself, which the documentation can't describe; put it into a struct", t)
	}
	if t == reflect.TypeFor[url.URL]() {
		return // our dialect writes it as text
	}
	if known || implements[huma.SchemaProvider](t) || speaks(t) {
		return
	}
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer, reflect.Uintptr:
		b.mistake(where, "is a %s, which can't be JSON; leave it out with json:\"-\" or use another type", t)
	case reflect.Interface:
		if t.NumMethod() > 0 && way == reading {
			b.mistake(where, "is the interface %s, of which no value can be made; use a type or any", t)
		}
	case reflect.Pointer, reflect.Slice, reflect.Array:
		seen[t] = false
		b.walk(t.Elem(), where, way, seen)
		seen[t] = true
	case reflect.Map:
		if !isKey(t.Key()) {
			b.mistake(where, "is a map with keys of %s, which can't be JSON; use text or integers", t.Key())
		}
		seen[t] = false
		b.walk(t.Elem(), where, way, seen)
		seen[t] = true
	case reflect.Struct:
		seen[t] = true
		b.walkFields(t, where, way, seen)
	}
}

// walkFields checks the fields of a struct. A field may have the type of a
// struct around it.
func (b *declaration) walkFields(t reflect.Type, where string, way direction, seen map[reflect.Type]bool) {
	inside := map[reflect.Type]bool{}
	for each := range seen {
		inside[each] = true
	}
	defer func() {
		for each, whole := range inside {
			if _, known := seen[each]; !known {
				seen[each] = whole
			}
		}
	}()
	members, clashes := membersOf(t)
	for _, name := range clashes {
		b.mistake(where, "several fields of %s have the name %q in JSON, so that none of them counts", t, name)
	}
	for _, m := range members {
		b.walk(m.Type, where+"."+m.Name, way, inside)
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if err := tag.CheckShared(f.Tag, schemaTags); err != nil {
			b.mistake(where+"."+f.Name, "%v", err)
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() && !f.Anonymous && name != "" && name != "-" {
			b.mistake(where+"."+f.Name, "is tagged json:%q, but is not exported: begin its name with a capital letter", name)
		}
		if f.Anonymous && !f.IsExported() && f.Type.Kind() == reflect.Pointer && way == reading {
			b.mistake(where+"."+f.Name, "is an embedded pointer to a type that is not exported, which can't be set; embed the struct itself")
		}
	}
}

// speaks reports whether a type has its own form in JSON.
func speaks(t reflect.Type) bool {
	return implements[json.Marshaler](t) || implements[json.Unmarshaler](t) || implements[encoding.TextMarshaler](t) || implements[encoding.TextUnmarshaler](t)
}

func isKey(t reflect.Type) bool {
	return t.Kind() == reflect.String || isNumber(t) && t.Kind() <= reflect.Uint64 ||
		implements[encoding.TextMarshaler](t) && implements[encoding.TextUnmarshaler](t)
}
