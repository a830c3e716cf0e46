package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// arguments are those of a call, by position and by name.
type arguments struct {
	args   []any
	kwargs map[string]any // those given as name=text are strings, all others json.RawMessage
}

// parseArguments reads the words after service.method: one JSON array (by
// position), one JSON object (by name), or name=text and name:=JSON in any
// number; "-" takes the array or object from stdin.
func parseArguments(words []string, stdin io.Reader) (arguments, error) {
	if len(words) != 1 || isPair(words[0]) {
		kwargs, err := parsePairs(words)
		return arguments{kwargs: kwargs}, err
	}
	raw, err := readJSON(words[0], stdin)
	if err != nil {
		return arguments{}, err
	}
	var a arguments
	switch raw[0] {
	case '[':
		var list []json.RawMessage // raw, so that numbers keep every digit
		err = json.Unmarshal(raw, &list)
		for _, v := range list {
			a.args = append(a.args, v)
		}
	case '{':
		var named map[string]json.RawMessage
		err = json.Unmarshal(raw, &named)
		a.kwargs = map[string]any{}
		for name, v := range named {
			a.kwargs[name] = v
		}
	default:
		err = fmt.Errorf("%s is neither an array (arguments by position) nor an object (by name); write [%s]", raw, raw)
	}
	return a, err
}

// parsePayload reads the words after source.event: one JSON value of any
// kind, "-" for one from stdin, or pairs, which make an object. No word is
// null.
func parsePayload(words []string, stdin io.Reader) (any, error) {
	switch {
	case len(words) == 0:
		return nil, nil
	case len(words) == 1 && !isPair(words[0]):
		return readJSON(words[0], stdin)
	}
	return parsePairs(words)
}

func readJSON(word string, stdin io.Reader) (json.RawMessage, error) {
	raw := []byte(word)
	if word == "-" {
		var err error
		if raw, err = io.ReadAll(stdin); err != nil {
			return nil, fmt.Errorf("read stdin: %w", err)
		}
	}
	raw = bytes.TrimSpace(raw)
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		if word == "-" {
			return nil, fmt.Errorf("stdin is not JSON: %w", err)
		}
		return nil, fmt.Errorf("%q is neither name=text, name:=JSON nor JSON (%w)", word, err)
	}
	return raw, nil
}

// isPair reports whether a word is name=text or name:=JSON rather than a JSON
// value with a '=' in it.
func isPair(word string) bool {
	name, _, found := strings.Cut(word, "=")
	return found && !strings.ContainsAny(name, "[{\"")
}

// parsePairs reads name=text as strings and name:=JSON as json.RawMessage.
func parsePairs(words []string) (map[string]any, error) {
	values := map[string]any{}
	for _, word := range words {
		name, value, found := strings.Cut(word, "=")
		name, isJSON := strings.CutSuffix(name, ":")
		switch {
		case !found || name == "":
			return nil, fmt.Errorf("%q is neither name=text nor name:=JSON", word)
		case values[name] != nil:
			return nil, fmt.Errorf("%s is given twice", name)
		case !isJSON:
			values[name] = value
		case !json.Valid([]byte(value)):
			return nil, fmt.Errorf("%s:= is followed by %q, which is not JSON; for text write %s=%s", name, value, name, value)
		default:
			values[name] = json.RawMessage(value)
		}
	}
	return values, nil
}

// splitMethod takes a word like register.check_registered apart. The name of a
// service may have dots, that of a method has none.
func splitMethod(word string) (service, method string, err error) {
	return splitAt(word, strings.LastIndexByte(word, '.'), "SERVICE.METHOD, such as register.check_registered")
}

// splitEvent takes a word like comments.posted apart, at its first dot, or at
// a colon, which is for services whose names have dots.
func splitEvent(word string) (source, event string, err error) {
	at := strings.IndexByte(word, ':')
	if at < 0 {
		at = strings.IndexByte(word, '.')
	}
	return splitAt(word, at, "SOURCE.EVENT, such as comments.posted (SOURCE:EVENT where the source has dots)")
}

func splitAt(word string, at int, want string) (first, second string, err error) {
	if at < 1 || at == len(word)-1 {
		return "", "", usageError{fmt.Errorf("%q is no %s", word, want)}
	}
	return word[:at], word[at+1:], nil
}

// asUsage marks an error as one of the command line.
func asUsage(err error) error {
	var usage usageError
	if err == nil || errors.As(err, &usage) {
		return err
	}
	return usageError{err}
}
