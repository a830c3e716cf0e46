// Package web gives a service HTTP entrypoints: routes with typed inputs and
// outputs, an OpenAPI 3.1 document made of them, and a page to read it and try
// it out. Errors are answered as problem details (RFC 9457).
//
//	enoki.NewService("api",
//		web.Serve(&web.Options{Title: "Comments"},
//			web.Post("/api/v1/comment", postComment),
//			web.Get("/api/v1/articles/{id}/comments", listComments),
//		),
//	)
//
// # Inputs and outputs
//
// A handler takes a pointer to a struct and returns one. Fields of the input
// tagged path, query, header or cookie are taken from there, and the field
// Body from the JSON body:
//
//	type postInput struct {
//		Article string `path:"id"`
//		DryRun  bool   `query:"dry_run"`
//		Body    struct {
//			Text   string `json:"text" minLength:"1" maxLength:"5000"`
//			Parent int64  `json:"parent,omitempty" doc:"the comment that this one answers"`
//		}
//	}
//
// The output's field Body becomes the JSON body, fields tagged header become
// headers, and the field Status (an int) the status, which is 200, or 204 when
// there is no Body, unless the route says otherwise.
//
// Parameters are optional unless tagged required:"true" (those of the path
// always are there). Fields of the body are required unless they have a default
// or are tagged omitempty, omitzero or required:"false"; a null for an optional
// field counts as left out. A default never replaces what was sent. Names are
// exact, and a key that comes twice is refused. Fields that the struct does not
// have are refused, which finds a client's spelling mistakes; a struct with
//
//	_ struct{} `json:"-" additionalProperties:"true"`
//
// lets them pass, for clients that are newer or older than the service. The
// other tags are minimum, maximum, minLength, maxLength, pattern, format, enum,
// minItems, maxItems, default, doc and example. A type that JSON Schema
// can't be guessed for describes itself, see [Schema].
//
// What is checked is the text that is decoded, by the schema that the document
// shows. A nil slice is answered as an empty list, a nil map as an empty object.
//
// # What a request goes through
//
// A net for panics and the log are outermost. Then host and origin are checked
// (Hosts and TrustedOrigins of [Options]), [CORS] is answered, and the body gets
// a limit. Middleware of Options comes next, then that of the route
// ([Middleware]), then the route's [Security].
//
// Size, content type and fields are checked now. Only a valid request takes
// a worker slot of the service and gets a deadline, a call id and the service's
// middleware, as an RPC does. Whatever the handler returns or panics with, the
// answer is sent whole or replaced by a problem; nothing is sent by halves.
//
// # Other routes
//
// [Handle] takes a handler of net/http, [WebSocket] serves methods to browsers
// that stay connected, and [Plain] answers as an HTTP entrypoint of Nameko does.
//
// The package hides the library that it is built on, danielgtaylor/huma,
// but for its names of struct tags and the two aliases [Schema] and [Registry].
package web
