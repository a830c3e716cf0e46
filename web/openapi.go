package web

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// document makes the OpenAPI document of the routes. It serves the document and
// the page that shows it.
func (h *handler) document(service string) error {
	document := h.openAPI
	document.Info.Title = h.options.Title
	if document.Info.Title == "" {
		document.Info.Title = service
	}
	asJSON, err := document.MarshalJSON()
	if err != nil {
		return fmt.Errorf("web: OpenAPI document as JSON: %w", err)
	}
	asYAML := sync.OnceValues(document.YAML) // it takes a millisecond or more, and few ask for it
	pages := apidocs(h.tokenOrigins())
	// A more exact type would keep browsers from showing the document.
	pages["/openapi.json"] = newPage(jsonType, func() (io.ReadSeeker, error) { return bytes.NewReader(asJSON), nil })
	pages["/openapi.yaml"] = newPage("application/yaml", func() (io.ReadSeeker, error) {
		body, err := asYAML()
		return bytes.NewReader(body), err
	})
	for path, p := range pages {
		if err := h.page("GET "+path, p); err != nil {
			return err
		}
	}
	return h.page("GET /apidocs", http.RedirectHandler("/apidocs/", http.StatusMovedPermanently))
}

// page serves one of our own pages, which needs no worker and no middleware.
func (h *handler) page(pattern string, p http.Handler) (err error) {
	defer func() {
		if conflict := recover(); conflict != nil {
			err = fmt.Errorf("web: the API docs can't be served beside the service's routes; change the route or set NoDocs: %v", conflict)
		}
	}()
	h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		a := w.(*answer)
		if h.options.SecureDocs && !isKnown(r) {
			a.problem(anonymous())
			return
		}
		a.pass()
		p.ServeHTTP(w, r)
	})
	return nil
}
