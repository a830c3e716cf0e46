// Package web gives a service HTTP entrypoints. It has routes with typed inputs
// and outputs. It makes an OpenAPI 3.1 document of them, and a page to read and
// try it. Error responses are problem details (RFC 9457).
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
// A handler takes a pointer to a struct and returns a pointer to another one.
// The tags path, query, header and cookie say where a field of the input comes
// from. The field Body comes from the JSON body:
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
// The output's field Body becomes the JSON body. Fields tagged header become
// headers. The field Status (an int) becomes the status. Without it the status
// is 200, or 204 if there is no Body, unless the route says otherwise.
//
// Parameters are optional unless tagged required:"true". Parameters of the path
// are always present. Fields of the body are required, unless they have a
// default or are tagged omitempty, omitzero or required:"false". A null for an
// optional field counts as left out. A default never replaces a value that was
// sent. Names are exact, and a key that comes twice is refused. Fields that the
// struct does not have are refused, because they are often spelling mistakes. A
// struct with
//
//	_ struct{} `json:"-" additionalProperties:"true"`
//
// accepts them, for clients that are newer or older than the service. The other
// tags are minimum, maximum, minLength, maxLength, pattern, format, enum,
// minItems, maxItems, default, doc and example. A type for which no JSON Schema
// can be guessed describes itself, see [Schema].
//
// The decoded text itself is checked, against the schema that the document
// shows. A nil slice is written as an empty list, a nil map as an empty object.
//
// # What a request goes through
//
// First come the recovery of panics and the log. Next, the host and the origin
// are checked (Hosts and TrustedOrigins of [Options]), [CORS] preflights get
// their reply, and the body gets a limit. Then the middleware of Options runs,
// then that of the route ([Middleware]), then the route's [Security] check.
//
// After that, size, content type and fields are checked. Only a valid request
// takes a worker slot of the service. It gets a deadline, a call id and the
// service's middleware, like an RPC. Whatever the handler returns, and even if
// it panics, the client gets either the whole response or a problem, never a
// part.
//
// # Other routes
//
// [Handle] takes a handler of net/http. [WebSocket] serves methods to browsers
// that stay connected. [Plain] responds like an HTTP entrypoint of Nameko.
//
// The package hides its library, danielgtaylor/huma, except for the names of
// the struct tags and the two aliases [Schema] and [Registry]. It leaves
// running handlers to package enoki, and the WebSocket protocol to package
// websocket.
package web
