package api

import (
	"reflect"

	"github.com/enoki-go/enoki/examples/comments/registerapi"
	"github.com/enoki-go/enoki/web"
)

// The codes of an envelope.
const (
	codeOK            = 0
	codeNoEmail       = 10000
	codeNotRegistered = 10001 // the message is that of the register service
	codeNoUser        = 10003
	codeStranger      = 10004
)

// envelope is the body of every answer of status 200.
type envelope[T any] struct {
	Code    int    `json:"code" doc:"0, or what was wrong." example:"0"`
	Message string `json:"message" doc:"Empty, or the code in words."`
	Data    any    `json:"data"` // a *T, or the empty text where there is none
}

type output[T any] struct {
	Body envelope[T]
}

func ok[T any](value T) *output[T] {
	return &output[T]{envelope[T]{Data: &value}}
}

func refused[T any](code int, message string) *output[T] {
	return &output[T]{envelope[T]{Code: code, Message: message, Data: ""}}
}

// TransformSchema describes both forms of the data.
func (envelope[T]) TransformSchema(r web.Registry, s *web.Schema) *web.Schema {
	none := 0
	s.Properties["data"] = &web.Schema{OneOf: []*web.Schema{
		r.Schema(reflect.TypeFor[T](), true, ""),
		{Type: "string", MaxLength: &none, Description: "Empty, where there is no data."},
	}}
	return s
}

// userID is a user's id in a request: text, or an integer, as some programs
// keep the author of an article.
type userID struct{ registerapi.UserID }

// Schema describes both.
func (userID) Schema(web.Registry) *web.Schema {
	return &web.Schema{
		OneOf:       []*web.Schema{{Type: "string"}, {Type: "integer"}},
		Description: "Who wrote the article, and is told of the comment. Must not be empty.",
	}
}
