package web_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/enoki-go/enoki/web"
)

// member walks down a JSON document.
func member(t *testing.T, v any, path ...string) any {
	t.Helper()
	for i, name := range path {
		object, _ := v.(map[string]any)
		if v = object[name]; v == nil {
			t.Fatalf("the document has no %s", strings.Join(path[:i+1], " > "))
		}
	}
	return v
}

func openAPI(t *testing.T, h http.Handler) (map[string]any, string) {
	t.Helper()
	res, body := exchange(t, h, "GET", "/openapi.json", "")
	var document map[string]any
	if err := json.Unmarshal([]byte(body), &document); err != nil || res.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("openapi.json: %v, %v", err, res.Header)
	}
	return document, body
}

func TestOpenAPI(t *testing.T) {
	h := web.NewHandler(&web.Options{Title: "Comments", Version: "2.1.0", Description: "All of them."},
		web.Post("/articles/{article}/comments", echo, web.Summary("Comment"), web.Description("Text."), web.Tags("comments"), web.Status(201)),
		web.Handle("/files/", http.NotFoundHandler()),
	)
	document, text := openAPI(t, h)
	if v := member(t, document, "openapi"); v != "3.1.0" {
		t.Errorf("openapi = %v", v)
	}
	info := member(t, document, "info").(map[string]any)
	if info["title"] != "Comments" || info["version"] != "2.1.0" || info["description"] != "All of them." {
		t.Errorf("info = %v", info)
	}
	op := member(t, document, "paths", "/articles/{article}/comments", "post").(map[string]any)
	if op["summary"] != "Comment" || op["description"] != "Text." || op["operationId"] != "post-articles-by-article-comments" {
		t.Errorf("operation = %v", op)
	}
	member(t, op, "responses", "201", "content", "application/json", "schema")
	problem := member(t, op, "responses", "default", "content", "application/problem+json", "schema", "$ref")
	if problem != "#/components/schemas/Problem" {
		t.Errorf("errors are documented as %v", problem)
	}
	member(t, document, "components", "schemas", "Problem", "properties", "code")
	member(t, document, "components", "schemas", "FieldError", "properties", "location")
	for _, absent := range []string{"ErrorModel", "/files/", "$schema"} {
		if strings.Contains(text, absent) {
			t.Errorf("the document has %s in it", absent)
		}
	}

	res, body := exchange(t, h, "GET", "/openapi.yaml", "")
	var asYAML map[string]any
	if err := yaml.Unmarshal([]byte(body), &asYAML); err != nil || res.Header.Get("Content-Type") != "application/yaml" {
		t.Fatalf("openapi.yaml: %v, %v", err, res.Header)
	}
	member(t, asYAML, "paths", "/articles/{article}/comments", "post", "operationId")
}

// Two types of one name, and two routes of one id, must not stop a service.
func TestOpenAPINamesAreUnique(t *testing.T) {
	type one struct {
		Body struct{ Data struct{ A int } }
	}
	type two struct {
		Body struct{ Data struct{ B int } }
	}
	first := func() web.Route {
		type item struct{ A int }
		return web.Put("/a-b", func(context.Context, *struct{ Body item }) (*one, error) { return nil, nil })
	}
	second := func() web.Route {
		type item struct{ B int }
		return web.Put("/a/b", func(context.Context, *struct{ Body item }) (*two, error) { return nil, nil })
	}
	document, _ := openAPI(t, web.NewHandler(nil, first(), second()))
	schemas := member(t, document, "components", "schemas")
	member(t, schemas, "Item", "properties", "A")
	member(t, schemas, "Item2", "properties", "B")
	member(t, schemas, "DataStruct", "properties", "A")
	member(t, schemas, "DataStruct2", "properties", "B")
	if id := member(t, document, "paths", "/a/b", "put", "operationId"); id != "put-a-b-2" {
		t.Errorf("operationId = %v", id)
	}
}

func TestTitleIsServiceName(t *testing.T) {
	document, _ := openAPI(t, web.NewHandler(nil))
	if v := member(t, document, "info", "title"); v != "web" {
		t.Errorf("title = %v", v)
	}
}

func TestAPIDocsPage(t *testing.T) {
	h := web.NewHandler(nil)
	res, _ := exchange(t, h, "GET", "/apidocs", "")
	if res.StatusCode != http.StatusMovedPermanently || res.Header.Get("Location") != "/apidocs/" {
		t.Errorf("/apidocs: %d to %q, want a redirect to /apidocs/", res.StatusCode, res.Header.Get("Location"))
	}
	for path, want := range map[string]struct{ contentType, contains string }{
		"/apidocs/":                                 {"text/html; charset=utf-8", `<script src="init.js">`},
		"/apidocs/init.js":                          {"text/javascript; charset=utf-8", "tryItOutEnabled: true"},
		"/apidocs/swagger-ui-bundle.js":             {"text/javascript; charset=utf-8", "SwaggerUIBundle"},
		"/apidocs/swagger-ui.css":                   {"text/css; charset=utf-8", ".swagger-ui"},
		"/apidocs/LICENSE":                          {"text/plain; charset=utf-8", "Apache License"},
		"/apidocs/swagger-ui-bundle.js.LICENSE.txt": {"text/plain; charset=utf-8", "license"},
	} {
		res, body := exchange(t, h, "GET", path, "")
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != want.contentType || !strings.Contains(body, want.contains) {
			t.Errorf("%s: %d %v, %d bytes", path, res.StatusCode, res.Header, len(body))
		}
		policy := res.Header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "script-src 'self';") {
			t.Errorf("%s: Content-Security-Policy %q", path, policy)
		}
		if res.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s is packed for a client that did not ask for it", path)
		}
		tag := res.Header.Get("ETag")
		if res, body := exchange(t, h, "GET", path, "", "If-None-Match", tag); tag == "" || res.StatusCode != 304 || body != "" {
			t.Errorf("%s: with the ETag %s: %d and %d bytes, want 304", path, tag, res.StatusCode, len(body))
		}
	}
}

func TestAPIDocsPacked(t *testing.T) {
	h := web.NewHandler(nil)
	unpackedRes, plain := exchange(t, h, "GET", "/apidocs/swagger-ui.css", "")
	res, packed := exchange(t, h, "GET", "/apidocs/swagger-ui.css", "", "Accept-Encoding", "br, gzip")
	if res.Header.Get("Content-Encoding") != "gzip" || res.Header.Get("Vary") != "Accept-Encoding" {
		t.Fatalf("header %v, want gzip", res.Header)
	}
	if tag := res.Header.Get("ETag"); tag == unpackedRes.Header.Get("ETag") {
		t.Errorf("ETag %s for the packed and the plain file", tag)
	}
	r, err := gzip.NewReader(strings.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := io.ReadAll(r)
	if err != nil || string(unpacked) != plain {
		t.Errorf("unpacked %d bytes (%v), want the %d of the plain file", len(unpacked), err, len(plain))
	}
	if res, body := exchange(t, h, "HEAD", "/apidocs/swagger-ui.css", "", "Accept-Encoding", "gzip"); res.StatusCode != 200 || body != "" {
		t.Errorf("HEAD: %d, %d bytes", res.StatusCode, len(body))
	}
}

func TestNoDocs(t *testing.T) {
	h := web.NewHandler(&web.Options{NoDocs: true})
	for _, path := range []string{"/apidocs/", "/apidocs", "/openapi.json", "/openapi.yaml"} {
		res, body := exchange(t, h, "GET", path, "")
		wantProblem(t, res, body, 404)
	}
}
