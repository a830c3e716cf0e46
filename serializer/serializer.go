// Package serializer has the forms of bodies, beside JSON, that Nameko's
// services can be set to: MessagePack and YAML. They are given to
// enoki.Options. Pickle is not among them: it runs code of whoever sent it.
package serializer

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/tinylib/msgp/msgp"

	"github.com/enoki-go/enoki"
)

// ByName returns the serializer with Nameko's name: "msgpack" or "yaml"; nil
// for "json", which needs none.
func ByName(name string) (*enoki.Serializer, error) {
	switch name {
	case "json":
		return nil, nil
	case "msgpack":
		s := MsgPack()
		return &s, nil
	case "yaml":
		s := YAML()
		return &s, nil
	case "pickle":
		return nil, fmt.Errorf("serializer pickle is refused: a pickle runs code of whoever sent it; set json, msgpack or yaml on both sides")
	}
	return nil, fmt.Errorf("no serializer %q; have json, msgpack, yaml", name)
}

// MsgPack returns the serializer "msgpack": MessagePack in bodies of type
// application/x-msgpack. Its bytes are text in base64 in Go, as those of
// encoding/json are; a time stamp is text in RFC 3339.
func MsgPack() enoki.Serializer {
	return enoki.Serializer{
		Name: "msgpack", ContentType: "application/x-msgpack",
		Decode: fromMsgPack, Encode: toMsgPack,
	}
}

func fromMsgPack(body []byte) ([]byte, error) {
	rest, err := msgp.Skip(body)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes follow the value", len(rest))
	}
	var b bytes.Buffer
	if _, err := msgp.UnmarshalAsJSON(&b, body); err != nil {
		return nil, err
	}
	if !json.Valid(b.Bytes()) { // such as a map whose keys are no text
		return nil, fmt.Errorf("it holds what JSON has no form for")
	}
	return b.Bytes(), nil
}

func toMsgPack(body []byte) ([]byte, error) {
	v, err := decode(body)
	if err != nil {
		return nil, err
	}
	return msgp.AppendIntf(nil, v)
}

// YAML returns the serializer "yaml": YAML in bodies of type
// application/x-yaml, of which it reads what JSON has a form for. It writes
// JSON, which is YAML.
func YAML() enoki.Serializer {
	return enoki.Serializer{
		Name: "yaml", ContentType: "application/x-yaml",
		Decode: yaml.YAMLToJSON,
		Encode: func(body []byte) ([]byte, error) { return body, nil },
	}
}

// decode decodes JSON with whole numbers as integers, which other forms keep
// apart from those with a fraction.
func decode(body []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return nil, err
	}
	return integers(v)
}

func integers(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case json.Number:
		return number(v)
	case []any:
		for i := range v {
			if v[i], err = integers(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for key := range v {
			if v[key], err = integers(v[key]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

func number(n json.Number) (any, error) {
	if whole, err := n.Int64(); err == nil {
		return whole, nil
	}
	if bytes.ContainsAny([]byte(n), ".eE") {
		return n.Float64()
	}
	var whole uint64
	if err := json.Unmarshal([]byte(n), &whole); err != nil {
		return nil, fmt.Errorf("number %s is over 64 bits", n)
	}
	return whole, nil
}
