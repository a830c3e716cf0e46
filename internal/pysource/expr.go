package pysource

import "strings"

// Expr is an expression: one of the types below. What none of them can hold is
// an *Other.
type Expr interface {
	Text() string // as it stands in the source
	Line() int
}

// Name is a variable, or a constant such as None.
type Name struct {
	source
	ID string
}

// Attribute is X.Attr.
type Attribute struct {
	source
	X    Expr
	Attr string
}

// Call is Func(Args).
type Call struct {
	source
	Func Expr
	Args []Arg
}

// Subscript is X[Items].
type Subscript struct {
	source
	X     Expr
	Items []Expr
}

// Sequence is a list or a tuple, item by item.
type Sequence struct {
	source
	Items []Expr
}

// Union is Items[0] | Items[1] | …
type Union struct {
	source
	Items []Expr
}

// String is a constant string, or bytes, put together of its parts.
type String struct {
	source
	Value string
}

// Other is every other expression: a number, an f-string, a sum, a lambda …
type Other struct{ source }

// Arg is an argument of a call, or what a class statement has in its place.
type Arg struct {
	Name  string // "" when it goes by position
	Value Expr
}

type source struct {
	text string
	line int
}

func (s source) Text() string { return s.text }
func (s source) Line() int    { return s.line }

// ParseExpr reads an expression on its own, such as an annotation in quotes.
// Its Line is that of line.
func ParseExpr(file, src string, line int) (Expr, error) {
	tokens, err := tokenize(file, "("+strings.TrimSpace(src)+")")
	if err != nil {
		return nil, err
	}
	for i := range tokens {
		tokens[i].line += line - 1
	}
	p := &parser{file: file, src: "(" + strings.TrimSpace(src) + ")", tokens: tokens}
	e := p.expr()
	if p.err == nil && !p.at(newline) {
		p.failf("%q is not an expression", src)
	}
	return e, p.err
}

// expr reads an expression that ends before a comma, a closing bracket, a
// colon, an assignment, a semicolon or the end of the line.
func (p *parser) expr() Expr {
	start := p.pos
	first := p.operand()
	if first == nil {
		return p.other(start)
	}
	items := []Expr{first}
	for p.isOp("|") {
		p.pos++
		item := p.operand()
		if item == nil {
			return p.other(start)
		}
		items = append(items, item)
	}
	if !p.endsExpr() {
		return p.other(start)
	}
	if len(items) == 1 {
		return first
	}
	return &Union{p.since(start), items}
}

func (p *parser) endsExpr() bool {
	return p.at(newline) || p.at(endOfFile) || p.isOp(",", ")", "]", "}", ":", "=", ";")
}

// other skips to where the expression ends.
func (p *parser) other(start int) Expr {
	lambdas := 0 // whose colon has not come
	for ; !p.at(newline) && !p.at(endOfFile); p.pos++ {
		if p.isWord("lambda") {
			lambdas++
			continue
		}
		if p.isOp("(", "[", "{") {
			p.skipBrackets()
			p.pos--
			continue
		}
		if lambdas == 0 && p.endsExpr() || p.isOp(")", "]", "}") {
			break
		}
		if p.isOp(":") {
			lambdas--
		}
	}
	if p.pos == start {
		p.failf("an expression is missing before %s", p.describe())
	}
	return &Other{p.since(start)}
}

// operand reads a name, a literal or something in brackets, and what follows
// it with a dot or in brackets. It returns nil when there is something else.
func (p *parser) operand() Expr {
	start := p.pos
	e := p.atom()
	for e != nil {
		switch {
		case p.isOp(".") && p.tokens[p.pos+1].kind == word:
			p.pos += 2
			e = &Attribute{p.since(start), e, p.text(p.pos - 1)}
		case p.isOp("("):
			args := p.args()
			e = &Call{p.since(start), e, args}
		case p.isOp("["):
			items, _ := p.items()
			e = &Subscript{p.since(start), e, items}
		default:
			return e
		}
	}
	return nil
}

func (p *parser) atom() Expr {
	start := p.pos
	switch t := p.tokens[p.pos]; {
	case t.kind == word && !isKeyword(p.text(p.pos)):
		p.pos++
		return &Name{p.since(start), p.text(start)}
	case t.kind == text:
		return p.stringLiteral()
	case t.kind == number, p.isOp("..."):
		p.pos++
		return &Other{p.since(start)}
	case p.isOp("("):
		items, tuple := p.items()
		if len(items) == 1 && !tuple {
			return items[0]
		}
		return &Sequence{p.since(start), items}
	case p.isOp("["):
		items, _ := p.items()
		return &Sequence{p.since(start), items}
	case p.isOp("{"):
		p.skipBrackets()
		return &Other{p.since(start)}
	}
	return nil
}

// stringLiteral reads literals that stand side by side, which Python joins.
func (p *parser) stringLiteral() Expr {
	start, constant := p.pos, true
	var value strings.Builder
	for ; p.at(text); p.pos++ {
		part, ok := content(p.text(p.pos))
		constant = constant && ok
		value.WriteString(part)
	}
	if !constant {
		return &Other{p.since(start)}
	}
	return &String{p.since(start), value.String()}
}

// items reads what stands in brackets between commas; comma says whether there
// is one.
func (p *parser) items() (items []Expr, comma bool) {
	p.inBrackets(func() {
		items = append(items, p.item())
		comma = comma || p.isOp(",")
	})
	return items, comma
}

// item is an expression in brackets, where a colon (of a slice) or an equals
// sign does not end it.
func (p *parser) item() Expr {
	start := p.pos
	if !p.isOp(":") {
		if e := p.expr(); p.isOp(",", ")", "]") {
			return e
		}
	}
	for !p.isOp(",", ")", "]") && p.err == nil {
		p.skipToken()
	}
	return &Other{p.since(start)}
}

func (p *parser) args() (args []Arg) {
	p.inBrackets(func() {
		var a Arg
		if p.at(word) && p.isOpAt(p.pos+1, "=") {
			a.Name = p.text(p.pos)
			p.pos += 2
		}
		a.Value = p.item()
		args = append(args, a)
	})
	return args
}

// inBrackets calls read for each thing between the commas of the brackets that
// open here.
func (p *parser) inBrackets(read func()) {
	p.pos++
	for !p.isOp(")", "]") && p.err == nil {
		read()
		if !p.accept(",") && !p.isOp(")", "]") {
			p.failf("%s does not belong here", p.describe())
		}
	}
	if p.err == nil {
		p.pos++
	}
}

// skipToken skips a token, or everything in brackets.
func (p *parser) skipToken() {
	if p.isOp("(", "[", "{") {
		p.skipBrackets()
		return
	}
	p.pos++
}

// skipBrackets skips what opens here until it closes.
func (p *parser) skipBrackets() {
	for open := 0; ; p.pos++ {
		switch {
		case p.isOp("(", "[", "{"):
			open++
		case p.isOp(")", "]", "}"):
			open--
		}
		if open == 0 {
			p.pos++
			return
		}
	}
}
