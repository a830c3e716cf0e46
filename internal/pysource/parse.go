package pysource

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Parse reads a source file; file is its name in errors, which are of type
// *Error. It looks only at what a Module holds: a mistake elsewhere, such as
// in the body of a function, it may not see.
func Parse(file string, src []byte) (*Module, error) {
	clean, err := normalize(file, src)
	if err != nil {
		return nil, err
	}
	tokens, err := tokenize(file, clean)
	if err != nil {
		return nil, err
	}
	p := &parser{file: file, src: clean, tokens: tokens, module: &Module{File: file, Imports: map[string]string{}}}
	var top scope
	p.statements(&top)
	if p.err == nil && !p.at(endOfFile) {
		p.failf("%s does not belong here", p.describe())
	}
	if p.err != nil {
		return nil, p.err
	}
	p.module.Assigns, p.module.Classes = top.assigns, top.classes
	return p.module, nil
}

// normalize makes all ends of lines \n and refuses what is not UTF-8.
func normalize(file string, src []byte) (string, error) {
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	src = bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n"))
	src = bytes.ReplaceAll(src, []byte("\r"), []byte("\n"))
	for i, line := range bytes.Split(src, []byte("\n")) {
		if !utf8.Valid(line) {
			return "", &Error{file, i + 1, "this is not UTF-8; convert the file first"}
		}
	}
	return string(src), nil
}

// parser reads tokens. After a mistake it stands at endOfFile, so that every
// loop ends.
type parser struct {
	file, src string
	tokens    []token
	pos       int
	module    *Module
	err       error
}

// scope takes what is defined in a module or in a class.
type scope struct {
	decorators []Expr // of the definition that comes next
	assigns    []Assign
	functions  []*Function
	classes    []*Class
}

func (p *parser) failf(format string, a ...any) {
	if p.err == nil {
		p.err = &Error{p.file, p.tokens[p.pos].line, fmt.Sprintf(format, a...)}
	}
	p.pos = len(p.tokens) - 1
}

func (p *parser) at(k kind) bool { return p.tokens[p.pos].kind == k }

func (p *parser) text(i int) string { return p.src[p.tokens[i].start:p.tokens[i].end] }

func (p *parser) isOp(ops ...string) bool { return p.isOpAt(p.pos, ops...) }

func (p *parser) isOpAt(i int, ops ...string) bool {
	return p.tokens[i].kind == operator && slices.Contains(ops, p.text(i))
}

func (p *parser) isWord(words ...string) bool {
	return p.at(word) && slices.Contains(words, p.text(p.pos))
}

func (p *parser) accept(op string) bool {
	if p.isOp(op) {
		p.pos++
		return true
	}
	return false
}

func (p *parser) expect(op string) {
	if !p.accept(op) {
		p.failf("%q is missing before %s", op, p.describe())
	}
}

// expectName returns the name that has to stand here.
func (p *parser) expectName() string {
	if !p.at(word) {
		p.failf("a name is missing before %s", p.describe())
		return ""
	}
	p.pos++
	return p.text(p.pos - 1)
}

// describe names the next token for a message.
func (p *parser) describe() string {
	switch t := p.tokens[p.pos]; t.kind {
	case endOfFile:
		return "the end of the file"
	case newline:
		return "the end of the line"
	case indent, dedent:
		return "the indentation"
	default:
		return fmt.Sprintf("%.40q", p.text(p.pos))
	}
}

// since is the source from a token up to the last one read.
func (p *parser) since(start int) source {
	from, last := p.tokens[start], p.tokens[max(start, p.pos-1)]
	return source{p.src[from.start:last.end], from.line}
}

func isKeyword(s string) bool {
	switch s {
	case "and", "as", "assert", "await", "break", "class", "continue", "def", "del", "elif", "else", "except", "finally",
		"for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return",
		"try", "while", "with", "yield":
		return true
	}
	return false
}

// statements reads up to the end of the block or the file.
func (p *parser) statements(s *scope) {
	for !p.at(endOfFile) && !p.at(dedent) {
		p.statement(s)
	}
}

func (p *parser) statement(s *scope) {
	switch {
	case p.at(indent): // of an if, a try, a with: what they define may well be defined
		p.pos++
		p.statements(s)
		p.endBlock()
	case p.isOp("@"):
		p.pos++
		s.decorators = append(s.decorators, p.expr())
		p.endLine()
	case p.isWord("class"):
		p.class(s)
	case p.isWord("def"), p.isWord("async") && p.tokens[p.pos+1].kind == word && p.text(p.pos+1) == "def":
		p.function(s)
	default:
		p.simpleLine(s)
	}
}

func (p *parser) endBlock() {
	if p.at(dedent) {
		p.pos++
	}
}

func (p *parser) endLine() {
	if !p.at(newline) {
		p.failf("%s does not belong here", p.describe())
		return
	}
	p.pos++
}

// simpleLine reads statements with ";" between them.
func (p *parser) simpleLine(s *scope) {
	for !p.at(newline) && !p.at(endOfFile) {
		p.simple(s)
		p.accept(";")
	}
	if p.at(newline) {
		p.pos++
	}
}

// simple reads a statement, or skips the begin of one that has a block.
func (p *parser) simple(s *scope) {
	switch {
	case p.isWord("else", "try", "finally") && p.isOpAt(p.pos+1, ":"):
		p.pos += 2
		return
	case p.isWord("from"):
		p.fromImport()
	case p.isWord("import"):
		p.pos++
		p.importModules()
	case p.at(word) && !isKeyword(p.text(p.pos)) && p.isOpAt(p.pos+1, "=", ":"):
		s.assigns = append(s.assigns, p.assign())
	}
	p.restOfSimple()
}

func (p *parser) restOfSimple() {
	for !p.at(newline) && !p.isOp(";") && !p.at(endOfFile) {
		p.skipToken()
	}
}

func (p *parser) assign() Assign {
	a := Assign{Name: p.text(p.pos), Line: p.tokens[p.pos].line}
	p.pos++
	if p.accept(":") {
		a.Annotation = p.expr()
	}
	for p.accept("=") { // the last value of a = b = value
		start := p.pos
		a.Value = p.expr()
		if p.isOp(",") { // a tuple
			p.restOfSimple()
			a.Value = &Other{p.since(start)}
		}
	}
	return a
}

// importModules reads what follows import.
func (p *parser) importModules() {
	for more := true; more && p.err == nil; more = p.accept(",") {
		path := p.dotted()
		if p.isWord("as") {
			p.pos++
			p.module.Imports[p.expectName()] = path
			continue
		}
		head, _, _ := strings.Cut(path, ".")
		p.module.Imports[head] = head
	}
}

func (p *parser) dotted() string {
	path := p.expectName()
	for p.accept(".") {
		path += "." + p.expectName()
	}
	return path
}

// fromImport reads from … import …; "yield from" and "raise … from" never
// begin a statement with from.
func (p *parser) fromImport() {
	p.pos++
	from := ""
	for p.isOp(".", "...") {
		from += p.text(p.pos)
		p.pos++
	}
	if !p.isWord("import") {
		from += p.dotted()
	}
	if !p.isWord("import") {
		p.failf("import is missing before %s", p.describe())
		return
	}
	p.pos++
	if p.accept("*") {
		p.module.Stars = append(p.module.Stars, from)
		return
	}
	bracket := p.accept("(")
	for p.at(word) {
		p.importName(strings.TrimSuffix(from, ".") + ".")
		if !p.accept(",") {
			break
		}
	}
	if bracket {
		p.expect(")")
	}
}

func (p *parser) importName(from string) {
	name := p.expectName()
	local := name
	if p.isWord("as") {
		p.pos++
		local = p.expectName()
	}
	p.module.Imports[local] = from + name
}
