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
	"time"
)

// The page loads nothing from elsewhere, so that it works offline, and runs
// no script but the two files beside it.
const apidocsPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; " +
	"img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

//go:embed apidocs/index.html apidocs/init.js apidocs/*.gz apidocs/LICENSE apidocs/NOTICE apidocs/*.txt
var apidocsFiles embed.FS

// page is one file that is served from memory. Body is gzipped when gzipped
// is set, as two thirds of the binary's docs would otherwise be air.
type page struct {
	contentType string
	policy      string // Content-Security-Policy
	body        []byte
	gzipped     bool
	etag        string // without quotes
}

func newPage(contentType string, body []byte) *page {
	sum := sha256.Sum256(body)
	return &page{contentType: contentType, body: body, etag: hex.EncodeToString(sum[:12])}
}

// apidocs returns the pages of the API documentation by their path.
func apidocs() (map[string]*page, error) {
	pages := make(map[string]*page)
	for _, file := range []struct{ name, path, contentType string }{
		{"index.html", "/apidocs/{$}", "text/html; charset=utf-8"},
		{"init.js", "/apidocs/init.js", "text/javascript; charset=utf-8"},
		{"swagger-ui-bundle.js.gz", "/apidocs/swagger-ui-bundle.js", "text/javascript; charset=utf-8"},
		{"swagger-ui.css.gz", "/apidocs/swagger-ui.css", "text/css; charset=utf-8"},
		{"LICENSE", "/apidocs/LICENSE", "text/plain; charset=utf-8"},
		{"NOTICE", "/apidocs/NOTICE", "text/plain; charset=utf-8"},
		{"swagger-ui-bundle.js.LICENSE.txt", "/apidocs/swagger-ui-bundle.js.LICENSE.txt", "text/plain; charset=utf-8"},
	} {
		body, err := apidocsFiles.ReadFile("apidocs/" + file.name)
		if err != nil {
			return nil, fmt.Errorf("web: page %s of the API docs: %w", file.path, err)
		}
		p := newPage(file.contentType, body)
		p.policy = apidocsPolicy
		p.gzipped = strings.HasSuffix(file.name, ".gz")
		pages[file.path] = p
	}
	return pages, nil
}

// ServeHTTP answers GET and HEAD, and with 304 when the client has the page.
// A client asks again each time it shows the page: a new release of the
// service is then seen at once, and costs 304s.
func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Type", p.contentType)
	header.Set("Cache-Control", "no-cache")
	header.Set("X-Content-Type-Options", "nosniff")
	if p.policy != "" {
		header.Set("Content-Security-Policy", p.policy)
		header.Set("Referrer-Policy", "no-referrer")
	}
	if !p.gzipped {
		header.Set("ETag", strconv.Quote(p.etag))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(p.body))
		return
	}
	header.Set("Vary", "Accept-Encoding")
	if acceptsGzip(r.Header.Values("Accept-Encoding")) {
		header.Set("Content-Encoding", "gzip")
		header.Set("ETag", strconv.Quote(p.etag+"-gzip"))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(p.body))
		return
	}
	p.serveUnpacked(w, r)
}

// serveUnpacked is for the rare client that takes no gzip.
func (p *page) serveUnpacked(w http.ResponseWriter, r *http.Request) {
	unpacked, err := gunzip(p.body)
	if err != nil { // the embedded file is broken, which a test rules out
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("ETag", strconv.Quote(p.etag))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(unpacked))
}

func gunzip(packed []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// acceptsGzip reads Accept-Encoding: gzip or * is in it, and not with q=0.
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
