// Package openapi holds services to their own OpenAPI documents: a validator of
// JSON Schema, written by others, looks at what they answer and at what they
// take.
package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// judge knows the document of a service and compares answers with it.
type judge struct {
	*testing.T
	handler  http.Handler
	document map[string]any
	compiler *jsonschema.Compiler
	called   map[string]bool // method and path of operations
}

const documentURL = "https://example.com/openapi.json"

func newJudge(t *testing.T, h http.Handler) *judge {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/openapi.json", nil))
	document, err := jsonschema.UnmarshalJSON(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	j := &judge{T: t, handler: h, document: document.(map[string]any), compiler: jsonschema.NewCompiler(), called: map[string]bool{}}
	j.compiler.DefaultDraft(jsonschema.Draft2020)
	j.compiler.AssertFormat()
	j.compiler.AssertContent()
	if err := j.compiler.AddResource(documentURL, document); err != nil {
		t.Fatal(err)
	}
	for name := range j.at("components", "schemas").(map[string]any) {
		j.schema("components", "schemas", name)
	}
	return j
}

// at returns a part of the document, or nil.
func (j *judge) at(path ...string) any {
	var v any = j.document
	for _, name := range path {
		object, _ := v.(map[string]any)
		v = object[name]
	}
	return v
}

// schema compiles a schema of the document.
func (j *judge) schema(path ...string) *jsonschema.Schema {
	j.Helper()
	pointer := documentURL + "#"
	for _, name := range path {
		name = strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		pointer += "/" + strings.NewReplacer("{", "%7B", "}", "%7D", "*", "%2A").Replace(name)
	}
	s, err := j.compiler.Compile(pointer)
	if err != nil {
		j.Fatalf("%s is no schema: %v", strings.Join(path, " > "), err)
	}
	return s
}

// answer is what a service said.
type answer struct {
	status int
	body   string
}

// ask sends a request to an operation and holds the answer to the document.
func (j *judge) ask(method, path, target, body string, header ...string) answer {
	j.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	j.handler.ServeHTTP(w, r)
	j.called[strings.ToLower(method)+" "+path] = true
	res := w.Result()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		j.Fatal(err)
	}
	if mistake := j.mistake(strings.ToLower(method), path, res, text); mistake != "" {
		j.Errorf("%s %s %.200s\n%d %v %.500s\n%s", method, target, body, res.StatusCode, res.Header, text, mistake)
	}
	return answer{res.StatusCode, strings.TrimSpace(string(text))}
}

// mistake says in what an answer is not as the document says.
func (j *judge) mistake(method, path string, res *http.Response, text []byte) string {
	responses := []string{"paths", path, method, "responses"}
	key := ""
	for _, candidate := range []string{fmt.Sprint(res.StatusCode), fmt.Sprintf("%dXX", res.StatusCode/100), "default"} {
		if key == "" && j.at(append(responses, candidate)...) != nil {
			key = candidate
		}
	}
	if key == "" {
		return "the document does not have the operation, or the status"
	}
	if key == "default" && res.StatusCode < 400 {
		return "the document describes this status as an error only"
	}
	at := append(slices.Clone(responses), key)
	return firstOf(j.bodyMistake(append(slices.Clone(at), "content"), res, text), j.headerMistake(append(at, "headers"), res))
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

func (j *judge) bodyMistake(at []string, res *http.Response, text []byte) string {
	content, _ := j.at(at...).(map[string]any)
	contentType := res.Header.Get("Content-Type")
	if len(content) == 0 || res.StatusCode == 204 || res.StatusCode == 304 {
		if len(text) > 0 || contentType != "" {
			return "the document has no body here"
		}
		return ""
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return "no Content-Type: " + err.Error()
	}
	if content[media] == nil && content["*/*"] == nil {
		return "the document does not have the media type " + media
	}
	if !strings.HasSuffix(media, "json") {
		return ""
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err.Error()
	}
	if err := j.schema(append(at, media, "schema")...).Validate(value); err != nil {
		return err.Error()
	}
	return ""
}

// usual are headers that every answer may have, which documents don't tell.
var usual = []string{"Content-Type", "Content-Length", "X-Request-Id", "X-Content-Type-Options", "Allow", "Connection", "Vary", "Date"}

func (j *judge) headerMistake(at []string, res *http.Response) string {
	documented, _ := j.at(at...).(map[string]any)
	for name, values := range res.Header {
		switch {
		case slices.Contains(usual, name):
		case documented[name] == nil:
			return "the document does not have the header " + name
		default:
			for _, text := range values {
				var value any
				if json.Unmarshal([]byte(text), &value) != nil || j.at(append(at, name, "schema", "type")...) == "string" {
					value = text
				}
				if err := j.schema(append(at, name, "schema")...).Validate(value); err != nil {
					return name + ": " + err.Error()
				}
			}
		}
	}
	return ""
}

// takes reports whether the document says that an operation takes a body.
func (j *judge) takes(method, path, body string) bool {
	j.Helper()
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
	return err == nil && j.schema("paths", path, strings.ToLower(method), "requestBody", "content", "application/json", "schema").Validate(value) == nil
}

// wantAllCalled fails the test for operations that nobody asked.
func (j *judge) wantAllCalled() {
	j.Helper()
	for path, item := range j.at("paths").(map[string]any) {
		for method := range item.(map[string]any) {
			if !j.called[method+" "+path] {
				j.Errorf("nobody asked %s %s", method, path)
			}
		}
	}
}
