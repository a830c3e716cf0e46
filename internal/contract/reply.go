package contract

import (
	"encoding/json"
	"reflect"

	"github.com/enoki-go/enoki/fault"
	"github.com/enoki-go/enoki/internal/quickjson"
)

// reply is a reply as it comes off the wire: {"result": v, "error": null} or
// {"result": null, "error": {..}}. Several results are one list.
type reply struct {
	Result json.RawMessage  `json:"result"`
	Error  *fault.Exception `json:"error"`
}

// Null is the result of a method that returns nothing.
var Null = json.RawMessage("null")

// EncodeResults returns the reply that carries the results of a handler, without
// its error.
func EncodeResults(results []reflect.Value) ([]byte, error) {
	b := append(make([]byte, 0, usualSize), `{"result":`...)
	switch len(results) {
	case 0:
		b = append(b, Null...)
	case 1:
		var err error
		if b, err = appendResult(b, results[0]); err != nil {
			return nil, err
		}
	default:
		for i, r := range results {
			b = append(b, "[,"[min(i, 1)])
			var err error
			if b, err = appendResult(b, r); err != nil {
				return nil, err
			}
		}
		b = append(b, ']')
	}
	return append(b, `,"error":null}`...), nil
}

func appendResult(b []byte, r reflect.Value) ([]byte, error) {
	return appendJSON(b, quickjson.Of(r.Type()), r)
}

// EncodeFailure returns the reply that a failed call has.
func EncodeFailure(err error) []byte {
	body, _ := json.Marshal(reply{Result: Null, Error: fault.ExceptionOf(err)})
	return body // of text only, which always encodes
}

// parseReply returns the raw result, or the error that the other side sent.
func parseReply(body []byte) (json.RawMessage, error) {
	var r reply
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fault.Errorf(fault.Internal, "reply cannot be read: %v", err)
	}
	if r.Error != nil {
		return nil, r.Error.Error()
	}
	return r.Result, nil
}

// decodeResults decodes a raw result into the results of m.
func (m *Method) decodeResults(raw json.RawMessage) ([]reflect.Value, error) {
	values := make([]reflect.Value, len(m.Results))
	targets := make([]any, len(m.Results))
	for i, t := range m.Results {
		v := reflect.New(t)
		values[i], targets[i] = v.Elem(), v.Interface()
	}
	switch len(targets) {
	case 0:
		return values, nil
	case 1:
		return values, DecodeResult(raw, targets[0])
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil || len(list) != len(targets) {
		return values, fault.Errorf(fault.Internal, "%s() returned %s; the contract wants a list of %d results", m.Name, m.Excerpt(raw), len(targets))
	}
	for i, item := range list {
		if err := DecodeResult(item, targets[i]); err != nil {
			return values, err
		}
	}
	return values, nil
}

// DecodeResult decodes one result into what target points to.
func DecodeResult(raw json.RawMessage, target any) error {
	if len(raw) == 0 {
		raw = Null
	}
	if err := quickjson.Unmarshal(raw, reflect.ValueOf(target).Elem()); err != nil {
		return fault.Errorf(fault.Internal, "result does not fit the contract: %w", Unfit(reflect.TypeOf(target).Elem(), err))
	}
	return nil
}

// Answer decodes a reply into the results of m, with room for an error after
// them, or into its error.
func (m *Method) Answer(body []byte, kombu bool) (results []reflect.Value, err error) {
	defer fault.Rescue(&err)
	values := make([]reflect.Value, len(m.Results), len(m.Results)+1)
	if readReply(body, func(s *quickjson.Scanner) bool { return m.readResults(s, values) }) {
		return values, nil
	}
	raw, err := parseReply(plain(body, kombu))
	if err != nil {
		return nil, err
	}
	return m.decodeResults(raw)
}

func (m *Method) readResults(s *quickjson.Scanner, values []reflect.Value) bool {
	switch len(values) {
	case 0:
		_, ok := s.Skip()
		return ok
	case 1:
		return m.readResult(s, values, 0)
	}
	read := 0
	ok := s.List(func(i int) bool {
		read++
		return i < len(values) && m.readResult(s, values, i)
	})
	return ok && read == len(values)
}

func (m *Method) readResult(s *quickjson.Scanner, values []reflect.Value, i int) bool {
	values[i] = reflect.New(m.Results[i]).Elem()
	return s.Value(quickjson.Of(m.Results[i]), values[i])
}

// RawAnswer returns the result of a reply as JSON, or its error.
func RawAnswer(body []byte, kombu bool) (json.RawMessage, error) {
	var raw json.RawMessage
	read := func(s *quickjson.Scanner) (ok bool) {
		raw, ok = s.Skip()
		return ok
	}
	if readReply(body, read) {
		return raw, nil
	}
	return parseReply(words(body, kombu))
}

// readReply reads a reply that is no error.
func readReply(body []byte, result func(*quickjson.Scanner) bool) bool {
	came, well := false, false
	ok := quickjson.Scan(body, func(s *quickjson.Scanner) bool {
		return s.Object(func(key []byte) bool {
			switch {
			case string(key) == "result" && !came:
				came = true
				return result(s)
			case string(key) == "error" && !well:
				well = true
				return s.Null()
			}
			return false
		})
	})
	return ok && came && well
}

// DecodeItem decodes one item of a stream.
func (m *Method) DecodeItem(raw []byte) (reflect.Value, error) {
	item := reflect.New(m.Item)
	if quickjson.Of(m.Item).Read(raw, item.Elem()) {
		return item.Elem(), nil
	}
	item = reflect.New(m.Item)
	return item.Elem(), DecodeResult(raw, item.Interface())
}
