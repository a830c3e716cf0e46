package web

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

const jsonType = "application/json"

// Schema is a JSON Schema. For some types no schema can be guessed, such as one
// that is an integer or a string. Such a type has a method
//
//	Schema(web.Registry) *web.Schema
//
// beside its UnmarshalJSON; an Example shows one.
type Schema = huma.Schema

// Registry holds the schemas of an API's types, for a Schema that refers to
// others.
type Registry = huma.Registry

// newDocument returns an OpenAPI document without routes.
func newDocument(o *Options, registry Registry) *huma.OpenAPI {
	return &huma.OpenAPI{
		OpenAPI:    "3.1.0",
		Info:       &huma.Info{Version: o.Version, Description: o.Description},
		Components: &huma.Components{Schemas: registry},
	}
}

// operation describes a route to OpenAPI, without its types.
func (h *handler) operation(r *Route) *huma.Operation {
	return &huma.Operation{
		OperationID: h.operationID(r),
		Method:      r.method,
		Path:        documentPath(r.path),
		Summary:     r.settings.summary,
		Description: r.settings.description,
		Tags:        r.settings.tags,
		Security:    h.documented(r),
	}
}

// documentPath writes the wildcards of a path in OpenAPI's way.
func documentPath(path string) string {
	return strings.NewReplacer("...}", "}", "{$}", "").Replace(path)
}

// operationID returns the name of a route for generated clients, such as
// post-api-v1-users-by-id. It ends in a number if another route has that name.
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

// function is the function of a typed route, without its types. It takes a
// pointer to the input and returns a pointer to the output.
type function struct {
	in, out reflect.Type
	call    func(ctx context.Context, in any) (out any, err error)
}

// typed registers a typed route.
func (h *handler) typed(r *Route, f *function) {
	d := &declaration{route: r, registry: h.schemas, shapes: newShapes(h.schemas), op: h.operation(r)}
	in, out := d.input(f.in), d.output(f.out)
	for _, text := range h.schemas.settle() {
		d.mistakes.add("%s", text)
	}
	if len(d.mistakes) > 0 {
		panic(d.mistakes) // add turns it into an error
	}
	h.handle(r.name(), r, func(a *answer, req *http.Request) { h.answer(a, req, r, f, in, out) })
	h.documentSecurity(d.op)
	h.openAPI.AddOperation(d.op)
}

// answer replies to a request to a typed route.
func (h *handler) answer(a *answer, req *http.Request, r *Route, f *function, in *input, out *output) {
	v := reflect.New(f.in)
	m := h.memory()
	defer m.release()
	if p := in.read(a, req, r.settings.maxBody, m, v.Elem()); p != nil {
		a.problem(p)
		if p.Status == http.StatusServiceUnavailable {
			a.set("Retry-After", "1")
		}
		return
	}
	e := newExchange(req, r, a)
	a.set("X-Content-Type-Options", "nosniff")
	var result any
	err := h.call(e.Context(), func(ctx context.Context) (err error) {
		result, err = f.call(ctx, v.Interface())
		return err
	})
	var refused *refusal
	if errors.As(err, &refused) {
		a.problem(refused.Problem)
		return
	}
	if err := out.write(a, result); err != nil {
		h.logFailure(e.Context(), err)
		a.problem(newProblem(http.StatusInternalServerError, "internal error"))
	}
}

// refusal is an error that the client gets as a problem.
type refusal struct{ *Problem }
