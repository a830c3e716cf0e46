package host

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// node is a value in a YAML document and the place where it stands.
type node struct {
	place place
	value any    // nil, bool, int64, float64, string, []node or []pair
	text  string // of a scalar, as it is written
}

// pair is a key of a mapping and its value.
type pair struct{ key, value node }

// place is where a value stands in a file; lines and columns count from 1.
type place struct {
	file         string
	line, column int
}

func (p place) String() string { return fmt.Sprintf("%s:%d:%d", p.file, p.line, p.column) }

func (p place) errorf(format string, a ...any) error {
	return fmt.Errorf("%s: %w", p, fmt.Errorf(format, a...))
}

// kind names what a node holds, for messages. The value itself is never part
// of a message: it may be a secret out of the environment.
func (n node) kind() string {
	switch n.value.(type) {
	case nil:
		return "nothing"
	case bool:
		return "true or false"
	case int64:
		return "a whole number"
	case float64:
		return "a number"
	case string:
		return "text"
	case []node:
		return "a list"
	}
	return "a mapping"
}

// parseDocument reads a YAML document and puts environment variables into it,
// as Nameko does: see reader.plain. A nil environment leaves references as they
// are. An empty document is nil.
func parseDocument(file string, source []byte, env environment) (node, error) {
	r := &reader{env: env, start: place{file, 1, 1}, anchors: map[string]node{}}
	return r.document(string(source))
}

// reader turns the syntax tree of one piece of YAML into nodes.
type reader struct {
	env     environment
	start   place // of a file, or of the scalar that is parsed again
	depth   int   // how many times it was parsed again
	anchors map[string]node
}

func (r *reader) document(source string) (node, error) {
	file, err := parser.ParseBytes([]byte(source), 0)
	if err != nil {
		return node{}, r.syntaxError(err)
	}
	docs := slices.DeleteFunc(file.Docs, func(d *ast.DocumentNode) bool { return d.Body == nil })
	switch len(docs) {
	case 0:
		return node{place: r.start}, nil
	case 1:
		return r.node(docs[0].Body)
	}
	return node{}, r.placeOf(docs[1].Body).errorf("a second document; want one")
}

// syntaxError leaves out the excerpt that the parser shows, which may hold a
// secret; so may the message, when a variable's value is parsed.
func (r *reader) syntaxError(err error) error {
	var syntax yaml.Error
	switch {
	case r.depth > 0:
		return r.start.errorf("with the environment variables put in, this is no YAML; to use a value as text, write !raw_env_var before it")
	case errors.As(err, &syntax):
		return r.tokenPlace(syntax.GetToken()).errorf("%s", syntax.GetMessage())
	}
	return r.start.errorf("not YAML")
}

func (r *reader) placeOf(n ast.Node) place {
	if mapping, ok := n.(*ast.MappingNode); ok && len(mapping.Values) > 0 {
		return r.placeOf(mapping.Values[0].Key) // its own token is the first colon
	}
	return r.tokenPlace(n.GetToken())
}

func (r *reader) tokenPlace(t *token.Token) place {
	if r.depth > 0 || t == nil || t.Position == nil {
		return r.start
	}
	return place{r.start.file, t.Position.Line, t.Position.Column}
}

func (r *reader) node(n ast.Node) (node, error) {
	at := r.placeOf(n)
	switch n := n.(type) {
	case *ast.MappingNode:
		return r.mapping(at, n.Values)
	case *ast.MappingValueNode:
		return r.mapping(at, []*ast.MappingValueNode{n})
	case *ast.SequenceNode:
		return r.sequence(at, n)
	case *ast.TagNode:
		return r.tagged(at, n)
	case *ast.AnchorNode:
		value, err := r.node(n.Value)
		r.anchors[n.Name.GetToken().Value] = value
		return value, err
	case *ast.AliasNode:
		return r.alias(at, n)
	case *ast.LiteralNode:
		return node{at, n.Value.Value, n.Value.Value}, nil
	case *ast.StringNode:
		if n.Token.Type == token.StringType {
			return r.plain(at, n.Value)
		}
		return node{at, n.Value, n.Value}, nil
	}
	return scalar(at, n)
}

func (r *reader) alias(at place, n *ast.AliasNode) (node, error) {
	name := n.Value.GetToken().Value
	value, ok := r.anchors[name]
	if !ok {
		return node{}, at.errorf("no anchor &%s before this", name)
	}
	value.place = at
	return value, nil
}

func scalar(at place, n ast.Node) (node, error) {
	text := n.GetToken().Value
	switch n := n.(type) {
	case *ast.NullNode:
		return node{at, nil, text}, nil
	case *ast.BoolNode:
		return node{at, n.Value, text}, nil
	case *ast.IntegerNode:
		switch v := n.Value.(type) {
		case int64:
			return node{at, v, text}, nil
		case uint64:
			return node{at, int64(v), text}, nil //nolint:gosec // the parser makes text of what is larger than int64
		}
	case *ast.FloatNode:
		return node{at, n.Value, text}, nil
	case *ast.InfinityNode:
		return node{at, n.Value, text}, nil
	}
	return node{}, at.errorf("%s cannot be used here", strings.ToLower(n.Type().String()))
}

func (r *reader) sequence(at place, n *ast.SequenceNode) (node, error) {
	items := make([]node, 0, len(n.Values))
	for _, v := range n.Values {
		item, err := r.node(v)
		if err != nil {
			return node{}, err
		}
		items = append(items, item)
	}
	return node{place: at, value: items}, nil
}

func (r *reader) mapping(at place, values []*ast.MappingValueNode) (node, error) {
	var own, merged []pair
	for _, v := range values {
		value, err := r.node(v.Value)
		if err != nil {
			return node{}, err
		}
		if v.Key.IsMergeKey() {
			more, err := mergedPairs(value)
			if err != nil {
				return node{}, err
			}
			merged = append(merged, more...)
			continue
		}
		key, err := r.key(v.Key)
		if err != nil {
			return node{}, err
		}
		own = append(own, pair{key, value})
	}
	for _, p := range merged { // what stands in the mapping itself wins
		if lookup(own, p.key.text) == nil {
			own = append(own, p)
		}
	}
	return node{place: at, value: own}, nil
}

func (r *reader) key(key ast.MapKeyNode) (node, error) {
	var n ast.Node = key
	if explicit, ok := key.(*ast.MappingKeyNode); ok { // "? key"
		n = explicit.Value
	}
	k, err := r.node(n)
	if err != nil {
		return node{}, err
	}
	switch k.value.(type) {
	case []node, []pair:
		return node{}, k.place.errorf("a key must be text, and this is %s", k.kind())
	}
	return k, nil
}

func mergedPairs(n node) ([]pair, error) {
	switch v := n.value.(type) {
	case []pair:
		return v, nil
	case []node:
		var all []pair
		for _, item := range v {
			pairs, err := mergedPairs(item)
			if err != nil {
				return nil, err
			}
			all = append(all, pairs...)
		}
		return all, nil
	}
	return nil, n.place.errorf("<<: wants a mapping, have %s", n.kind())
}

func lookup(pairs []pair, key string) *pair {
	for i := range pairs {
		if pairs[i].key.text == key {
			return &pairs[i]
		}
	}
	return nil
}

func (r *reader) tagged(at place, n *ast.TagNode) (node, error) {
	tag := n.GetToken().Value
	switch tag {
	case "!env_var", "!raw_env_var", "!!str":
	default:
		return node{}, at.errorf("no tag %s here; have !env_var, !raw_env_var and !!str", tag)
	}
	source, ok := scalarSource(n.Value)
	if !ok {
		return node{}, at.errorf("%s wants text", tag)
	}
	switch tag {
	case "!env_var":
		return r.expanded(at, source)
	case "!raw_env_var":
		text, err := r.expand(at, source)
		return node{at, text, text}, err
	}
	return node{at, source, source}, nil
}

// scalarSource returns a scalar as it is written, without quotes.
func scalarSource(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode, *ast.InfinityNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// plain reads an unquoted scalar, which may hold references.
func (r *reader) plain(at place, text string) (node, error) {
	if _, after, found := strings.Cut(text, "${"); r.env == nil || !found || !strings.Contains(after, "}") {
		return node{at, text, text}, nil
	}
	return r.expanded(at, text)
}

// expanded puts environment variables into text and parses the result as YAML
// once more, so that a variable can hold a number or a list. Nothing at all
// is nil. References in the result are expanded in turn, except where that
// changed nothing.
func (r *reader) expanded(at place, text string) (node, error) {
	out, err := r.expand(at, text)
	if err != nil {
		return node{}, err
	}
	if out == text {
		return node{at, text, text}, nil
	}
	if r.depth == maxExpansions {
		return node{}, at.errorf("%w", errEndless)
	}
	again := &reader{env: r.env, start: at, depth: r.depth + 1, anchors: map[string]node{}}
	return again.document(out)
}

func (r *reader) expand(at place, text string) (string, error) {
	if r.env == nil {
		return text, nil
	}
	out, err := r.env.expand(text)
	if err != nil {
		return "", at.errorf("%w", err)
	}
	return out, nil
}
