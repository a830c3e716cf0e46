package authentication

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/enoki-go/enoki/web"
)

var key = []byte("a secret of 32 bytes or more, from the settings")

// usual are the claims of a good token.
func usual() jwt.MapClaims {
	return jwt.MapClaims{
		"iss": "https://login.example.com", "aud": audience, "sub": "anna", "exp": time.Now().Add(time.Hour).Unix(),
	}
}

func signed(c jwt.MapClaims) string {
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(key)
	if err != nil {
		panic(err)
	}
	return token
}

// ask sends a request with a token, or without one.
func ask(h http.Handler, path, token string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", path, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Tokens open the routes; each kind of refusal is a problem.
func Example() {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	o, routes := site(key)
	h := web.NewHandler(o, routes...) // in a program: web.Serve(o, routes...)

	late := usual()
	late["exp"] = time.Now().Add(-time.Hour).Unix()
	auditor := usual()
	auditor["roles"] = []string{"auditor"}
	for _, request := range []struct{ path, token string }{
		{"/status", ""},
		{"/hello", ""},
		{"/hello", signed(late)},
		{"/hello", signed(usual())},
		{"/reports", ""},
		{"/reports", signed(usual())},
		{"/reports", signed(auditor)},
	} {
		w := ask(h, request.path, request.token)
		if w.Code == http.StatusOK {
			fmt.Print(request.path, " ", w.Code, " ", w.Body)
			continue
		}
		var p web.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			fmt.Println(err)
		}
		fmt.Printf("%s %d %s: %s [%s]\n", request.path, w.Code, p.Code, p.Detail, w.Header().Get("WWW-Authenticate"))
	}
	// Output:
	// /status 200 "up"
	// /hello 401 unauthenticated: say who you are: this needs credentials [Bearer]
	// /hello 401 unauthenticated: the token is not valid [Bearer error="invalid_token"]
	// /hello 200 "hello anna"
	// /reports 401 unauthenticated: say who you are: this needs credentials [Bearer]
	// /reports 403 permission_denied: this is for those with the role auditor []
	// /reports 200 "hello anna"
}

// Nothing but a token of our issuer, for us, that is still good, opens a route.
func TestBadTokens(t *testing.T) {
	o, routes := site(key)
	h := web.NewHandler(o, routes...)
	with := func(name string, value any) jwt.MapClaims {
		c := usual()
		c[name] = value
		if value == nil {
			delete(c, name)
		}
		return c
	}
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, usual()).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	otherKey, _ := jwt.NewWithClaims(jwt.SigningMethodHS256, usual()).SignedString([]byte("another key"))
	otherMethod, _ := jwt.NewWithClaims(jwt.SigningMethodHS512, usual()).SignedString(key)
	for name, token := range map[string]string{
		"nonsense": "x.y.z", "unsigned": unsigned, "of another key": otherKey, "of another method": otherMethod,
		"for another service": signed(with("aud", "billing")), "for nobody": signed(with("aud", nil)),
		"of another issuer": signed(with("iss", "https://evil.example")), "old": signed(with("exp", time.Now().Add(-time.Minute).Unix())),
		"for ever": signed(with("exp", nil)), "not yet good": signed(with("nbf", time.Now().Add(time.Hour).Unix())),
		"of nobody": signed(with("sub", "")),
	} {
		w := ask(h, "/hello", token)
		var p web.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); w.Code != 401 || err != nil || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// The document says what the routes need, and what a stranger is answered.
func TestDocument(t *testing.T) {
	o, routes := site(key)
	res := ask(web.NewHandler(o, routes...), "/openapi.json", "").Result()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Components struct{ SecuritySchemes map[string]any }
		Paths      map[string]map[string]struct {
			Security  []any
			Responses map[string]any
		}
	}
	if err := json.Unmarshal(text, &document); err != nil || document.Components.SecuritySchemes["token"] == nil {
		t.Fatal(err, string(text))
	}
	for path, secured := range map[string]bool{"/hello": true, "/reports": true, "/status": false} {
		op := document.Paths[path]["get"]
		if (len(op.Security) > 0) != secured || (op.Responses["401"] != nil) != secured || (op.Responses["403"] != nil) != secured {
			t.Errorf("%s: %+v", path, op)
		}
	}
}
