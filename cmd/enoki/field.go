package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// field is a path into a JSON value, such as result.items.*.price, where "*"
// stands for any item of a list or any key.
type field []string

func (f field) String() string {
	if len(f) == 0 {
		return "answer"
	}
	return strings.Join(f, ".")
}

// covers reports whether path leads to what the field names, or below it.
func (f field) covers(path field) bool {
	if len(f) > len(path) {
		return false
	}
	for i, step := range f {
		if step != "*" && step != path[i] {
			return false
		}
	}
	return true
}

// below returns the path of a value inside the one at f. A key with dots is
// taken for several steps, as it can't be told from them in a pattern.
func (f field) below(key string) field {
	return append(f[:len(f):len(f)], strings.Split(key, ".")...)
}

// parseFields reads what a flag names, each a path that begins with one of
// the roots; bare allows a name of one step, too.
func parseFields(flag string, words, roots []string, bare bool) ([]field, error) {
	var fields []field
	for _, word := range words {
		f := field(strings.Split(word, "."))
		switch {
		case slices.Contains(f, ""):
			return nil, usageError{fmt.Errorf("--%s %q is no path; write it as result.items.*.price", flag, word)}
		case bare && len(f) == 1, slices.Contains(roots, f[0]):
			fields = append(fields, f)
		default:
			return nil, usageError{fmt.Errorf("--%s %s begins with none of %s; write result.%s for a field of the result",
				flag, word, strings.Join(roots, ", "), word)}
		}
	}
	return fields, nil
}

// hidden stands for a value that is not shown.
const hidden = "***"

// mask hides values from what is printed. A field of one step hides what has
// that name, wherever it is; others hide by their path.
type mask []field

func (m mask) hides(path field) bool {
	return slices.ContainsFunc(m, func(f field) bool {
		return f.covers(path) || len(f) == 1 && slices.Contains(path, f[0])
	})
}

// value returns a copy of v, which is at path, without what is hidden.
func (m mask) value(path field, v any) any {
	if len(m) == 0 {
		return v
	}
	if m.hides(path) {
		return hidden
	}
	switch v := v.(type) {
	case opaque: // it may hold anything
		return hidden
	case map[string]any:
		shown := make(map[string]any, len(v))
		for key, inner := range v {
			shown[key] = m.value(path.below(key), inner)
		}
		return shown
	case []any:
		shown := make([]any, len(v))
		for i, inner := range v {
			shown[i] = m.value(path.below(strconv.Itoa(i)), inner)
		}
		return shown
	}
	return v
}
