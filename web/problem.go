package web

import (
	"errors"
	"net/http"
	"strings"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/fault"
)

const problemType = "application/problem+json"

// Problem is the body of every error response. It is the problem details of RFC
// 9457 with the error's code and the faulty fields. A client in Go can decode a
// response into it.
type Problem struct {
	Type     string       `json:"type" doc:"Always about:blank: the status and the code say what kind of problem it is." example:"about:blank"`
	Title    string       `json:"title" doc:"The status in words." example:"Bad Request"`
	Status   int          `json:"status" doc:"The HTTP status." example:"400"`
	Detail   string       `json:"detail" doc:"What went wrong this time." example:"the request is not valid"`
	Instance string       `json:"instance" doc:"The id of this request; the service's log has it too." example:"urn:uuid:3c1f7a52-0b7d-4f4e-9d2b-6f8a1c2e5d90"`
	Code     enoki.Code   `json:"code" doc:"The kind of error, the same in every protocol of the service." example:"invalid_argument"`
	Errors   []FieldError `json:"errors,omitempty" nullable:"false" doc:"The parts of the request that were refused."`
}

// FieldError says what is wrong with one part of a request.
type FieldError struct {
	Location string `json:"location" doc:"Where it is, such as body.user.email, path.id or query.limit." example:"body.timestamp"`
	Message  string `json:"message" doc:"What was expected there." example:"expected integer"`
}

// Error returns the detail and the fields, so that a client in Go can return a
// Problem as an error.
func (p *Problem) Error() string {
	var text strings.Builder
	text.WriteString(p.Detail)
	for i, e := range p.Errors {
		text.WriteString([]string{": ", ", "}[min(i, 1)])
		text.WriteString(e.Location + ": " + e.Message)
	}
	return text.String()
}

// newProblem returns the problem for a status that HTTP itself gives, such as
// 404 or 413.
func newProblem(status int, detail string) *Problem {
	return &Problem{
		Type: "about:blank", Title: statusText(status), Status: status,
		Detail: detail, Code: codeOfStatus(status),
	}
}

// problemOf returns the problem with which a client learns of a handler's
// error. If the error is not the client's fault, its text stays in the log: it
// may hold secrets, and the client can't do anything with it.
func problemOf(err error) *Problem {
	code := enoki.CodeOf(err)
	if code.HTTPStatus() < http.StatusInternalServerError {
		code = fault.RelayedCode(err) // a handler's mistake in a call is not the client's
	}
	p := newProblem(code.HTTPStatus(), "")
	p.Code = code
	if p.Status >= http.StatusInternalServerError {
		p.Detail = publicText(code)
		if p.Status == http.StatusInternalServerError {
			p.Code = enoki.Internal
		}
		return p
	}
	var e *enoki.Error
	if errors.As(err, &e) && e != nil && e.Message != "" && e.Message != string(e.Code) {
		p.Detail = e.Message // err's own text also has what others put around it
	} else {
		p.Detail = strings.ToLower(p.Title)
	}
	return p
}

// publicText is what a client reads about an error of the server.
func publicText(code enoki.Code) string {
	switch code {
	case enoki.Unavailable, enoki.UnknownService, enoki.Blocked:
		return "the service is not available at the moment, try again"
	case enoki.DeadlineExceeded:
		return "the service did not answer in time"
	case enoki.NotDelivered:
		return "the request did not reach a service behind this one, try again"
	case enoki.UnknownOutcome:
		return "it is not known whether the request was carried out"
	}
	return "internal error"
}

// codeOfStatus returns the code of a refusal that comes from HTTP itself.
func codeOfStatus(status int) enoki.Code {
	switch status {
	case http.StatusNotFound:
		return enoki.NotFound
	case http.StatusMethodNotAllowed:
		return enoki.MethodNotFound
	case http.StatusInternalServerError:
		return enoki.Internal
	}
	return enoki.MalformedRequest
}

func statusText(status int) string {
	if status == 499 { // nginx made it up, and package http has no text for it
		return "Client Closed Request"
	}
	return http.StatusText(status)
}
