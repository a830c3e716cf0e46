package pysource

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

func isPrefix(s string) bool {
	switch strings.ToLower(s) {
	case "r", "u", "b", "f", "t", "br", "rb", "fr", "rf", "tr", "rt", "ur":
		return true
	}
	return false
}

// literal reads a string whose quote comes next, and adds its token.
func (l *lexer) literal(prefix string, start int) error {
	line := l.line
	if err := l.quoted(prefix); err != nil {
		return err
	}
	l.tokens = append(l.tokens, token{text, start, l.pos, line})
	l.line += strings.Count(l.src[start:l.pos], "\n")
	return nil
}

// quoted skips a string from its opening quote to behind its closing one.
func (l *lexer) quoted(prefix string) error {
	quote := l.quote()
	l.pos += len(quote)
	formatted, raw := strings.ContainsAny(prefix, "fFtT"), strings.ContainsAny(prefix, "rR")
	for l.pos < len(l.src) {
		rest := l.src[l.pos:]
		switch {
		case strings.HasPrefix(rest, quote):
			l.pos += len(quote)
			return nil
		case rest[0] == '\\':
			l.escape(raw, formatted)
		case rest[0] == '\n' && len(quote) == 1:
			return l.errorf(l.line, "a string is not closed with %s", quote)
		case formatted && strings.HasPrefix(rest, "{{"):
			l.pos += 2
		case formatted && rest[0] == '{':
			l.pos++
			if err := l.field(quote); err != nil {
				return err
			}
		default:
			l.pos++
		}
	}
	return l.errorf(l.line, "a string is not closed with %s", quote)
}

func (l *lexer) quote() string {
	one := l.src[l.pos : l.pos+1]
	if three := strings.Repeat(one, 3); strings.HasPrefix(l.src[l.pos:], three) {
		return three
	}
	return one
}

// escape skips a backslash and what it takes the meaning from.
func (l *lexer) escape(raw, formatted bool) {
	rest := l.src[l.pos:]
	switch {
	case formatted && len(rest) > 1 && (rest[1] == '{' || rest[1] == '}'):
		l.pos++ // a field begins there nevertheless
	case formatted && !raw && strings.HasPrefix(rest, `\N{`):
		l.pos += 3
	default:
		l.pos = min(l.pos+2, len(l.src))
	}
}

// field skips a replacement field of an f-string, from behind its brace to
// behind its closing one. Since Python 3.12 the quote of the string itself may
// stand in it.
func (l *lexer) field(outer string) error {
	if l.fields++; l.fields > maxFields {
		return l.errorf(l.line, "more than %d f-strings within each other", maxFields)
	}
	defer func() { l.fields-- }()
	open := 0
	for l.pos < len(l.src) {
		c := l.src[l.pos]
		switch {
		case c == '"' || c == '\'':
			if err := l.quoted(l.prefixHere()); err != nil {
				return err
			}
			continue
		case c == '}' && open == 0:
			l.pos++
			return nil
		case c == ':' && open == 0:
			return l.format(outer)
		case c == '(' || c == '[' || c == '{':
			open++
		case c == ')' || c == ']' || c == '}':
			open = max(0, open-1)
		}
		l.pos++
	}
	return l.errorf(l.line, "a field of an f-string is not closed with }")
}

// prefixHere is the prefix of a string whose quote comes next.
func (l *lexer) prefixHere() string {
	start := l.pos
	for start > 0 && strings.IndexByte("rRuUbBfFtT", l.src[start-1]) >= 0 {
		start--
	}
	return l.src[start:l.pos]
}

// format skips the format of a field, which is text and more fields.
func (l *lexer) format(outer string) error {
	for l.pos < len(l.src) {
		rest := l.src[l.pos:]
		switch {
		case rest[0] == '}':
			l.pos++
			return nil
		case strings.HasPrefix(rest, outer):
			return nil // the field is not closed; the string is
		case rest[0] == '{':
			l.pos++
			if err := l.field(outer); err != nil {
				return err
			}
		default:
			l.pos++
		}
	}
	return l.errorf(l.line, "a field of an f-string is not closed with }")
}

// content returns what a string literal says, and whether it says it as it
// stands: an f-string does not. Bytes become text of the same characters.
func content(literal string) (value string, constant bool) {
	quote := strings.IndexAny(literal, `"'`)
	prefix, body := literal[:quote], literal[quote:]
	width := 1
	if len(body) >= 6 && body[1] == body[0] && body[2] == body[0] {
		width = 3
	}
	body = body[width : len(body)-width]
	if !strings.ContainsAny(prefix, "rR") {
		body = unescape(body)
	}
	return body, !strings.ContainsAny(prefix, "fFtT")
}

// unescape replaces backslash sequences. Those that Python leaves alone stay,
// and so does \N{NAME}.
func unescape(s string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 || i == len(s)-1 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		replacement, size := sequence(s[i:])
		b.WriteString(replacement)
		s = s[i+size:]
	}
}

const single = `\n` + "\n" + `\t` + "\t" + `\r` + "\r" + `\a` + "\a" + `\b` + "\b" + `\f` + "\f" + `\v` + "\v"

// sequence returns what the backslash sequence at the begin of s stands for,
// and its length.
func sequence(s string) (string, int) {
	switch c := s[1]; c {
	case '\\', '\'', '"':
		return s[1:2], 2
	case '\n':
		return "", 2
	case 'x':
		return hex(s, 2)
	case 'u':
		return hex(s, 4)
	case 'U':
		return hex(s, 8)
	case '0', '1', '2', '3', '4', '5', '6', '7':
		return octal(s)
	}
	if i := strings.Index(single, s[:2]); i >= 0 {
		return single[i+2 : i+3], 2
	}
	return s[:1], 1
}

func hex(s string, digits int) (string, int) {
	if len(s) < 2+digits {
		return s[:1], 1
	}
	n, err := strconv.ParseUint(s[2:2+digits], 16, 31)
	if err != nil {
		return s[:1], 1
	}
	return string(utf8.AppendRune(nil, rune(n))), 2 + digits
}

func octal(s string) (string, int) {
	n, size := rune(0), 1
	for size < 4 && size < len(s) && s[size] >= '0' && s[size] <= '7' {
		n = n*8 + rune(s[size]-'0')
		size++
	}
	return string(n), size
}

// cleanDoc takes the indentation from a docstring and blank lines from both
// ends of it.
func cleanDoc(doc string) string {
	lines := strings.Split(strings.ReplaceAll(doc, "\t", "        "), "\n")
	margin := -1
	for _, line := range lines[1:] {
		if rest := strings.TrimLeft(line, " "); rest != "" && (margin < 0 || len(line)-len(rest) < margin) {
			margin = len(line) - len(rest)
		}
	}
	lines[0] = strings.TrimLeft(lines[0], " ")
	for i, line := range lines[1:] {
		lines[i+1] = line[min(max(margin, 0), len(line)):]
	}
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n")
}
