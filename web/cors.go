package web

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/enoki-go/enoki"
)

// CORS says which pages of other origins may read a service's responses and
// send requests for which a browser first asks permission (a preflight). These
// pages may also send requests that change something.
type CORS struct {
	// Origins are the origins of the pages: "https://www.example.com",
	// "https://*.example.com", or "*" for every page of the web.
	Origins []string

	// Headers are the request headers that pages may set, in addition to Accept,
	// Accept-Language, Content-Language and Range. Default: Authorization and
	// Content-Type.
	Headers []string

	// Expose are the response headers that pages may read, in addition to the usual
	// ones. Default: X-Request-Id and WWW-Authenticate.
	Expose []string

	// Credentials lets a browser send its user's cookies. It can't be combined with
	// every origin ("*"). Default: false.
	Credentials bool

	// MaxAge is how long a browser may remember the reply to a preflight. A
	// negative value means not at all. Default: 10 minutes.
	MaxAge time.Duration
}

func (c *CORS) check() error {
	switch {
	case len(c.Origins) == 0:
		return errors.New("web: CORS has no Origins; name those of the pages that may read answers")
	case c.Credentials && slices.Contains(c.Origins, "*"):
		return errors.New(`web: CORS with Credentials for the origin "*" would hand every page of the web the data of its visitor; name the origins`)
	case slices.Contains(slices.Concat(c.Headers, c.Expose), "*"):
		return errors.New(`web: CORS names headers one by one; browsers take "*" for a name when credentials are sent`)
	}
	return nil
}

// corsMethods may be asked for. A path without the method says so itself.
var corsMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}

// cors is a CORS that is ready to use.
type cors struct {
	origins     origins
	every       bool
	credentials bool
	headers     []string // lower case, as browsers send them
	expose      string
	maxAge      string
}

func newCORS(o *CORS) *cors {
	c := &cors{origins: o.Origins, every: slices.Contains(o.Origins, "*"), credentials: o.Credentials}
	headers, expose, age := o.Headers, o.Expose, o.MaxAge
	if len(headers) == 0 {
		headers = []string{"Authorization", "Content-Type"}
	}
	for _, name := range headers {
		c.headers = append(c.headers, strings.ToLower(name))
	}
	if len(expose) == 0 {
		expose = []string{requestIDHeader, "WWW-Authenticate"}
	}
	c.expose = strings.Join(expose, ", ")
	if age == 0 {
		age = 10 * time.Minute
	}
	c.maxAge = strconv.Itoa(max(0, int(age/time.Second)))
	return c
}

// allow sets the headers that let a page read the response. The response
// depends on the page, so it tells caches to keep one for each origin.
func (c *cors) allow(header http.Header, r *http.Request) {
	if c == nil {
		return
	}
	if c.every {
		header.Set("Access-Control-Allow-Origin", "*")
	} else {
		header.Add("Vary", "Origin")
		origin := r.Header.Get("Origin")
		if !c.origins.has(origin) {
			return
		}
		header.Set("Access-Control-Allow-Origin", origin)
	}
	if c.credentials {
		header.Set("Access-Control-Allow-Credentials", "true")
	}
	header.Set("Access-Control-Expose-Headers", c.expose)
}

// preflight says what the requesting page may do. allow has run before. What
// the page may not do is left out, and the browser tells its user why.
func (c *cors) preflight(a *answer, r *http.Request) {
	header := a.Header()
	header.Del("Access-Control-Expose-Headers")
	header.Add("Vary", "Access-Control-Request-Method")
	header.Add("Vary", "Access-Control-Request-Headers")
	if header.Get("Access-Control-Allow-Origin") == "" {
		a.keep()
		a.problem(problemOf(enoki.Errorf(enoki.PermissionDenied, "pages of this origin may not read answers; name it in web.Options.CORS if they should")))
		return
	}
	header.Set("Access-Control-Allow-Methods", strings.Join(corsMethods, ", "))
	header.Set("Access-Control-Allow-Headers", strings.Join(c.headers, ", "))
	header.Set("Access-Control-Max-Age", c.maxAge)
	a.WriteHeader(http.StatusNoContent)
}
