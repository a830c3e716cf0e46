package web

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// rule is the path of a Plain route. It has a pattern of http.ServeMux, and
// what its wildcards must match if the rule has converters.
type rule struct {
	pattern string
	values  map[string]*regexp.Regexp
	slash   bool // it ends in a slash, so the path without it is redirected
}

// placeholder matches a variable part of a werkzeug rule, such as <int:id>.
var placeholder = regexp.MustCompile(`<(?:([^<>:()]+)(\([^()]*\))?:)?([A-Za-z_][A-Za-z0-9_]*)>`)

// converters are werkzeug's converters and what they match.
var converters = map[string]*regexp.Regexp{
	"": nil, "default": nil, "string": nil,
	"int":   regexp.MustCompile(`^[0-9]+$`),
	"float": regexp.MustCompile(`^[0-9]+\.[0-9]+$`),
	"uuid":  regexp.MustCompile(`^[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}$`),
	"path":  regexp.MustCompile(`^[^/]`),
}

// parseRule reads a rule. Its placeholders are werkzeug's or those of
// http.ServeMux.
func parseRule(text string) (rule, error) {
	r := rule{values: map[string]*regexp.Regexp{}}
	var mistake error
	r.pattern = placeholder.ReplaceAllStringFunc(text, func(found string) string {
		parts := placeholder.FindStringSubmatch(found)
		converter, args, name := parts[1], parts[2], parts[3]
		value, known := converters[converter]
		if !known || args != "" {
			mistake = fmt.Errorf("there is no converter %q; have string, int, float, uuid and path, without arguments: check in the handler what they can't", converter+args)
		}
		if value != nil {
			r.values[name] = value
		}
		if converter == "path" {
			name += "..."
		}
		return "{" + name + "}"
	})
	if strings.ContainsAny(r.pattern, "<>") {
		mistake = fmt.Errorf("a placeholder is written <name>, <int:name> or {name}")
	}
	if strings.HasSuffix(r.pattern, "/") {
		r.slash = r.pattern != "/"
		r.pattern += "{$}" // only this path, not everything below it
	}
	return r, mistake
}

// fits reports whether the values in the request's path match the rule's
// converters.
func (r *rule) fits(req *http.Request) bool {
	for name, value := range r.values {
		if !value.MatchString(req.PathValue(name)) {
			return false
		}
	}
	return true
}

// withSlash redirects to the path with the slash at the end of the rule, with
// werkzeug's status.
func withSlash(a *answer, r *http.Request) {
	target := *r.URL
	target.Path += "/"
	if target.RawPath != "" {
		target.RawPath += "/"
	}
	http.Redirect(a, r, target.RequestURI(), http.StatusPermanentRedirect)
}
