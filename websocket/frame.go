package websocket

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/enoki-go/enoki/internal/quickjson"
)

var null = json.RawMessage("null")

// request is a call as it comes off the wire.
type request struct {
	method      string // also empty if it is not a string, because no method has that name
	data        json.RawMessage
	correlation json.RawMessage
}

// parse reads a client's frame. Names of fields are exact, as in Python and
// unlike in encoding/json. A name may come only once: of two methods, nobody
// could tell which one was meant.
func parse(frame []byte) (*request, *Error) {
	fields := map[string]json.RawMessage{}
	if !utf8.Valid(frame) || !quickjson.ScanPlain(frame, func(scan *quickjson.Scanner) bool {
		return scan.Object(func(key []byte) bool {
			name := string(key)
			_, twice := fields[name]
			value, ok := scan.Skip()
			fields[name] = value
			return ok && !twice
		})
	}) {
		return nil, malformed()
	}
	method, ok := fields["method"]
	if !ok {
		return nil, malformed()
	}
	r := &request{data: arguments(fields["data"]), correlation: null}
	if id, ok := fields["correlation_id"]; ok {
		r.correlation = id
	}
	_ = json.Unmarshal(method, &r.method) // a value that is not a string leaves it empty
	return r, nil
}

// arguments returns the data of a call. A value that is false in Python means
// none.
func arguments(data json.RawMessage) json.RawMessage {
	switch string(data) {
	case "", "null", "false", "0", `""`, "[]":
		return json.RawMessage("{}")
	}
	return data
}

func resultFrame(data, correlation json.RawMessage) []byte {
	return join(`{"type":"result","success":true,"data":`, data, `,"correlation_id":`, correlation)
}

func errorFrame(e *Error, correlation json.RawMessage) []byte {
	sent := *e
	if sent.Args == nil {
		sent.Args = []string{}
	}
	body, _ := json.Marshal(&sent) // strings always marshal
	return join(`{"type":"result","success":false,"error":`, body, `,"correlation_id":`, correlation)
}

func eventFrame(event string, data any) ([]byte, error) {
	body, err := encode(data)
	if err != nil {
		return nil, fmt.Errorf("websocket: event %q can't be sent, its data is no JSON: %w", event, err)
	}
	name, _ := json.Marshal(event) // a string always marshals
	return join(`{"type":"event","event":`, name, `,"data":`, body), nil
}

func join(before1 string, value1 []byte, before2 string, value2 []byte) []byte {
	frame := make([]byte, 0, len(before1)+len(value1)+len(before2)+len(value2)+1)
	frame = append(append(frame, before1...), value1...)
	frame = append(append(frame, before2...), value2...)
	return append(frame, '}')
}

// encode returns v as JSON for a text frame. It turns the panic of a
// MarshalJSON method into an error, because it runs outside of every handler.
func encode(v any) (raw json.RawMessage, err error) {
	defer func() {
		if p := recover(); p != nil {
			raw, err = nil, fmt.Errorf("encoding a %T: panic: %v", v, p)
		}
	}()
	raw, err = json.Marshal(v)
	if err == nil && !utf8.Valid(raw) { // a user's RawMessage; browsers would close the socket
		raw = bytes.ToValidUTF8(raw, []byte("\uFFFD"))
	}
	return raw, err
}
