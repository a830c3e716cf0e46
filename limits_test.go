package enoki_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

const (
	// maxExported is how many names the root may export, the methods of its
	// types among them. Our goal is 85: lower it with each name that goes.
	maxExported = 102

	// maxFiles is how many product files a folder may hold.
	maxFiles = 20
)

// crowded are the folders that hold more than maxFiles, and how many they may
// hold until they are divided. Our goal is an empty table: lower these.
var crowded = map[string]int{
	".":           30,
	"broker/amqp": 42,
	"broker/nats": 31,
	"cmd/enoki":   39,
	"host":        24,
	"web":         33,
}

// TestFilesInAFolder keeps a folder to what a reader can survey.
func TestFilesInAFolder(t *testing.T) {
	t.Parallel()
	for _, p := range listPackages(t) {
		if floor, _ := floorOf(p.path); floor == outside {
			continue
		}
		files := len(p.product())
		limit, isCrowded := crowded[p.path]
		switch {
		case isCrowded && files <= maxFiles:
			t.Errorf("%s holds %d product files: strike it from crowded", p.path, files)
		case isCrowded && files > limit, !isCrowded && files > maxFiles:
			t.Errorf("%s holds %d product files, and may hold %d: divide it, or put what belongs together into one", p.path, files, max(limit, maxFiles))
		}
	}
}

// TestExportedNames keeps the root to what a user can learn in a day.
func TestExportedNames(t *testing.T) {
	t.Parallel()
	for _, p := range listPackages(t) {
		if p.path != "." {
			continue
		}
		if n := countExported(t, p); n > maxExported {
			t.Errorf("the root exports %d names, and may export %d: what authors of extensions need has packages of its own", n, maxExported)
		}
		return
	}
	t.Error("go list doesn't show the root")
}

func TestExportedNamesAreCounted(t *testing.T) {
	t.Parallel()
	syntax, err := parser.ParseFile(token.NewFileSet(), "", `package p
const A, b = 1, 2
var C int
type D struct{ Field int }
type e struct{}
func F() {}
func (*D) G() {}
func (e) H() {}
func (D) i() {}
`, 0)
	if err != nil {
		t.Fatal(err)
	}
	if n := exportedIn(syntax); n != 5 { // A, C, D, F, D.G
		t.Errorf("counted %d exported names, want 5", n)
	}
}

// product are the files of a package that are no tests.
func (p listedPackage) product() []string {
	files := append([]string{}, p.GoFiles...)
	for _, name := range p.IgnoredGoFiles {
		if !strings.HasSuffix(name, "_test.go") {
			files = append(files, name)
		}
	}
	return files
}

func countExported(t *testing.T, p listedPackage) (n int) {
	t.Helper()
	for _, name := range p.product() {
		syntax, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		n += exportedIn(syntax)
	}
	return n
}

// exportedIn counts as make house does: names of the package, and methods of
// exported types, but no fields.
func exportedIn(syntax *ast.File) (n int) {
	count := func(name *ast.Ident) {
		if name.IsExported() {
			n++
		}
	}
	for _, declaration := range syntax.Decls {
		switch d := declaration.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil || ast.IsExported(receiver(d.Recv.List[0].Type)) {
				count(d.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					count(s.Name)
				case *ast.ValueSpec:
					for _, name := range s.Names {
						count(name)
					}
				}
			}
		}
	}
	return n
}

// receiver names a method's type, without pointer and parameters.
func receiver(typ ast.Expr) string {
	switch t := typ.(type) {
	case *ast.Ident:
		return t.Name
	case *ast.StarExpr:
		return receiver(t.X)
	case *ast.IndexExpr:
		return receiver(t.X)
	case *ast.IndexListExpr:
		return receiver(t.X)
	}
	return ""
}
