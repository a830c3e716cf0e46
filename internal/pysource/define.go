package pysource

// class reads a class statement with its block.
func (p *parser) class(s *scope) {
	c := &Class{Line: p.tokens[p.pos].line, Decorators: s.decorators}
	s.decorators = nil
	p.pos++
	c.Name = p.expectName()
	p.typeParams()
	if p.isOp("(") {
		c.Bases = p.args()
	}
	p.expect(":")
	var inner scope
	if p.openBlock() {
		c.Doc = p.docstring()
		p.statements(&inner)
		p.endBlock()
	} else {
		c.Doc = p.docstring()
		p.simpleLine(&inner)
	}
	c.Assigns, c.Methods = inner.assigns, inner.functions
	s.classes = append(s.classes, c)
}

// typeParams skips the [T] of a generic class or function.
func (p *parser) typeParams() {
	if p.isOp("[") {
		p.skipBrackets()
	}
}

// openBlock goes to the begin of an indented block. It reports false when the
// block is the rest of the line.
func (p *parser) openBlock() bool {
	if !p.at(newline) {
		return false
	}
	p.pos++
	if !p.at(indent) {
		p.failf("an indented block is missing before %s", p.describe())
		return false
	}
	p.pos++
	return true
}

// docstring returns the string that the block begins with, if it does, and
// leaves it to be read.
func (p *parser) docstring() string {
	start := p.pos
	defer func() { p.pos = start }()
	if !p.at(text) {
		return ""
	}
	doc, ok := p.stringLiteral().(*String)
	if !ok || !p.at(newline) && !p.isOp(";") {
		return ""
	}
	return cleanDoc(doc.Value)
}

// function reads a def with its block.
func (p *parser) function(s *scope) {
	f := &Function{Line: p.tokens[p.pos].line, Decorators: s.decorators}
	s.decorators = nil
	if p.isWord("async") {
		p.pos++
	}
	p.pos++
	f.Name = p.expectName()
	p.typeParams()
	p.expect("(")
	f.Params = p.params()
	p.expect(")")
	if p.accept("->") {
		f.Returns = p.expr()
	}
	p.expect(":")
	indented := p.openBlock()
	f.Doc = p.docstring()
	f.Calls = p.body(indented)
	s.functions = append(s.functions, f)
}

func (p *parser) params() []Param {
	var params []Param
	after := Plain // the kind of those that come
	for !p.isOp(")") && p.err == nil {
		switch {
		case p.accept("/"):
			for i := range params {
				params[i].Kind = PositionalOnly
			}
		case p.isOp("*") && p.isOpAt(p.pos+1, ",", ")"):
			p.pos++
			after = KeywordOnly
		case p.accept("*"):
			params = append(params, p.param(VarPositional))
			after = KeywordOnly
		case p.accept("**"):
			params = append(params, p.param(VarKeyword))
		default:
			params = append(params, p.param(after))
		}
		if !p.accept(",") {
			break
		}
	}
	return params
}

func (p *parser) param(k ParamKind) Param {
	param := Param{Kind: k}
	if p.isOp("(") { // Python 2
		p.skipBrackets()
		param.Kind = PositionalOnly
	} else {
		param.Name = p.expectName()
	}
	if p.accept(":") {
		param.Annotation = p.expr()
	}
	if p.accept("=") {
		param.Default = p.expr()
	}
	return param
}

// body skips the body of a function and returns the calls in it.
func (p *parser) body(indented bool) []BodyCall {
	var calls []BodyCall
	for depth := 1; !p.at(endOfFile); p.pos++ {
		switch {
		case p.at(newline) && !indented:
			p.pos++
			return calls
		case p.at(indent):
			depth++
		case p.at(dedent):
			if depth--; depth == 0 {
				p.pos++
				return calls
			}
		case p.at(word) && !isKeyword(p.text(p.pos)) && !p.isOpAt(p.pos-1, "."):
			if c, ok := p.bodyCall(); ok {
				calls = append(calls, c)
			}
		}
	}
	return calls
}

// bodyCall reads a dotted name, and reports whether it is called.
func (p *parser) bodyCall() (BodyCall, bool) {
	start := p.pos
	for p.isOpAt(p.pos+1, ".") && p.tokens[p.pos+2].kind == word {
		p.pos += 2
	}
	if !p.isOpAt(p.pos+1, "(") || p.defines(start-1) {
		return BodyCall{}, false
	}
	name := p.src[p.tokens[start].start:p.tokens[p.pos].end]
	return BodyCall{Callee: name, First: p.firstArg(p.pos + 2), Line: p.tokens[start].line}, true
}

// defines reports whether token i introduces a name, rather than a use of it.
func (p *parser) defines(i int) bool {
	return p.tokens[i].kind == word && (p.text(i) == "def" || p.text(i) == "class")
}

// firstArg reads ahead the argument that begins at token i, when it is no more
// than a string or a name.
func (p *parser) firstArg(i int) *Arg {
	back := p.pos
	defer func() { p.pos = back }()
	p.pos = i
	var a Arg
	if p.at(word) && p.isOpAt(i+1, "=") {
		a.Name = p.text(i)
		p.pos += 2
	}
	switch start := p.pos; {
	case p.at(text):
		a.Value = p.stringLiteral()
	case p.at(word) && !isKeyword(p.text(p.pos)):
		p.pos++
		a.Value = &Name{p.since(start), p.text(start)}
		for p.isOp(".") && p.tokens[p.pos+1].kind == word {
			p.pos += 2
			a.Value = &Attribute{p.since(start), a.Value, p.text(p.pos - 1)}
		}
	}
	if a.Value == nil || !p.isOp(",", ")") {
		return nil
	}
	return &a
}
