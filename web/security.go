package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/enoki-go/enoki"
)

// Security is a way in which clients say who they are. Bearer, Basic, APIKey,
// OAuth2 and OpenID make one. The document shows it, and a request without a
// known caller is refused. Middleware checks what clients send.
type Security struct {
	name      string
	scheme    *huma.SecurityScheme
	scopes    []string
	challenge string // the challenge in WWW-Authenticate
	mistake   error
}

// Bearer is a token in the header Authorization. name is its name in the
// document. format is the format of the token, for people: "JWT", or "".
func Bearer(name, format string) Security {
	return newSecurity(name, "Bearer", &huma.SecurityScheme{Type: "http", Scheme: "bearer", BearerFormat: format})
}

// Basic is a user's name and password in the header Authorization.
func Basic(name string) Security {
	return newSecurity(name, `Basic realm="`+quotable(name)+`", charset="UTF-8"`, &huma.SecurityScheme{Type: "http", Scheme: "basic"})
}

// APIKey is a key in a header, a query parameter or a cookie. in is "header",
// "query" or "cookie". param is the name of the header, parameter or cookie.
func APIKey(name, in, param string) Security {
	s := newSecurity(name, `APIKey name="`+quotable(param)+`"`, &huma.SecurityScheme{Type: "apiKey", In: in, Name: param})
	if !slices.Contains([]string{"header", "query", "cookie"}, in) || param == "" {
		s.mistake = fmt.Errorf("web: security %q: an API key is the named one in a header, query or cookie; have %q in %q", name, param, in)
	}
	return s
}

// OAuth2Flow says how a client gets an OAuth 2 token. With an AuthorizationURL
// it sends its user there (authorization code). Without one it uses its own
// credentials.
type OAuth2Flow struct {
	AuthorizationURL, TokenURL, RefreshURL string
	Scopes                                 map[string]string // what each scope is for, by its name
}

// OAuth2 is a bearer token that clients get by an OAuth 2 flow.
func OAuth2(name string, f OAuth2Flow) Security {
	flow := &huma.OAuthFlow{AuthorizationURL: f.AuthorizationURL, TokenURL: f.TokenURL, RefreshURL: f.RefreshURL, Scopes: f.Scopes}
	if flow.Scopes == nil {
		flow.Scopes = map[string]string{} // OpenAPI requires it
	}
	flows := &huma.OAuthFlows{ClientCredentials: flow}
	if f.AuthorizationURL != "" {
		flows = &huma.OAuthFlows{AuthorizationCode: flow}
	}
	s := newSecurity(name, "Bearer", &huma.SecurityScheme{Type: "oauth2", Flows: flows})
	for _, u := range []string{f.AuthorizationURL, f.TokenURL, f.RefreshURL} {
		if _, err := originOf(u); err != nil && u != "" {
			s.mistake = fmt.Errorf("web: security %q: %w", name, err)
		}
	}
	if f.TokenURL == "" {
		s.mistake = fmt.Errorf("web: security %q has no TokenURL, where clients get their tokens", name)
	}
	return s
}

// OpenID is a bearer token from an OpenID provider. discovery is the URL of its
// openid-configuration.
func OpenID(name, discovery string) Security {
	s := newSecurity(name, "Bearer", &huma.SecurityScheme{Type: "openIdConnect", OpenIDConnectURL: discovery})
	if _, err := originOf(discovery); err != nil {
		s.mistake = fmt.Errorf("web: security %q: %w", name, err)
	}
	return s
}

func newSecurity(name, challenge string, scheme *huma.SecurityScheme) Security {
	s := Security{name: name, scheme: scheme, challenge: challenge}
	if name == "" || strings.ContainsFunc(name, isOutsideName) {
		s.mistake = fmt.Errorf("web: security %q: a name is made of letters, digits, '.', '-' and '_'", name)
	}
	return s
}

func isOutsideName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
}

// quotable returns a text that fits into a quoted-string.
func quotable(s string) string { return strings.Trim(strconv.QuoteToASCII(s), `"`) }

// originOf returns the scheme and host of an absolute http URL.
func originOf(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", fmt.Errorf("%q is no URL of the web; write it whole, as in https://login.example.com/token", text)
	}
	return u.Scheme + "://" + u.Host, nil
}

// Scopes returns s with scopes that a client needs. The document shows them.
// Middleware or the handler has to check them.
func (s Security) Scopes(scopes ...string) Security {
	s.scopes = slices.Clone(scopes)
	return s
}

// Secured gives a route its own security in place of that of Options: a client
// needs one of the given ways. Secured() opens the route to everybody.
func Secured(security ...Security) RouteOption {
	return func(s *settings) { s.secured, s.security = true, security }
}

// securityOf returns the security of a route.
func (h *handler) securityOf(r *Route) []Security {
	if r.settings.secured {
		return r.settings.security
	}
	return h.options.Security
}

// admits reports whether a request may reach a route.
func (h *handler) admits(r *Route, req *http.Request) bool {
	return len(h.securityOf(r)) == 0 || isKnown(req)
}

// isKnown reports whether middleware has found the caller.
func isKnown(r *http.Request) bool {
	c := enoki.CallerOf(r.Context())
	return c.Name != "" && !c.Claimed
}

// anonymous returns the refusal for an unknown caller.
func anonymous() *Problem {
	return problemOf(enoki.Errorf(enoki.Unauthenticated, "say who you are: this needs credentials"))
}

// challenge sets WWW-Authenticate, which every 401 must have.
func (h *handler) challenge(header http.Header) {
	if len(header["Www-Authenticate"]) > 0 {
		return
	}
	for _, s := range h.declared {
		if !slices.Contains(header["Www-Authenticate"], s.challenge) {
			header.Add("WWW-Authenticate", s.challenge)
		}
	}
}

// declareSecurity adds the security of Options to the document.
func (h *handler) declareSecurity() error {
	var mistakes []error
	for _, s := range h.options.Security {
		mistakes = append(mistakes, h.declare(s))
	}
	return errors.Join(mistakes...)
}

// declare adds s to the document. Two may not have the same name.
func (h *handler) declare(s Security) error {
	if s.scheme == nil {
		return errors.New("web: a Security is empty; make one by Bearer, Basic, APIKey, OAuth2 or OpenID")
	}
	if s.mistake != nil {
		return s.mistake
	}
	components := h.openAPI.Components
	if components.SecuritySchemes == nil {
		components.SecuritySchemes = map[string]*huma.SecurityScheme{}
	}
	known := components.SecuritySchemes[s.name]
	if known == nil {
		components.SecuritySchemes[s.name] = s.scheme
		h.declared = append(h.declared, s)
		return nil
	}
	if known != s.scheme {
		return fmt.Errorf("web: two kinds of security are called %q; make it once and use it for both, or give each a name", s.name)
	}
	return nil
}

// documented returns a route's security for OpenAPI; nil means none.
func (h *handler) documented(r *Route) []map[string][]string {
	var list []map[string][]string
	for _, s := range h.securityOf(r) {
		list = append(list, map[string][]string{s.name: append([]string{}, s.scopes...)})
	}
	return list
}

// documentSecurity adds the response to an unknown caller to the document.
func (h *handler) documentSecurity(op *huma.Operation) {
	if len(op.Security) == 0 {
		return
	}
	usual := op.Responses["default"]
	if usual == nil {
		return
	}
	unknown := *usual
	unknown.Description = "Unauthorized: the caller is not known"
	unknown.Headers = map[string]*huma.Param{"WWW-Authenticate": {
		Description: "How to say who you are.", Schema: &huma.Schema{Type: huma.TypeString},
	}}
	forbidden := *usual
	forbidden.Description = "Forbidden: the caller is known and may not do this"
	op.Responses["401"], op.Responses["403"] = &unknown, &forbidden
}

// tokenOrigins returns the origins from which the documentation page fetches
// tokens.
func (h *handler) tokenOrigins() []string {
	var urls []string
	for _, s := range h.declared {
		urls = append(urls, s.scheme.OpenIDConnectURL)
		if f := s.scheme.Flows; f != nil {
			for _, flow := range []*huma.OAuthFlow{f.AuthorizationCode, f.ClientCredentials} {
				if flow != nil {
					urls = append(urls, flow.TokenURL, flow.RefreshURL)
				}
			}
		}
	}
	var origins []string
	for _, u := range urls {
		if origin, err := originOf(u); err == nil && !slices.Contains(origins, origin) {
			origins = append(origins, origin)
		}
	}
	return origins
}
