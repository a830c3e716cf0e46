package pysource

import (
	"slices"
	"strings"
)

// maxAliases bounds how many names for one thing are followed.
const maxAliases = 16

// Path returns the dotted path of what e means, as far as the module says it:
// after "from nameko.rpc import rpc as remote" the path of remote is
// "nameko.rpc.rpc", and so is that of r after "r = remote". It is "" when e is
// not a name with or without dots.
func (m *Module) Path(e Expr) string {
	path := dotted(e)
	for range maxAliases {
		head, rest, more := strings.Cut(path, ".")
		meant := m.Imports[head]
		imported := meant != ""
		if !imported {
			meant = dotted(m.Value(head))
		}
		if meant == "" {
			return path
		}
		path = meant
		if more {
			path += "." + rest
		}
		if imported {
			return path
		}
	}
	return path
}

// Means reports whether e means what has the dotted path, for which an import
// of everything is enough.
func (m *Module) Means(e Expr, path string) bool {
	got := m.Path(e)
	i := strings.LastIndex(path, ".")
	return got == path || got != "" && got == path[i+1:] && slices.Contains(m.Stars, path[:max(i, 0)])
}

// Value returns the value that the module gives to a name last, or nil.
func (m *Module) Value(name string) Expr {
	for _, a := range slices.Backward(m.Assigns) {
		if a.Name == name {
			return a.Value
		}
	}
	return nil
}

// Class returns the class of that name, or nil.
func (m *Module) Class(name string) *Class {
	for _, c := range slices.Backward(m.Classes) {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Lineage returns the class and those of its bases that are in the module, in
// the order in which Python looks for an attribute. strangers are the bases
// that are not.
func (m *Module) Lineage(c *Class) (line []*Class, strangers []Expr) {
	seen := map[*Class]bool{}
	var visit func(*Class)
	visit = func(c *Class) {
		seen[c] = true
		for _, base := range slices.Backward(c.Bases) {
			if base.Name != "" || base.Value.Text() == "object" {
				continue // metaclass=…, or what Python 2 wants every class to have
			}
			found := m.Class(m.Path(base.Value))
			switch {
			case found == nil:
				strangers = append(strangers, base.Value)
			case !seen[found]:
				visit(found)
			}
		}
		line = append(line, c)
	}
	visit(c)
	slices.Reverse(line)
	slices.Reverse(strangers)
	return line, strangers
}

// String returns the text that e stands for: a string, or a name that the
// module, or one of the classes, gives a string. ok is false when it can't be
// known.
func (m *Module) String(e Expr, classes ...*Class) (value string, ok bool) {
	for range maxAliases {
		if s, ok := e.(*String); ok {
			return s.Value, true
		}
		path := dotted(e)
		name, inClass := path, false
		if head, attr, dot := strings.Cut(path, "."); dot && (head == "self" || head == "cls") {
			name, inClass = attr, true
		}
		e = m.Value(name)
		for _, c := range classes {
			if a := c.Assign(name); a != nil && (inClass || e == nil) {
				e = a.Value
				break
			}
		}
		if path == "" || e == nil {
			return "", false
		}
	}
	return "", false
}

// Assign returns what the class itself assigns to the attribute last, or nil.
func (c *Class) Assign(name string) *Assign {
	for i, a := range slices.Backward(c.Assigns) {
		if a.Name == name && a.Value != nil {
			return &c.Assigns[i]
		}
	}
	return nil
}

// dotted returns a name with its dots, or "".
func dotted(e Expr) string {
	var parts []string
	for {
		switch x := e.(type) {
		case *Name:
			parts = append(parts, x.ID)
			slices.Reverse(parts)
			return strings.Join(parts, ".")
		case *Attribute:
			parts = append(parts, x.Attr)
			e = x.X
		default:
			return ""
		}
	}
}
