// Package authentication shows a service that serves those whose token it
// trusts. Its test is the text of docs/authentication.md.
package authentication

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/web"
)

// audience is what the issuer of tokens calls this service: a token for
// another one is none for us.
const audience = "reports"

type claims struct {
	Roles []string `json:"roles"`
	jwt.RegisteredClaims
}

type claimsKey struct{}

// authenticate lets in who has a token, or none: the security of the routes
// decides which of them strangers may use.
func authenticate(key []byte) func(http.Handler) http.Handler {
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{"HS256"}), // never what the token asks for
		jwt.WithAudience(audience),
		jwt.WithIssuer("https://login.example.com"),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(10*time.Second), // clocks differ
	)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			token, given := bearer(r)
			if !given {
				next.ServeHTTP(w, r)
				return
			}
			var c claims
			_, err := parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return key, nil })
			if err == nil && c.Subject == "" {
				err = errors.New("it has no subject")
			}
			if err != nil {
				w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
				web.Refuse(w, r, enoki.Errorf(enoki.Unauthenticated, "the token is not valid"))
				return
			}
			ctx := enoki.WithCaller(r.Context(), c.Subject)
			next.ServeHTTP(w, r.WithContext(context.WithValue(ctx, claimsKey{}, &c)))
		})
	}
}

func bearer(r *http.Request) (token string, given bool) {
	scheme, token, found := strings.Cut(r.Header.Get("Authorization"), " ")
	return token, found && strings.EqualFold(scheme, "Bearer")
}

// only lets those through who have a role, and strangers to where the route's
// security refuses them.
func only(role string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if c, known := r.Context().Value(claimsKey{}).(*claims); known && !slices.Contains(c.Roles, role) {
				web.Refuse(w, r, enoki.Errorf(enoki.PermissionDenied, "this is for those with the role %s", role))
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

type greeting struct{ Body string }

func hello(ctx context.Context, _ *struct{}) (*greeting, error) {
	return &greeting{"hello " + enoki.CallerOf(ctx).Name}, nil
}

func status(context.Context, *struct{}) (*greeting, error) { return &greeting{"up"}, nil }

// site returns what the service serves, and how.
func site(key []byte) (*web.Options, []web.Route) {
	token := web.Bearer("token", "JWT")
	return &web.Options{
			Middleware: []func(http.Handler) http.Handler{authenticate(key)},
			Security:   []web.Security{token},
		}, []web.Route{
			web.Get("/hello", hello),
			web.Get("/reports", hello, web.Middleware(only("auditor"))),
			web.Get("/status", status, web.Secured()), // for everybody
		}
}
