package pysource

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

type kind int

const (
	endOfFile kind = iota
	newline        // end of a logical line
	indent
	dedent
	word
	number
	text // a string literal with prefix and quotes
	operator
)

// token is a piece of the source, src[start:end].
type token struct {
	kind       kind
	start, end int
	line       int
}

// CPython's own limits. They keep what follows from deep recursion.
const (
	maxBrackets = 200
	maxIndents  = 100
	maxFields   = 150 // f-strings in the fields of f-strings
)

type lexer struct {
	file, src string
	pos       int
	line      int
	brackets  []token // open ones
	indents   []int   // columns
	fields    int
	tokens    []token
}

// tokenize splits the source, which has only \n at the ends of lines. The
// last token is endOfFile, brackets are in pairs, and so are indent and dedent.
func tokenize(file, src string) ([]token, error) {
	l := &lexer{file: file, src: src, line: 1, indents: []int{0}}
	for l.pos < len(l.src) {
		if err := l.logicalLine(); err != nil {
			return nil, err
		}
	}
	if n := len(l.brackets); n > 0 {
		open := l.brackets[n-1]
		return nil, l.errorf(open.line, "%q is never closed", l.src[open.start:open.end])
	}
	for range l.indents[1:] {
		l.add(dedent, l.pos)
	}
	l.add(endOfFile, l.pos)
	return l.tokens, nil
}

func (l *lexer) errorf(line int, format string, a ...any) error {
	return &Error{l.file, line, fmt.Sprintf(format, a...)}
}

func (l *lexer) add(k kind, start int) {
	l.tokens = append(l.tokens, token{k, start, l.pos, l.line})
}

// logicalLine reads a line, with those that a bracket, a string or a
// backslash joins to it.
func (l *lexer) logicalLine() error {
	column := l.column()
	if l.blank() {
		l.restOfLine()
		return nil
	}
	if err := l.indentation(column); err != nil {
		return err
	}
	for l.pos < len(l.src) {
		switch c := l.src[l.pos]; {
		case c == ' ' || c == '\t' || c == '\f':
			l.pos++
		case c == '#':
			l.comment()
		case c == '\\' && strings.HasPrefix(l.src[l.pos:], "\\\n"):
			l.pos += 2
			l.line++
		case c == '\n' && len(l.brackets) > 0:
			l.pos++
			l.line++
		case c == '\n':
			l.add(newline, l.pos)
			l.restOfLine()
			return nil
		default:
			if err := l.token(); err != nil {
				return err
			}
		}
	}
	l.add(newline, l.pos)
	return nil
}

// column skips the blanks at the begin of a line and returns how far they
// indent it; a tab goes to the next multiple of 8, as in Python.
func (l *lexer) column() int {
	column := 0
	for ; l.pos < len(l.src); l.pos++ {
		switch l.src[l.pos] {
		case ' ':
			column++
		case '\t':
			column += 8 - column%8
		case '\f':
			column = 0
		default:
			return column
		}
	}
	return column
}

func (l *lexer) blank() bool {
	return l.pos == len(l.src) || l.src[l.pos] == '\n' || l.src[l.pos] == '#'
}

func (l *lexer) comment() {
	for l.pos < len(l.src) && l.src[l.pos] != '\n' {
		l.pos++
	}
}

func (l *lexer) restOfLine() {
	l.comment()
	if l.pos < len(l.src) {
		l.pos++
		l.line++
	}
}

func (l *lexer) indentation(column int) error {
	top := func() int { return l.indents[len(l.indents)-1] }
	if column > top() {
		if len(l.indents) > maxIndents {
			return l.errorf(l.line, "more than %d levels of indentation", maxIndents)
		}
		l.indents = append(l.indents, column)
		l.add(indent, l.pos)
		return nil
	}
	for column < top() {
		l.indents = l.indents[:len(l.indents)-1]
		l.add(dedent, l.pos)
	}
	if column != top() {
		return l.errorf(l.line, "this indentation fits no line above")
	}
	return nil
}

func (l *lexer) token() error {
	start := l.pos
	c, _ := utf8.DecodeRuneInString(l.src[start:])
	switch {
	case c == '"' || c == '\'':
		return l.literal("", start)
	case c == '_' || unicode.IsLetter(c):
		l.while(func(r rune) bool { return r == '_' || unicode.In(r, unicode.L, unicode.N, unicode.M, unicode.Pc) })
		if prefix := l.src[start:l.pos]; l.atQuote() && isPrefix(prefix) {
			return l.literal(prefix, start)
		}
		l.add(word, start)
	case c >= '0' && c <= '9' || c == '.' && l.digitAt(start+1):
		l.number()
		l.add(number, start)
	default:
		return l.operator()
	}
	return nil
}

func (l *lexer) while(is func(rune) bool) {
	for l.pos < len(l.src) {
		r, size := utf8.DecodeRuneInString(l.src[l.pos:])
		if !is(r) {
			return
		}
		l.pos += size
	}
}

func (l *lexer) atQuote() bool {
	return l.pos < len(l.src) && (l.src[l.pos] == '"' || l.src[l.pos] == '\'')
}

func (l *lexer) digitAt(i int) bool {
	return i < len(l.src) && l.src[i] >= '0' && l.src[i] <= '9'
}

// number reads anything that looks like one; its value is of no interest.
func (l *lexer) number() {
	start := l.pos
	l.while(func(r rune) bool {
		last := l.src[max(start, l.pos-1)]
		exponent := (last == 'e' || last == 'E') && !strings.HasPrefix(l.src[start:], "0x") && !strings.HasPrefix(l.src[start:], "0X")
		return r == '.' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) || exponent && (r == '+' || r == '-')
	})
}

// operators of more than one byte, longest first.
var operators = []string{
	"...", "**=", "//=", ">>=", "<<=",
	"->", ":=", "**", "//", ">>", "<<", "==", "!=", "<=", ">=", "<>",
	"+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "@=",
}

func (l *lexer) operator() error {
	start := l.pos
	for _, op := range operators {
		if strings.HasPrefix(l.src[start:], op) {
			l.pos += len(op)
			l.add(operator, start)
			return nil
		}
	}
	c, size := utf8.DecodeRuneInString(l.src[start:])
	if !strings.ContainsRune("()[]{}.,:;@=+-*/%&|^~<>!`", c) {
		return l.errorf(l.line, "%q does not belong here", c)
	}
	l.pos += size
	l.add(operator, start)
	return l.bracket()
}

// bracket keeps count of the brackets that are open. The token has just been
// added.
func (l *lexer) bracket() error {
	t := l.tokens[len(l.tokens)-1]
	switch c := l.src[t.start]; c {
	case '(', '[', '{':
		if len(l.brackets) == maxBrackets {
			return l.errorf(l.line, "more than %d brackets within each other", maxBrackets)
		}
		l.brackets = append(l.brackets, t)
	case ')', ']', '}':
		n := len(l.brackets)
		if n == 0 {
			return l.errorf(l.line, "%q closes nothing", c)
		}
		open := l.brackets[n-1]
		if closing(l.src[open.start]) != c {
			return l.errorf(l.line, "%q does not close the %q of line %d", c, l.src[open.start], open.line)
		}
		l.brackets = l.brackets[:n-1]
	}
	return nil
}

func closing(open byte) byte {
	switch open {
	case '(':
		return ')'
	case '[':
		return ']'
	default:
		return '}'
	}
}
