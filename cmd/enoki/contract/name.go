package contract

import (
	"go/token"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// names are the identifiers that are taken.
type names map[string]bool

// take returns the name if it is free; else with the suffix, or with a number.
func (n names) take(name, suffix string) string {
	free := name
	for i := 1; n[free]; i++ {
		free = name + suffix
		if i > 1 || suffix == "" {
			free += strconv.Itoa(max(i, 2))
		}
	}
	n[free] = true
	return free
}

// initialisms are words that Go writes in capitals, as far as names of
// methods are likely to have them.
var initialisms = []string{"api", "cpu", "css", "csv", "dns", "eof", "html", "http", "https", "id", "ids", "ip", "json", "pdf", "ram",
	"rpc", "sql", "ssh", "tcp", "tls", "ttl", "udp", "ui", "uid", "uri", "url", "urls", "utc", "uuid", "vm", "xml", "yaml"}

// exported is the Go name for a Python name: CheckUserID for check_user_id.
func exported(python string) string {
	var b strings.Builder
	for _, w := range nameWords(python) {
		b.WriteString(capital(w))
	}
	if name := b.String(); token.IsIdentifier(name) && token.IsExported(name) {
		return name
	}
	return "X" + b.String()
}

// parameter is the Go name for a Python parameter: userID for user_id. It is
// "" when nothing of the name is left.
func parameter(python string) string {
	words := nameWords(python)
	if len(words) == 0 {
		return ""
	}
	var b strings.Builder
	first := []rune(words[0])
	if strings.ToUpper(words[0]) == words[0] {
		b.WriteString(strings.ToLower(words[0]))
	} else {
		b.WriteString(string(unicode.ToLower(first[0])) + string(first[1:]))
	}
	for _, w := range words[1:] {
		b.WriteString(capital(w))
	}
	name := b.String()
	switch {
	case token.IsKeyword(name):
		return name + "_"
	case !token.IsIdentifier(name):
		return ""
	}
	return name
}

// nameWords splits at everything that is neither letter nor digit.
func nameWords(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

func capital(word string) string {
	if !slices.Contains(initialisms, word) {
		r := []rune(word)
		return string(unicode.ToUpper(r[0])) + string(r[1:])
	}
	if plural, ok := strings.CutSuffix(word, "s"); ok && slices.Contains(initialisms, plural) && word != "https" {
		return strings.ToUpper(plural) + "s"
	}
	return strings.ToUpper(word)
}
