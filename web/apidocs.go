package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The page loads nothing from other origins, so that it works offline. It runs
// no script but the files beside it. %s are the origins from which it gets
// tokens.
const apidocsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; " +
	"img-src 'self' data:; connect-src 'self'%s; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

//go:embed apidocs/*.html apidocs/*.js apidocs/*.gz apidocs/LICENSE apidocs/NOTICE apidocs/*.txt
var apidocsFiles embed.FS

// page is a file that is served from memory.
type page struct {
	contentType string
	policy      string // Content-Security-Policy
	gzipped     bool   // the large files of the API docs are, to keep the binary small
	open        func() (io.ReadSeeker, error)
	etag        func() (string, error) // without quotes; the first call reads the page
}

func newPage(contentType string, open func() (io.ReadSeeker, error)) *page {
	return &page{contentType: contentType, open: open, etag: sync.OnceValues(func() (string, error) {
		body, err := open()
		if err != nil {
			return "", err
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, body); err != nil {
			return "", err
		}
		return hex.EncodeToString(sum.Sum(nil)[:12]), nil
	})}
}

// apidocs returns the pages of the API documentation by their paths. The pages
// stay in the binary and are not copied.
func apidocs(tokenOrigins []string) map[string]*page {
	pages := make(map[string]*page)
	policy := fmt.Sprintf(apidocsPolicy, strings.Join(append([]string{""}, tokenOrigins...), " "))
	for _, file := range []struct{ name, path, contentType string }{
		{"index.html", "/apidocs/{$}", "text/html; charset=utf-8"},
		{"init.js", "/apidocs/init.js", "text/javascript; charset=utf-8"},
		{"oauth2-redirect.html", "/apidocs/oauth2-redirect.html", "text/html; charset=utf-8"},
		{"oauth2-redirect.js", "/apidocs/oauth2-redirect.js", "text/javascript; charset=utf-8"},
		{"swagger-ui-bundle.js.gz", "/apidocs/swagger-ui-bundle.js", "text/javascript; charset=utf-8"},
		{"swagger-ui.css.gz", "/apidocs/swagger-ui.css", "text/css; charset=utf-8"},
		{"LICENSE", "/apidocs/LICENSE", "text/plain; charset=utf-8"},
		{"NOTICE", "/apidocs/NOTICE", "text/plain; charset=utf-8"},
		{"swagger-ui-bundle.js.LICENSE.txt", "/apidocs/swagger-ui-bundle.js.LICENSE.txt", "text/plain; charset=utf-8"},
	} {
		p := newPage(file.contentType, func() (io.ReadSeeker, error) {
			f, err := apidocsFiles.Open("apidocs/" + file.name)
			if err != nil {
				return nil, err
			}
			return f.(io.ReadSeeker), nil // package embed promises it
		})
		p.policy = policy
		p.gzipped = strings.HasSuffix(file.name, ".gz")
		pages[file.path] = p
	}
	return pages
}

// ServeHTTP replies to GET and HEAD. It replies with 304 if the client has the
// page. A client asks each time it shows the page, so it sees a new release of
// the service at once; a 304 is the price.
func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	tag, err := p.etag()
	if err != nil {
		panic(err) // a broken embedded file, which a test rules out
	}
	header := w.Header()
	header.Set("Content-Type", p.contentType)
	header.Set("Cache-Control", "no-cache")
	header.Set("X-Content-Type-Options", "nosniff")
	if p.policy != "" {
		header.Set("Content-Security-Policy", p.policy)
		header.Set("Referrer-Policy", "no-referrer")
	}
	open := p.open
	if p.gzipped {
		header.Set("Vary", "Accept-Encoding")
		if acceptsGzip(r.Header.Values("Accept-Encoding")) {
			header.Set("Content-Encoding", "gzip")
			tag += "-gzip"
		} else {
			open = p.unpacked
		}
	}
	body, err := open()
	if err != nil {
		panic(err)
	}
	header.Set("ETag", strconv.Quote(tag))
	http.ServeContent(w, r, "", time.Time{}, body)
}

// unpacked opens a page for the rare client that does not take gzip.
func (p *page) unpacked() (io.ReadSeeker, error) {
	packed, err := p.open()
	if err != nil {
		return nil, err
	}
	r, err := gzip.NewReader(packed)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(r)
	return bytes.NewReader(body), err
}

// acceptsGzip reports whether Accept-Encoding contains gzip or *, and not with
// q=0.
func acceptsGzip(values []string) bool {
	accepted := false
	for _, value := range values {
		for item := range strings.SplitSeq(value, ",") {
			coding, params, _ := strings.Cut(item, ";")
			coding = strings.ToLower(strings.TrimSpace(coding))
			switch coding {
			case "gzip", "x-gzip":
				return !refused(params)
			case "*":
				accepted = !refused(params)
			}
		}
	}
	return accepted
}

func refused(params string) bool {
	name, value, found := strings.Cut(strings.TrimSpace(params), "=")
	if !found || strings.TrimSpace(strings.ToLower(name)) != "q" {
		return false
	}
	q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	return err == nil && q == 0
}
