package web_test

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/web"
)

func TestSecuredRoutesNeedCaller(t *testing.T) {
	jwt := web.Bearer("jwt", "JWT")
	routes := whoami()
	routes[1] = routes[1].With(web.Secured(web.APIKey("key", "header", "X-Key")))
	routes[2] = routes[2].With(web.Secured())
	h := web.NewHandler(&web.Options{Security: []web.Security{jwt, web.Basic("basic")}, Middleware: []middleware{tokens}}, routes...)
	for path, stranger := range map[string]int{"/typed": 401, "/handle": 401, "/plain": 200, "/openapi.json": 200, "/apidocs/": 200, "/nowhere": 404} {
		res, body := exchange(t, h, "GET", path, "")
		if res.StatusCode != stranger {
			t.Errorf("%s for a stranger: %d %s, want %d", path, res.StatusCode, body, stranger)
		}
		if stranger == 401 {
			p := wantProblem(t, res, body, 401)
			if challenge := strings.Join(res.Header.Values("WWW-Authenticate"), " / "); p.Code != enoki.Unauthenticated ||
				challenge != `Bearer / Basic realm="basic", charset="UTF-8" / APIKey name="X-Key"` {
				t.Errorf("%s: %s, WWW-Authenticate %s", path, p.Code, challenge)
			}
		}
		if res, body := exchange(t, h, "GET", path, "", "Token", "anna"); stranger == 401 && res.StatusCode != 200 {
			t.Errorf("%s for anna: %d %s", path, res.StatusCode, body)
		}
	}
}

// A name that came with a message is a claim, and opens nothing.
func TestClaimedCallerIsNobody(t *testing.T) {
	claiming := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r.WithContext(enoki.WithContextData(r.Context(), enoki.CallerKey, "anna")))
		})
	}
	h := web.NewHandler(&web.Options{Security: []web.Security{web.Bearer("jwt", "")}, Middleware: []middleware{claiming}}, whoami()...)
	res, body := exchange(t, h, "GET", "/typed", "")
	wantProblem(t, res, body, 401)
}

// Without its middleware a secured service serves nobody.
func TestSecuredWithoutMiddleware(t *testing.T) {
	h := web.NewHandler(&web.Options{Security: []web.Security{web.Bearer("jwt", "")}, SecureDocs: true}, whoami()...)
	for _, path := range []string{"/typed", "/handle", "/plain", "/openapi.json", "/apidocs/", "/apidocs"} {
		res, body := exchange(t, h, "GET", path, "")
		wantProblem(t, res, body, 401)
	}
}

func TestSecurityInDocument(t *testing.T) {
	o := &web.Options{Security: []web.Security{web.Bearer("jwt", "JWT"), web.APIKey("key", "query", "k"), web.OpenID("id", "https://login.example/conf"),
		web.OAuth2("login", web.OAuth2Flow{AuthorizationURL: "https://auth.example/a", TokenURL: "https://token.example/t", Scopes: map[string]string{"read": "Read."}}).Scopes("read"),
		web.OAuth2("machine", web.OAuth2Flow{TokenURL: "https://token.example/t"})}}
	h := web.NewHandler(o, web.Post("/all", length), web.Post("/own", length, web.Secured(web.Basic("basic"))), web.Post("/open", length, web.Secured()))
	res, text := exchange(t, h, "GET", "/openapi.json", "")
	var document struct {
		Components struct {
			SecuritySchemes map[string]map[string]any
		}
		Paths map[string]map[string]struct {
			Security  []map[string][]string
			Responses map[string]struct {
				Content map[string]any
				Headers map[string]any
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil || res.StatusCode != 200 {
		t.Fatal(err, text)
	}
	for name, want := range map[string]string{
		"jwt":     `{"type":"http","scheme":"bearer","bearerFormat":"JWT"}`,
		"basic":   `{"type":"http","scheme":"basic"}`,
		"key":     `{"type":"apiKey","in":"query","name":"k"}`,
		"id":      `{"type":"openIdConnect","openIdConnectUrl":"https://login.example/conf"}`,
		"login":   `{"type":"oauth2","flows":{"authorizationCode":{"authorizationUrl":"https://auth.example/a","tokenUrl":"https://token.example/t","scopes":{"read":"Read."}}}}`,
		"machine": `{"type":"oauth2","flows":{"clientCredentials":{"tokenUrl":"https://token.example/t","scopes":{}}}}`,
	} {
		var parsed map[string]any
		if err := json.Unmarshal([]byte(want), &parsed); err != nil {
			t.Fatal(err)
		}
		if got := document.Components.SecuritySchemes[name]; !reflect.DeepEqual(got, parsed) {
			t.Errorf("%s: %v, want %s", name, got, want)
		}
	}
	all := []map[string][]string{{"jwt": {}}, {"key": {}}, {"id": {}}, {"login": {"read"}}, {"machine": {}}}
	for path, want := range map[string][]map[string][]string{"/all": all, "/own": {{"basic": {}}}, "/open": nil} {
		op := document.Paths[path]["post"]
		if !reflect.DeepEqual(op.Security, want) {
			t.Errorf("%s: %v, want %v", path, op.Security, want)
		}
		unknown, forbidden := op.Responses["401"], op.Responses["403"]
		if secured := want != nil; (unknown.Content["application/problem+json"] != nil) != secured || (forbidden.Content["application/problem+json"] != nil) != secured ||
			(unknown.Headers["WWW-Authenticate"] != nil) != secured {
			t.Errorf("%s: responses %v", path, op.Responses)
		}
	}
	res, _ = exchange(t, h, "GET", "/apidocs/", "")
	if policy := res.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "connect-src 'self' https://login.example https://token.example;") {
		t.Errorf("the page can't fetch tokens: %s", policy)
	}
}
