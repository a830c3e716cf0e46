package web

import (
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/enoki-go/enoki"
)

const jsonType = "application/json"

// Schema is a JSON Schema. A type that JSON Schema can't be guessed for, such
// as one that is an integer or a string, has a method
//
//	Schema(web.Registry) *web.Schema
//
// beside its UnmarshalJSON; an Example shows one.
type Schema = huma.Schema

// Registry holds the schemas of an API's types, for a Schema that refers to
// others.
type Registry = huma.Registry

// newAPI returns huma's view of the routes. All that makes an answer ours is
// set here, for this API alone; huma's variables, which would change every API
// of the process, stay as they are.
func newAPI(h *handler) huma.API {
	registry := huma.NewMapRegistry("#/components/schemas/", schemaNames())
	registry.RegisterTypeAlias(reflect.TypeFor[huma.ErrorModel](), reflect.TypeFor[Problem]())
	document := &huma.OpenAPI{
		OpenAPI:    "3.1.0",
		Info:       &huma.Info{Version: h.options.Version, Description: h.options.Description},
		Components: &huma.Components{Schemas: registry},
	}
	format := huma.Format{Marshal: marshal, Unmarshal: unmarshal}
	return huma.NewAPI(huma.Config{
		OpenAPI:       document,
		Formats:       map[string]huma.Format{jsonType: format, "json": format}, // the second for +json types
		DefaultFormat: jsonType,
		Transformers:  []huma.Transformer{refuse},
	}, &router{h})
}

// schemaNames returns a function that names the schema of a type. Two types
// of one name, of different packages or without one, differ by a number.
func schemaNames() func(reflect.Type, string) string {
	names := map[reflect.Type]string{}
	taken := map[string]bool{}
	return func(t reflect.Type, hint string) string {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		plain := huma.DefaultSchemaNamer(t, hint)
		if t.Kind() != reflect.Struct {
			return plain // has no entry of its own in the document
		}
		if name, ok := names[t]; ok {
			return name
		}
		name := plain
		for n := 2; taken[name]; n++ {
			name = plain + strconv.Itoa(n)
		}
		names[t], taken[name] = name, true
		return name
	}
}

// operation is a route in huma's words.
func (h *handler) operation(r *Route) huma.Operation {
	limit := r.settings.maxBody
	if limit > 0 {
		limit++ // huma refuses a body that is as large as the limit
	}
	return huma.Operation{
		OperationID:   h.operationID(r),
		Method:        r.method,
		Path:          documentPath(r.path),
		Summary:       r.settings.summary,
		Description:   r.settings.description,
		Tags:          r.settings.tags,
		DefaultStatus: r.settings.status,
		MaxBodyBytes:  limit,
		Metadata:      map[string]any{routeKey: r},
	}
}

const routeKey = "route"

// documentPath writes the wildcards of a path as OpenAPI does.
func documentPath(path string) string {
	return strings.NewReplacer("...}", "}", "{$}", "").Replace(path)
}

// operationID returns the name of a route for generated clients, such as
// post-api-v1-users-by-id, with a number where another route has that name.
func (h *handler) operationID(r *Route) string {
	plain := operationName(r)
	id := plain
	for n := 2; h.operations[id]; n++ {
		id = plain + "-" + strconv.Itoa(n)
	}
	h.operations[id] = true
	return id
}

func operationName(r *Route) string {
	words := []string{strings.ToLower(r.method)}
	for part := range strings.SplitSeq(documentPath(r.path), "/") {
		name, wildcard := strings.CutPrefix(strings.TrimSuffix(part, "}"), "{")
		switch {
		case name == "":
		case wildcard:
			words = append(words, "by", name)
		default:
			words = append(words, name)
		}
	}
	return strings.Join(words, "-")
}

// router is huma's way to http.ServeMux.
type router struct{ *handler }

// Handle registers what huma made of a route.
func (m *router) Handle(op *huma.Operation, serve func(huma.Context)) {
	r := op.Metadata[routeKey].(*Route)
	if op.SkipValidateBody {
		r.unchecked = serve
		return
	}
	r.check = m.check(op)
	if err := checkWildcards(r.path, op); err != nil {
		panic(err) // add makes an error of it
	}
	m.mux.HandleFunc(r.name(), func(w http.ResponseWriter, req *http.Request) {
		a := w.(*answer)
		if limit := r.settings.maxBody; limit >= 0 && req.ContentLength > limit {
			a.problem(tooLarge(limit)) // without reading it
			return
		}
		if op.MaxBodyBytes > 0 && req.ContentLength < 0 { // else package http ends it in time
			req.Body = http.MaxBytesReader(w, req.Body, op.MaxBodyBytes) // huma does not limit forms
		}
		a.set("X-Content-Type-Options", "nosniff")
		answer := serve
		if r.check.passes(req) {
			answer = r.unchecked
		}
		answer(newExchange(req.Context(), humago.NewContext(op, req, w), r, a))
	})
}

// check returns the check of an operation's body, or nil.
func (m *router) check(op *huma.Operation) check {
	if op.RequestBody == nil || len(op.RequestBody.Content) != 1 || op.RequestBody.Content[jsonType] == nil {
		return nil
	}
	return checkOf(m.api.OpenAPI().Components.Schemas, op.RequestBody.Content[jsonType].Schema)
}

// checkWildcards compares the wildcards of a path with the fields that they
// go to.
func checkWildcards(path string, op *huma.Operation) error {
	fields := map[string]bool{}
	for _, p := range op.Parameters {
		if p.In == "path" {
			fields[p.Name] = true
		}
	}
	for part := range strings.SplitSeq(documentPath(path), "/") {
		name, wildcard := strings.CutPrefix(part, "{")
		if !wildcard {
			continue
		}
		name = strings.TrimSuffix(name, "}")
		if !fields[name] {
			return fmt.Errorf("the path has {%s}, but the input has no field for it; give it one tagged `path:\"%s\"`", name, name)
		}
		delete(fields, name)
	}
	for name := range fields {
		return fmt.Errorf("the input has a field tagged `path:\"%s\"`, but the path has no {%s}", name, name)
	}
	return nil
}

// refusal is the error that makes huma answer with a problem.
type refusal struct{ *Problem }

// GetStatus is asked by huma.
func (r *refusal) GetStatus() int { return r.Status }

// ContentType is asked by huma.
func (r *refusal) ContentType(string) string { return problemType }

// refuse makes huma's own refusals ours. It runs before anything of an answer
// is written.
func refuse(ctx huma.Context, _ string, v any) (any, error) {
	model, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	e := ctx.(*exchange)
	p := e.refusal(model)
	p.Instance = e.answer.instance()
	e.status = p.Status
	return p, nil
}

// refusal says what was wrong with a request that huma refused.
func (e *exchange) refusal(model *huma.ErrorModel) *Problem {
	switch model.Status {
	case http.StatusRequestEntityTooLarge:
		return tooLarge(e.route.settings.maxBody)
	case http.StatusUnsupportedMediaType:
		return newProblem(model.Status, fmt.Sprintf("a body of type %q is not read here; send %s", e.humaContext.Header("Content-Type"), jsonType))
	case http.StatusRequestTimeout:
		return newProblem(model.Status, "the body did not arrive in time")
	case http.StatusInternalServerError: // huma blames itself for a client that stopped sending
		return newProblem(http.StatusBadRequest, "the body did not arrive as announced")
	}
	p := newProblem(enoki.InvalidArgument.HTTPStatus(), "the request is not valid")
	p.Code = enoki.InvalidArgument
	if len(model.Errors) == 0 { // the body is missing
		p.Errors = []FieldError{{Location: "body", Message: model.Detail}}
	}
	for _, detail := range model.Errors {
		if strings.HasSuffix(detail.Message, (&http.MaxBytesError{}).Error()) { // a form: huma has made text of the error
			return tooLarge(e.route.settings.maxBody)
		}
		field, malformed := e.fieldError(detail)
		if malformed {
			p.Code, p.Detail = enoki.MalformedRequest, "the body is not JSON"
		}
		p.Errors = append(p.Errors, field)
	}
	return p
}

func tooLarge(limit int64) *Problem {
	return newProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", limit))
}
