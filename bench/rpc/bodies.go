// Package rpc are the cases of calls: a document goes to a service, which
// sends it back. Both sides decode and encode it, and the client looks whether
// it is the same.
//
// Over NATS and RabbitMQ every case has the same bytes for a body, Nameko's
// {"args": [document], "kwargs": {}} and {"result": document, "error": null}.
// Over HTTP and gRPC, which have errors of their own, the document goes alone.
package rpc

import (
	"encoding/json"
	"fmt"

	"github.com/enoki-go/enoki/bench/document"
)

// Document is what travels.
type Document = document.Document

// request is the body of a request in Nameko's form, as a programmer who knows
// the method would write it by hand.
type request struct {
	Args   []Document `json:"args"`
	Kwargs struct{}   `json:"kwargs"`
}

// reply is the body of a reply.
type reply struct {
	Result Document `json:"result"`
	Error  *string  `json:"error"`
}

// codec is how a case by hand reads and writes bodies.
type codec struct {
	marshal   func(v any) ([]byte, error)
	unmarshal func(data []byte, v any) error
}

// standard is encoding/json.
var standard = codec{json.Marshal, json.Unmarshal}

// answer does what the service does by hand: it decodes a request and encodes
// the reply.
func (c codec) answer(body []byte) ([]byte, error) {
	var req request
	if err := c.unmarshal(body, &req); err != nil {
		return nil, err
	}
	if len(req.Args) != 1 {
		return nil, fmt.Errorf("want 1 argument, got %d", len(req.Args))
	}
	return c.marshal(&reply{Result: req.Args[0]})
}

// request encodes a request by hand.
func (c codec) request(d Document) ([]byte, error) { return c.marshal(&request{Args: []Document{d}}) }

// result decodes a reply by hand.
func (c codec) result(body []byte) (Document, error) {
	var r reply
	if err := c.unmarshal(body, &r); err != nil {
		return r.Result, err
	}
	if r.Error != nil {
		return r.Result, fmt.Errorf("service: %s", *r.Error)
	}
	return r.Result, nil
}
