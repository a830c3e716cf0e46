package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/web"
)

// idText is an id that clients send as an integer or as a string.
type idText string

func (*idText) Schema(web.Registry) *web.Schema {
	return &web.Schema{OneOf: []*web.Schema{{Type: "integer"}, {Type: "string"}}}
}

func (id *idText) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte(`"`)) {
		return json.Unmarshal(data, (*string)(id))
	}
	*id = idText(data)
	return nil
}

type commentInput struct {
	Article int64  `path:"article"`
	Limit   int    `query:"limit" default:"20" maximum:"100"`
	Trace   string `header:"X-Trace"`
	Body    struct {
		Timestamp int64    `json:"timestamp"`
		Text      string   `json:"text" minLength:"1"`
		Author    idText   `json:"author"`
		Email     string   `json:"email" required:"false"`
		Parent    *int64   `json:"parent,omitempty"`
		Small     int8     `json:"small,omitempty"`
		Tags      []string `json:"tags,omitempty"`
		Nested    struct {
			Deep bool `json:"deep,omitempty"`
		} `json:"nested,omitzero"`
	}
}

type commentOutput struct {
	Location string `header:"Location"`
	Body     struct {
		Text string `json:"text"`
	}
}

// echo answers with what arrived, in Go's notation.
func echo(_ context.Context, in *commentInput) (*commentOutput, error) {
	out := &commentOutput{Location: fmt.Sprintf("/articles/%d", in.Article)}
	b := &in.Body
	out.Body.Text = fmt.Sprintf("%d %d %q %d %q %q %q %v %v", in.Article, in.Limit, in.Trace, b.Timestamp, b.Text, b.Author, b.Email, b.Parent == nil, b.Tags)
	return out, nil
}

func comments() http.Handler {
	return web.NewHandler(nil, web.Post("/articles/{article}/comments", echo, web.Status(http.StatusCreated)))
}

// exchange sends a request to h, whose body is JSON unless a header says
// otherwise, and returns the answer and its body.
func exchange(t *testing.T, h http.Handler, method, target, body string, header ...string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body == "" {
		r = httptest.NewRequest(method, target, nil)
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	res := w.Result()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

// wantProblem fails the test unless the answer is a whole problem with this
// status, and returns it.
func wantProblem(t *testing.T, res *http.Response, body string, status int) *web.Problem {
	t.Helper()
	if res.StatusCode != status {
		t.Fatalf("status = %d, want %d; body: %s", res.StatusCode, status, body)
	}
	if got := res.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("Content-Type = %q, want application/problem+json; body: %s", got, body)
	}
	var p web.Problem
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatalf("the body is no problem: %v: %s", err, body)
	}
	id := res.Header.Get("X-Request-Id")
	if p.Type != "about:blank" || p.Title == "" || p.Status != status || p.Detail == "" || p.Code == "" || id == "" || p.Instance != "urn:uuid:"+id {
		t.Fatalf("X-Request-Id %q with problem %s, want every member set and the same id", id, body)
	}
	return &p
}

func TestTypedRoute(t *testing.T) {
	for name, test := range map[string]struct{ target, body, want string }{
		"all that is required": {
			"/articles/7/comments", `{"timestamp":5,"text":"hi","author":3}`,
			`7 20 "" 5 "hi" "3" "" true []`,
		},
		"everything": {
			"/articles/7/comments?limit=3", `{"timestamp":5,"text":"hi","author":"x3","email":"a@b.c","parent":1,"tags":["p"]}`,
			`7 3 "" 5 "hi" "x3" "a@b.c" false [p]`,
		},
		"null for what is optional": {
			"/articles/7/comments", `{"timestamp":5,"text":"hi","author":3,"email":null,"parent":null,"tags":null}`,
			`7 20 "" 5 "hi" "3" "" true []`,
		},
		"the largest integer": {
			"/articles/9223372036854775807/comments", `{"timestamp":9223372036854775807,"text":"<&>","author":9223372036854775807}`,
			`9223372036854775807 20 "" 9223372036854775807 "<&>" "9223372036854775807" "" true []`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			res, body := exchange(t, comments(), "POST", test.target, test.body)
			var out struct{ Text string }
			if err := json.Unmarshal([]byte(body), &out); err != nil || out.Text != test.want {
				t.Errorf("body = %s (%v), want text %s", body, err, test.want)
			}
			if res.StatusCode != http.StatusCreated || !strings.HasPrefix(res.Header.Get("Location"), "/articles/") ||
				res.Header.Get("Content-Type") != "application/json" || res.Header.Get("X-Request-Id") == "" {
				t.Errorf("status %d, header %v", res.StatusCode, res.Header)
			}
		})
	}
}

func TestRefusalNamesField(t *testing.T) {
	for name, test := range map[string]struct {
		target, body, location, message string
		code                            enoki.Code
	}{
		"wrong type":            {"/articles/7/comments", `{"timestamp":"5","text":"hi","author":3}`, "body.timestamp", "expected integer", enoki.InvalidArgument},
		"a fraction":            {"/articles/7/comments", `{"timestamp":5.5,"text":"hi","author":3}`, "body.timestamp", "expected integer", enoki.InvalidArgument},
		"null for the required": {"/articles/7/comments", `{"timestamp":null,"text":"hi","author":3}`, "body.timestamp", "expected integer", enoki.InvalidArgument},
		"missing":               {"/articles/7/comments", `{"text":"hi","author":3}`, "body.timestamp", "expected required property timestamp to be present", enoki.InvalidArgument},
		"unknown":               {"/articles/7/comments", `{"timestamp":5,"text":"hi","author":3,"auther":1}`, "body.auther", "unexpected property", enoki.InvalidArgument},
		"too short":             {"/articles/7/comments", `{"timestamp":5,"text":"","author":3}`, "body.text", "expected length >= 1", enoki.InvalidArgument},
		"neither of two types":  {"/articles/7/comments", `{"timestamp":5,"text":"hi","author":[3]}`, "body.author", "expected value to match exactly one schema but matched none", enoki.InvalidArgument},
		"in an array":           {"/articles/7/comments", `{"timestamp":5,"text":"hi","author":3,"tags":["a",2]}`, "body.tags[1]", "expected string", enoki.InvalidArgument},
		"nested":                {"/articles/7/comments", `{"timestamp":5,"text":"hi","author":3,"nested":{"deep":1}}`, "body.nested.deep", "expected boolean", enoki.InvalidArgument},
		"too large for Go":      {"/articles/7/comments", `{"timestamp":1e30,"text":"hi","author":3}`, "body.timestamp", "expected integer of 64 bits, which number 1e30 is not", enoki.InvalidArgument},
		"too large for int8":    {"/articles/7/comments", `{"timestamp":5,"text":"hi","author":3,"small":128}`, "body.small", "expected number <= 127", enoki.InvalidArgument},
		"not an object":         {"/articles/7/comments", `[1]`, "body", "expected object", enoki.InvalidArgument},
		"no body":               {"/articles/7/comments", ``, "body", "request body is required", enoki.InvalidArgument},
		"not JSON":              {"/articles/7/comments", "{\n  \"text\": hi}", "body", "not JSON at line 2, column 11: invalid character 'h' looking for beginning of value", enoki.MalformedRequest},
		"cut off":               {"/articles/7/comments", `{"timestamp":5`, "body", "not JSON at line 1, column 14: unexpected end of JSON input", enoki.MalformedRequest},
		"two values":            {"/articles/7/comments", `{} {}`, "body", "not JSON at line 1, column 4: invalid character '{' after top-level value", enoki.MalformedRequest},
		"path":                  {"/articles/x/comments", `{"timestamp":5,"text":"hi","author":3}`, "path.article", "invalid integer", enoki.InvalidArgument},
		"query":                 {"/articles/7/comments?limit=101", `{"timestamp":5,"text":"hi","author":3}`, "query.limit", "expected number <= 100", enoki.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			res, body := exchange(t, comments(), "POST", test.target, test.body)
			p := wantProblem(t, res, body, http.StatusBadRequest)
			want := web.FieldError{Location: test.location, Message: test.message}
			if len(p.Errors) != 1 || p.Errors[0] != want || p.Code != test.code {
				t.Errorf("code %s, errors %+v, want %s, %+v", p.Code, p.Errors, test.code, want)
			}
		})
	}
}

func TestRefusalNamesAllFields(t *testing.T) {
	res, body := exchange(t, comments(), "POST", "/articles/x/comments", `{"timestamp":"a","author":true}`)
	p := wantProblem(t, res, body, http.StatusBadRequest)
	got := map[string]bool{}
	for _, e := range p.Errors {
		got[e.Location] = true
	}
	for _, want := range []string{"path.article", "body.timestamp", "body.author", "body.text"} {
		if !got[want] {
			t.Errorf("errors %+v, want one for %s", p.Errors, want)
		}
	}
	if !strings.Contains(p.Error(), "body.text: expected required property") {
		t.Errorf("Error() = %q, want the fields in it", p.Error())
	}
}

// The value of a field may be a password; a Problem ends up in logs.
func TestRefusalDoesNotRepeatTheRequest(t *testing.T) {
	_, body := exchange(t, comments(), "POST", "/articles/7/comments", `{"timestamp":"secret-1","text":"secret-2","auther":"secret-3"}`)
	if strings.Contains(body, "secret") {
		t.Errorf("the problem repeats values of the request: %s", body)
	}
}

func TestAllowUnknownFields(t *testing.T) {
	type input struct {
		Body struct {
			_    struct{} `json:"-" additionalProperties:"true"`
			Name string   `json:"name"`
		}
	}
	h := web.NewHandler(nil, web.Put("/name", func(_ context.Context, in *input) (*struct{}, error) {
		if in.Body.Name != "x" {
			return nil, errors.New("no name")
		}
		return nil, nil
	}))
	if res, body := exchange(t, h, "PUT", "/name", `{"name":"x","newer":1}`); res.StatusCode != http.StatusNoContent || body != "" {
		t.Errorf("status %d, body %q, want 204 and none", res.StatusCode, body)
	}
}

// An API may want to answer itself when something is missing.
func TestAllOptional(t *testing.T) {
	type input struct {
		Body *struct {
			Email string `json:"email,omitempty"`
		}
	}
	type output struct{ Body string }
	h := web.NewHandler(nil, web.Post("/x", func(_ context.Context, in *input) (*output, error) {
		if in.Body == nil {
			return &output{"no body"}, nil
		}
		return &output{"email " + in.Body.Email}, nil
	}))
	for body, want := range map[string]string{"": `"no body"`, "{}": `"email "`, `{"email":null}`: `"email "`, `{"email":"a"}`: `"email a"`} {
		if res, got := exchange(t, h, "POST", "/x", body); res.StatusCode != 200 || strings.TrimSpace(got) != want {
			t.Errorf("for body %q: %d %s, want 200 %s", body, res.StatusCode, got, want)
		}
	}
}

func TestContentType(t *testing.T) {
	const body = `{"timestamp":5,"text":"hi","author":3}`
	for _, accepted := range []string{"application/json", "application/json; charset=utf-8", "Application/JSON", "application/json ;charset=utf-8", "application/merge-patch+json"} {
		if res, got := exchange(t, comments(), "POST", "/articles/7/comments", body, "Content-Type", accepted); res.StatusCode != http.StatusCreated {
			t.Errorf("Content-Type %q: %d %s, want 201", accepted, res.StatusCode, got)
		}
	}
	for _, refused := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/xml", "nonsense/;"} {
		res, got := exchange(t, comments(), "POST", "/articles/7/comments", body, "Content-Type", refused)
		if p := wantProblem(t, res, got, http.StatusUnsupportedMediaType); !strings.Contains(p.Detail, "send application/json") {
			t.Errorf("detail %q, want it to say what to send", p.Detail)
		}
	}
}

func TestMistakesInRoutes(t *testing.T) {
	type none struct{}
	type withID struct {
		ID string `path:"id"`
	}
	empty := func(context.Context, *none) (*none, error) { return nil, nil }
	for name, test := range map[string]struct {
		routes []web.Route
		want   string
	}{
		"wildcard without field": {[]web.Route{web.Get("/x/{id}", empty)}, "route GET /x/{id} can't be served: the path has {id}, but the input has no field for it"},
		"field without wildcard": {[]web.Route{web.Get("/x", func(context.Context, *withID) (*none, error) { return nil, nil })}, "the path has no {id}"},
		"input is no struct":     {[]web.Route{web.Get("/x", func(context.Context, *int) (*none, error) { return nil, nil })}, "input must be a struct"},
		"declared twice":         {[]web.Route{web.Get("/x", empty), web.Get("/x", empty)}, "GET /x"},
		"no function":            {[]web.Route{web.Get[none, none]("/x", nil)}, "its function is nil"},
		"no handler":             {[]web.Route{web.Handle("/x", nil)}, "its handler is nil"},
		"relative path":          {[]web.Route{web.Delete("x", empty)}, "route DELETE x"},
		"both of two":            {[]web.Route{web.Get("/1/{id}", empty), web.Get("/2/{id}", empty)}, "route GET /2/{id}"},
		"in the way of the docs": {[]web.Route{web.Get("/openapi.json", empty)}, "set NoDocs"},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), test.want) {
					t.Errorf("panic %v, want one with %q", p, test.want)
				}
			}()
			web.NewHandler(nil, test.routes...)
		})
	}
}

func TestWildcardToTheEnd(t *testing.T) {
	type input struct {
		Path string `path:"path"`
	}
	type output struct{ Body string }
	h := web.NewHandler(nil,
		web.Get("/files/{path...}", func(_ context.Context, in *input) (*output, error) { return &output{in.Path}, nil }),
		web.Get("/{$}", func(context.Context, *struct{}) (*output, error) { return &output{"home"}, nil }),
	)
	if _, body := exchange(t, h, "GET", "/files/a/b%20c", ""); body != "\"a/b c\"\n" {
		t.Errorf("body = %q", body)
	}
	if _, body := exchange(t, h, "GET", "/", ""); body != "\"home\"\n" {
		t.Errorf("body = %q", body)
	}
	_, document := exchange(t, h, "GET", "/openapi.json", "")
	if !strings.Contains(document, `"/files/{path}":`) {
		t.Errorf("the document has not the path as OpenAPI writes it: %s", document)
	}
}

func TestOutputHeadersAndStatus(t *testing.T) {
	type output struct {
		Status int
		Type   string `header:"Content-Type"`
		Body   []byte
	}
	h := web.NewHandler(nil, web.Get("/x", func(context.Context, *struct{}) (*output, error) {
		return &output{Status: http.StatusAccepted, Type: "text/csv", Body: []byte("a,b")}, nil
	}))
	res, body := exchange(t, h, "GET", "/x", "")
	if res.StatusCode != http.StatusAccepted || res.Header.Get("Content-Type") != "text/csv" || body != "a,b" || res.Header.Get("Content-Length") != "3" {
		t.Errorf("%d %v %q", res.StatusCode, res.Header, body)
	}
}
