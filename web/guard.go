package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/internal/loopback"
)

// guard refuses requests that pages of foreign origins make a browser send.
type guard struct {
	hosts   *loopback.Hosts // set when the server listens
	cross   http.CrossOriginProtection
	open    bool    // to the pages of every origin
	trusted origins // their pages may send requests that change something
	cors    *cors   // nil means none
}

// set sets the guard from the options.
func (g *guard) set(o *Options) error {
	var mistakes []error
	g.open = o.UnsafeAnyOrigin
	g.trusted = append(g.trusted, o.TrustedOrigins...)
	if o.CORS != nil {
		g.cors = newCORS(o.CORS)
		g.trusted = append(g.trusted, o.CORS.Origins...)
		mistakes = append(mistakes, o.CORS.check())
	}
	return errors.Join(append(mistakes, g.trusted.check())...)
}

// refusal returns what is wrong with the origin or the host of a request, or
// nil. It sets the headers that let pages of other origins read the response.
func (g *guard) refusal(header http.Header, r *http.Request, exempt func(*http.Request) bool) *Problem {
	if !g.hosts.Has(r.Host) {
		p := newProblem(http.StatusMisdirectedRequest, loopback.Refusal(r)+"; web.Options.Hosts and --http-hosts have others")
		p.Code = enoki.PermissionDenied
		return p
	}
	g.cors.allow(header, r)
	if g.open || g.cross.Check(r) == nil || g.trusted.has(r.Header.Get("Origin")) || exempt(r) {
		return nil
	}
	return problemOf(enoki.Errorf(enoki.PermissionDenied,
		"a page of another origin may not send this; name its origin in web.Options.TrustedOrigins or CORS if it should"))
}

// preflight replies to a preflight and reports whether the request was one.
func (g *guard) preflight(a *answer, r *http.Request) bool {
	if g.cors == nil || r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	g.cors.preflight(a, r)
	return true
}

// skipsOrigin reports whether the request's route accepts every origin.
func (h *handler) skipsOrigin(r *http.Request) bool {
	_, pattern := h.mux.Handler(r)
	route := h.handled[pattern]
	return route != nil && route.settings.anyOrigin
}

// origins are origins of web pages: https://www.example.com, or
// https://*.example.com for every name below, or "*" for every origin.
type origins []string

func (list origins) has(origin string) bool {
	if origin == "" {
		return false
	}
	origin = strings.ToLower(origin)
	for _, o := range list {
		before, after, tree := strings.Cut(strings.ToLower(o), "*")
		switch {
		case o == "*", !tree && origin == before:
			return true
		case tree && len(origin) > len(before)+len(after) && strings.HasPrefix(origin, before) && strings.HasSuffix(origin, after):
			return true
		}
	}
	return false
}

func (list origins) check() error {
	var mistakes []error
	for _, o := range list {
		if o == "*" {
			continue
		}
		u, err := url.Parse(strings.Replace(o, "://*.", "://", 1))
		if err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != strings.Replace(o, "://*.", "://", 1) || strings.Contains(u.Host, "*") {
			mistakes = append(mistakes, fmt.Errorf("web: %q is no origin; write scheme and host, as in https://www.example.com or https://*.example.com", o))
		}
	}
	return errors.Join(mistakes...)
}
