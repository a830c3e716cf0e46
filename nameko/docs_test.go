package nameko_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestNamesInTheDocs holds docs/nameko.md to the code: what it names is there.
func TestNamesInTheDocs(t *testing.T) {
	page, err := os.ReadFile("../docs/nameko.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]map[string]bool{"enoki": exported(t, ".."), "nameko": exported(t, "."), "web": exported(t, "../web"),
		"websocket": exported(t, "../websocket"), "host": exported(t, "../host")}
	names := regexp.MustCompile(`\b([a-z]+)\.([A-Z]\w*)`).FindAllStringSubmatch(string(page), -1)
	if len(names) < 40 {
		t.Fatalf("only %d names found", len(names))
	}
	for _, name := range names {
		if of, ours := known[name[1]]; ours && !of[name[2]] {
			t.Errorf("there is no %s", name[0])
		}
	}
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"publish nameko.Publisher[Order]", `return s.publish(ctx, Order{1, item}, nameko.RoutingKey("new."+item))`,
		"nameko.Publishes(orders, &s.publish, nameko.Mandatory(true)))", `enoki.Method("buy", s.buy, "item"),`} {
		if !strings.Contains(string(page), line) || !strings.Contains(string(example), line) {
			t.Errorf("%q is not both in the page and in an Example", line)
		}
	}
}

// exported returns what a package exports, and its methods.
func exported(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				names[n.Name.Name] = true
				return false
			case *ast.TypeSpec:
				names[n.Name.Name] = true
			case *ast.ValueSpec:
				for _, name := range n.Names {
					names[name.Name] = true
				}
			}
			return true
		})
	}
	return names
}
