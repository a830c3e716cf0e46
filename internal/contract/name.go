package contract

import (
	"fmt"
	"strings"
	"unicode"
)

// CheckName keeps names free of what routing keys and subjects give a meaning
// to. Names of services and events may have dots between their words, as some
// of Nameko's do; those of methods and arguments are identifiers.
func CheckName(what, name string) error {
	identifier := what == "method" || what == "argument"
	before := '.'
	for i, r := range name {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		later := i > 0 && (r >= '0' && r <= '9' || !identifier && (r == '-' || r == '.' && before != '.'))
		if !letter && !later {
			return fmt.Errorf("%s name %q has %q at position %d; use ASCII letters, digits and '_', a letter first", what, name, r, i+1)
		}
		before = r
	}
	switch {
	case name == "":
		return fmt.Errorf("%s name is empty; give it one", what)
	case before == '.':
		return fmt.Errorf("%s name %q ends in a dot; leave it out", what, name)
	}
	return nil
}

// snakeCase is the name that Python would give a method: CheckUserID becomes
// check_user_id.
func snakeCase(name string) string {
	runes := []rune(name)
	var b strings.Builder
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 {
			afterLower := !unicode.IsUpper(runes[i-1])
			beforeLower := i+1 < len(runes) && unicode.IsLower(runes[i+1])
			if afterLower || beforeLower {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
