package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/enoki-go/enoki"
)

// input is a route's input, ready to read requests. The text that was checked
// is also the one that is decoded. Names mean the same to both.
type input struct {
	params    []*param
	has       map[string]bool // the places of params
	body      []int           // the index of the field Body, or nil
	optional  bool            // a request may have no body
	shape     *shape
	completes bool // the body may lack something that has a default

	raw []int // the index of the field RawBody, or nil
}

// maxForm is how many bytes of a form are kept in memory. The rest goes to
// files, which net/http deletes after the request.
const maxForm = 1 << 20

// read fills in, or returns what is wrong with the request. limit is the
// largest body in bytes; a negative limit means none. m provides the memory for
// the body.
func (i *input) read(w http.ResponseWriter, req *http.Request, limit int64, m *memory, in reflect.Value) *Problem {
	faults := i.readParams(req, in)
	if i.body == nil && i.raw == nil {
		return invalid(faults)
	}
	if p := i.unreadable(req); p != nil {
		return p
	}
	if limit >= 0 {
		if req.ContentLength > limit {
			return tooLarge(limit) // without reading it
		}
		req.Body = http.MaxBytesReader(w, req.Body, limit)
	}
	if i.raw != nil {
		if p := i.readRaw(req, limit, m, in.FieldByIndex(i.raw)); p != nil {
			return p
		}
		return invalid(faults)
	}
	m.meter(req, -1)
	text, err := readAll(req)
	if err == nil {
		err = m.decode(req.Context(), len(text))
	}
	if err != nil {
		return brokenBody(err, limit)
	}
	if p := i.readBody(text, in, &faults); p != nil {
		return p
	}
	return invalid(faults)
}

// invalid returns the problem for a request with faults, or nil.
func invalid(faults []FieldError) *Problem {
	if len(faults) == 0 {
		return nil
	}
	p := newProblem(enoki.InvalidArgument.HTTPStatus(), "the request is not valid")
	p.Code, p.Errors = enoki.InvalidArgument, faults[:min(len(faults), maxFaults)]
	return p
}

func (i *input) readParams(req *http.Request, in reflect.Value) (faults []FieldError) {
	var query url.Values
	if i.has["query"] {
		var err error
		if query, err = url.ParseQuery(req.URL.RawQuery); err != nil {
			faults = append(faults, FieldError{Location: "query", Message: "not well-formed; write what is no letter or digit as %XX, and & between parameters"})
		}
	}
	for _, p := range i.params {
		var texts []string
		came := false
		switch p.place {
		case "path":
			texts, came = []string{req.PathValue(p.name)}, true
		case "query":
			texts, came = query[p.name]
		case "header":
			texts = headerValues(req, p.name)
			came = len(texts) > 0
		case "cookie":
			cookies := req.CookiesNamed(p.name)
			came = len(cookies) > 0
			for _, c := range cookies {
				texts = append(texts, c.Value)
			}
		}
		faults = append(faults, p.set(texts, came, in)...)
	}
	return faults
}

func headerValues(req *http.Request, name string) []string {
	if name == "Host" && req.Host != "" {
		return []string{req.Host} // package http removes it from the header
	}
	return req.Header[name]
}

// untyped refuses JSON without a Content-Type. Pages of other origins may send
// such a request without a preflight.
func (i *input) untyped(req *http.Request) *Problem {
	if req.ContentLength == 0 || i.raw != nil {
		return nil
	}
	return newProblem(http.StatusUnsupportedMediaType, "the body has no Content-Type; send "+jsonType)
}

// unreadable says by its headers why a body can't be read.
func (i *input) unreadable(req *http.Request) *Problem {
	for _, encoding := range req.Header["Content-Encoding"] {
		if !strings.EqualFold(strings.TrimSpace(encoding), "identity") && strings.TrimSpace(encoding) != "" {
			return newProblem(http.StatusUnsupportedMediaType, fmt.Sprintf("a body with Content-Encoding %q is not read here; send it as it is", encoding))
		}
	}
	types := req.Header["Content-Type"]
	switch {
	case len(types) == 1 && types[0] == jsonType:
		return nil
	case len(types) == 0, len(types) == 1 && types[0] == "":
		return i.untyped(req)
	case len(types) > 1:
		return newProblem(http.StatusUnsupportedMediaType, "the request has several Content-Types; send one")
	case i.raw != nil:
		return nil // the handler or the form reads it
	}
	media, params, err := mime.ParseMediaType(types[0])
	switch {
	case err != nil || media != jsonType && !strings.HasSuffix(media, "+json"):
		return newProblem(http.StatusUnsupportedMediaType, fmt.Sprintf("a body of type %q is not read here; send %s", types[0], jsonType))
	case params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8"):
		return newProblem(http.StatusUnsupportedMediaType, fmt.Sprintf("a body in the charset %q is not read here; JSON is UTF-8", params["charset"]))
	}
	return nil
}

// largestExpected is how many bytes are allocated for a body because its length
// was announced. More is allocated as the body arrives.
const largestExpected = 16 << 10

func readAll(req *http.Request) ([]byte, error) {
	switch n := req.ContentLength; {
	case n == 0 || req.Body == nil:
		return nil, nil
	case n > 0 && n <= largestExpected:
		text := make([]byte, n)
		_, err := io.ReadFull(req.Body, text)
		return text, err
	}
	var text bytes.Buffer
	_, err := text.ReadFrom(req.Body)
	return text.Bytes(), err
}

// brokenBody returns the problem for a body that did not arrive whole.
func brokenBody(err error, limit int64) *Problem {
	var large *http.MaxBytesError
	var late net.Error
	if full := exhausted(err); full != nil {
		return full
	}
	switch {
	case errors.As(err, &large):
		return tooLarge(limit)
	case errors.As(err, &late) && late.Timeout():
		return newProblem(http.StatusRequestTimeout, "the body did not arrive in time")
	}
	return newProblem(http.StatusBadRequest, "the body did not arrive as announced")
}

func tooLarge(limit int64) *Problem {
	return newProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", limit))
}

func (i *input) readRaw(req *http.Request, limit int64, m *memory, field reflect.Value) *Problem {
	if field.Kind() == reflect.Slice {
		m.meter(req, -1)
		text, err := readAll(req)
		if err != nil {
			return brokenBody(err, limit)
		}
		field.SetBytes(text)
		return nil
	}
	m.meter(req, maxForm)
	err := req.ParseMultipartForm(maxForm)
	switch {
	case errors.Is(err, http.ErrNotMultipart), errors.Is(err, http.ErrMissingBoundary):
		return newProblem(http.StatusUnsupportedMediaType, fmt.Sprintf("a body of type %q is not read here; send multipart/form-data", req.Header.Get("Content-Type")))
	case errors.Is(err, multipart.ErrMessageTooLarge):
		return newProblem(http.StatusRequestEntityTooLarge, "the form has too many parts, or too large ones")
	case err != nil:
		return brokenBody(err, limit)
	}
	field.Set(reflect.ValueOf(*req.MultipartForm))
	return nil
}

// readBody decodes a body that fits, and adds to faults what does not fit. It
// returns the problem for a body that is not JSON.
func (i *input) readBody(text []byte, in reflect.Value, faults *[]FieldError) *Problem {
	switch {
	case len(text) == 0 && i.optional:
		return nil
	case len(text) == 0:
		*faults = append(*faults, FieldError{Location: "body", Message: "request body is required"})
		return nil
	case !utf8.Valid(text):
		return malformed("the body is not UTF-8")
	case !i.shape.passes(text):
		found, malformed := i.explain(text)
		*faults = append(*faults, found...)
		return malformed
	}
	if i.completes {
		text = i.shape.complete(text)
	}
	field := in.FieldByIndex(i.body)
	if err := unmarshal(text, field); err != nil {
		*faults = append(*faults, decodeFault(text, err))
	}
	return nil
}

func malformed(text string) *Problem {
	p := newProblem(http.StatusBadRequest, "the body is not JSON")
	p.Code, p.Errors = enoki.MalformedRequest, []FieldError{{Location: "body", Message: text}}
	return p
}

// explain says why a body does not fit.
func (i *input) explain(text []byte) ([]FieldError, *Problem) {
	if depthOf(text) > maxDepth {
		return nil, malformed(fmt.Sprintf("lists and objects lie more than %d deep in each other", maxDepth))
	}
	if mistake := syntaxFault(text); mistake != "" {
		return nil, malformed(mistake)
	}
	faults := i.shape.faults(text, "body")
	if len(faults) == 0 {
		faults = []FieldError{{Location: "body", Message: "does not fit what the documentation says"}}
	}
	return faults, nil
}
