package contract

import (
	"bytes"
	"encoding/json"

	"github.com/enoki-go/enoki/internal/quickjson"
)

// Python services write JSON with kombu, whose dialect has more than JSON:
// the bare words NaN, Infinity and -Infinity, and since version 5.3 objects
// {"__type__": T, "__value__": V} for values that JSON has no form for.

// PlainJSON turns kombu's dialect into JSON: a bare word becomes that word as
// text, so that no number is made up for it, and a tagged value the text that
// kombu before 5.3 wrote for it. Anything else stays as it is.
func PlainJSON(body []byte) []byte {
	body = PlainWords(body)
	if bytes.Contains(body, []byte(`"__type__"`)) {
		body = untagAll(body)
	}
	return body
}

// PlainWords makes text of the bare words only.
func PlainWords(body []byte) []byte {
	if bytes.Contains(body, []byte("NaN")) || bytes.Contains(body, []byte("Infinity")) {
		return quoteWords(body)
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
		if plain, ok := quickjson.Untagged(v); ok {
			return plain
		}
		for key := range v {
			v[key] = untag(v[key])
		}
	}
	return v
}

// plain makes JSON of a body that came as JSON, with text for tagged values.
func plain(body []byte, kombu bool) []byte {
	if !kombu {
		return body
	}
	return PlainJSON(body)
}

// words makes JSON of a body that came as JSON, but that tagged values stay
// objects.
func words(body []byte, kombu bool) []byte {
	if !kombu {
		return body
	}
	return PlainWords(body)
}
