package host

import (
	"errors"
	"os"
	"strings"
	"unicode"
)

// environment looks up a variable, as os.LookupEnv does.
type environment func(name string) (value string, set bool)

// What ends variables that stand in each other's values.
const (
	maxExpansions = 20      // of one text, one after the other
	maxExpanded   = 1 << 16 // bytes that one text may grow to
)

// variableNames returns the names of the process's variables.
func variableNames() []string {
	names := os.Environ()
	for i, variable := range names {
		names[i], _, _ = strings.Cut(variable, "=")
	}
	return names
}

var errEndless = errors.New("the environment variables here stand for each other without end")

// expand puts values in the place of references in text: ${NAME} and
// ${NAME:default}. A default runs to the brace that matches the opening one,
// and may hold references itself. A variable that is not set and has no
// default is empty; one that is set but empty counts as set. Text that looks
// like a reference but is none stays as it is.
func (env environment) expand(text string) (string, error) {
	return env.expandUpTo(text, maxExpansions)
}

func (env environment) expandUpTo(text string, more int) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		ref, length := parseReference(rest)
		if length == 0 {
			out.WriteString("${")
			text = rest
			continue
		}
		value, err := env.resolve(ref, more)
		if err != nil {
			return "", err
		}
		if out.WriteString(value); out.Len() > maxExpanded {
			return "", errEndless
		}
		text = rest[length:]
	}
}

// reference is ${name:fallback}.
type reference struct{ name, fallback string }

// resolve returns the value of a reference. Only a default is expanded here:
// the value of a variable is parsed as YAML by the caller, and its references
// are found there.
func (env environment) resolve(ref reference, more int) (string, error) {
	if value, set := env(ref.name); set {
		return value, nil
	}
	value := ref.fallback
	for {
		if more--; more < 0 {
			return "", errEndless
		}
		expanded, err := env.expandUpTo(value, more)
		if err != nil || expanded == value {
			return value, err
		}
		value = expanded
	}
}

// parseReference reads what follows "${" up to and with its closing brace. A
// length of 0 means that it is no reference.
func parseReference(s string) (ref reference, length int) {
	end := strings.IndexFunc(s, func(r rune) bool {
		return strings.ContainsRune("{}:", r) || unicode.IsSpace(r)
	})
	if end <= 0 {
		return reference{}, 0
	}
	switch ref.name = s[:end]; s[end] {
	case '}':
		return ref, end + 1
	case ':':
		size := balanced(s[end+1:])
		if size < 0 {
			return reference{}, 0
		}
		ref.fallback = s[end+1 : end+1+size]
		return ref, end + 1 + size + 1
	}
	return reference{}, 0
}

// balanced returns where the brace is that closes the text before it, or -1.
func balanced(s string) int {
	depth := 0
	for i, r := range s {
		switch r {
		case '{':
			depth++
		case '}':
			if depth == 0 {
				return i
			}
			depth--
		}
	}
	return -1
}
