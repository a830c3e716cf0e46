package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/serializer"
)

// answer is what came of a request: a reply with a result or an error, or
// something else, which is text.
type answer struct {
	isReply bool
	result  any // of a reply; absent when it has none
	failure any // of a reply: the error's class, path and text; nil for none

	isMissing bool
	text      string // of a body that is no reply, or why the answer is missing
}

// readAnswer reads a reply as it was on the wire. Of an error the arguments
// are left out: they are text in all languages, but each has its own.
func readAnswer(m *broker.Message) answer {
	object, ok := readBody(m).(map[string]any)
	if !ok {
		return answer{text: string(m.Body)}
	}
	a := answer{isReply: true, result: valueAt(object, "result")}
	if failure, ok := object["error"].(map[string]any); ok {
		shown := map[string]any{}
		for _, name := range []string{"exc_type", "exc_path", "value"} {
			if v, ok := failure[name]; ok {
				shown[name] = v
			}
		}
		a.failure = shown
	} else {
		a.failure = object["error"]
	}
	return a
}

// fails tells whether the answer is an error.
func (a answer) fails() bool { return a.failure != nil && a.failure != (absent{}) }

// class returns the name of an error's class.
func (a answer) class() string {
	shown, _ := a.failure.(map[string]any)
	if name, ok := shown["exc_type"].(string); ok && name != "" {
		return name
	}
	return "unknown"
}

// isLate tells whether the side that answers ran out of time.
func (a answer) isLate() bool {
	shown, _ := a.failure.(map[string]any)
	return shown["exc_path"] == "enoki.DeadlineExceeded"
}

// noAnswer stands for a reply that did not come.
func noAnswer(err error) answer {
	return answer{isMissing: true, text: "no answer: " + err.Error()}
}

// opaque is a body that is none of Nameko's replies.
type opaque string

// whole returns the answer as one value.
func (a answer) whole() any {
	switch {
	case a.isMissing:
		return a.text
	case !a.isReply:
		return opaque(a.text)
	case a.failure != nil:
		return map[string]any{"error": a.failure}
	}
	return map[string]any{"result": a.result}
}

// request is what a request asks, for people.
type request struct {
	args   []any
	kwargs map[string]any
	text   string // of a body that has no arguments; else empty
}

func readRequest(m *broker.Message) request {
	object, _ := readBody(m).(map[string]any)
	args, okArgs := object["args"].([]any)
	kwargs, okKwargs := object["kwargs"].(map[string]any)
	if !okArgs || !okKwargs {
		return request{text: string(m.Body)}
	}
	return request{args: args, kwargs: kwargs}
}

// readBody returns the JSON value that a message holds in any of Nameko's
// forms; nil when it can't be read.
func readBody(m *broker.Message) any {
	body := m.Body
	media, _, _ := strings.Cut(m.ContentType, ";")
	for _, s := range []enoki.Serializer{serializer.MsgPack(), serializer.YAML()} {
		if s.ContentType != media {
			continue
		}
		var err error
		if body, err = s.Decode(body); err != nil {
			return nil
		}
	}
	v, err := decodeJSON(body)
	if err != nil {
		return nil
	}
	return v
}

// decodeJSON keeps every digit of numbers.
func decodeJSON(text []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("more follows the value")
	}
	return v, nil
}
