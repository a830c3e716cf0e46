package enoki

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
)

// Python services write JSON with kombu, whose dialect has more than JSON:
// the bare words NaN, Infinity and -Infinity, and since version 5.3 objects
// {"__type__": T, "__value__": V} for values that JSON has no form for.

// plainJSON turns kombu's dialect into JSON: a bare word becomes that word as
// text, so that no number is made up for it, and a tagged value the text that
// kombu before 5.3 wrote for it. Anything else stays as it is.
func plainJSON(body []byte) []byte {
	if bytes.Contains(body, []byte("NaN")) || bytes.Contains(body, []byte("Infinity")) {
		body = quoteWords(body)
	}
	if bytes.Contains(body, []byte(`"__type__"`)) {
		body = untagAll(body)
	}
	return body
}

// quoteWords puts quotes around the bare words, those outside of text.
func quoteWords(body []byte) []byte {
	out := make([]byte, 0, len(body)+16)
	inText := false
	for i := 0; i < len(body); i++ {
		c := body[i]
		switch {
		case inText && c == '\\' && i+1 < len(body):
			out = append(out, c)
			i++
			c = body[i]
		case c == '"':
			inText = !inText
		case !inText:
			if word := bareWord(body[i:]); word != "" {
				out = append(out, '"')
				out = append(out, word...)
				out = append(out, '"')
				i += len(word) - 1
				continue
			}
		}
		out = append(out, c)
	}
	return out
}

func bareWord(text []byte) string {
	for _, word := range []string{"NaN", "Infinity", "-Infinity"} {
		if bytes.HasPrefix(text, []byte(word)) {
			return word
		}
	}
	return ""
}

// untagAll returns body as it is when it is not JSON: the error is for whoever
// decodes it.
func untagAll(body []byte) []byte {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var v any
	if decoder.Decode(&v) != nil || decoder.More() {
		return body
	}
	plain, err := json.Marshal(untag(v))
	if err != nil {
		return body
	}
	return plain
}

func untag(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = untag(v[i])
		}
	case map[string]any:
		if plain, ok := untagged(v); ok {
			return plain
		}
		for key := range v {
			v[key] = untag(v[key])
		}
	}
	return v
}

// untagged returns the plain form of a tagged value. An object of a user's
// that only looks like one is none, unless it has a type of kombu's.
func untagged(object map[string]any) (any, bool) {
	kind, isText := object["__type__"].(string)
	value, isTagged := object["__value__"]
	if !isText || !isTagged || len(object) != 2 {
		return nil, false
	}
	switch kind {
	case "datetime", "date", "time", "decimal", "bytes":
		text, ok := value.(string)
		return text, ok
	case "base64": // of bytes that are no UTF-8; Go's own form of []byte
		text, ok := value.(string)
		if _, err := base64.StdEncoding.DecodeString(text); err != nil {
			return nil, false
		}
		return text, ok
	case "uuid":
		parts, _ := value.(map[string]any)
		digits, _ := parts["hex"].(string)
		return dashed(digits)
	}
	return nil, false
}

// dashed gives 32 hexadecimal digits the form that Python prints a UUID in.
func dashed(digits string) (string, bool) {
	if _, err := hex.DecodeString(digits); err != nil || len(digits) != 32 {
		return "", false
	}
	return digits[:8] + "-" + digits[8:12] + "-" + digits[12:16] + "-" + digits[16:20] + "-" + digits[20:], true
}
