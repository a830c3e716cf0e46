package main

import (
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// outside are the folders around the library: programs that nobody imports.
var outside = []string{"bench", "examples", "scripts", "test"}

// library is what stands in the product's files: neither tests nor programs
// around it.
type library struct {
	files     []file
	functions []function
}

type file struct {
	folder, name                   string // folder is relative to the module
	lines, codeLines, commentLines int
	exported, documented           int
	undocumented                   []string
}

func (f file) String() string { return path.Join(f.folder, f.name) }

type function struct {
	name  string
	in    string
	lines int
}

// readLibrary reads the module in root.
func readLibrary(root string) (*library, error) {
	l := &library{}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		if entry.IsDir() {
			if isOutside(root, relative) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(relative, ".go") || strings.HasSuffix(relative, "_test.go") {
			return nil
		}
		return l.read(name, relative)
	})
	return l, err
}

// isOutside says whether a folder is none of the library's: go itself passes
// over some of them, and others are modules of their own.
func isOutside(root, folder string) bool {
	if folder == "." {
		return false
	}
	base := path.Base(folder)
	if slices.Contains(outside, folder) || base == "testdata" || base == "vendor" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return true
	}
	_, err := os.Stat(filepath.Join(root, folder, "go.mod"))
	return err == nil
}

func (l *library) read(name, relative string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	positions := token.NewFileSet()
	syntax, err := parser.ParseFile(positions, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	f := file{folder: path.Dir(relative), name: path.Base(relative)}
	f.countLines(text)
	f.countNames(syntax)
	l.files = append(l.files, f)
	for _, declaration := range syntax.Decls {
		if fn, ok := declaration.(*ast.FuncDecl); ok && fn.Body != nil {
			lines := positions.Position(fn.End()).Line - positions.Position(fn.Pos()).Line + 1
			l.functions = append(l.functions, function{name: fn.Name.Name, in: relative, lines: lines})
		}
	}
	return nil
}

// countLines tells lines with code, lines with nothing but comments, and all.
func (f *file) countLines(text []byte) {
	f.lines = strings.Count(string(text), "\n")
	positions := token.NewFileSet()
	source := positions.AddFile("", -1, len(text))
	var s scanner.Scanner
	s.Init(source, text, nil, scanner.ScanComments)
	code, comment := map[int]bool{}, map[int]bool{}
	for {
		at, t, literal := s.Scan()
		if t == token.EOF {
			break
		}
		if t == token.SEMICOLON && literal == "\n" {
			continue // the scanner's own
		}
		first := source.Line(at)
		for line := first; line <= first+strings.Count(strings.TrimRight(literal, "\n"), "\n"); line++ {
			if t == token.COMMENT {
				comment[line] = true
			} else {
				code[line] = true
			}
		}
	}
	f.codeLines = len(code)
	for line := range comment {
		if !code[line] {
			f.commentLines++
		}
	}
}

// countNames counts exported names, those of methods too, and the documented
// ones among them. What a group's comment says, it says of all in the group.
func (f *file) countNames(syntax *ast.File) {
	for _, declaration := range syntax.Decls {
		switch d := declaration.(type) {
		case *ast.FuncDecl:
			if isReachable(d) {
				f.count(d.Name, d.Doc)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					f.count(s.Name, d.Doc, s.Doc, s.Comment)
				case *ast.ValueSpec:
					for _, name := range s.Names {
						f.count(name, d.Doc, s.Doc, s.Comment)
					}
				}
			}
		}
	}
}

// isReachable says whether a function is none of an unexported type.
func isReachable(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	name := ""
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && name == "" {
			name = id.Name
		}
		return name == ""
	})
	return ast.IsExported(name)
}

func (f *file) count(name *ast.Ident, docs ...*ast.CommentGroup) {
	if !name.IsExported() {
		return
	}
	f.exported++
	if slices.ContainsFunc(docs, func(doc *ast.CommentGroup) bool { return doc != nil }) {
		f.documented++
		return
	}
	f.undocumented = append(f.undocumented, f.String()+": "+name.Name)
}
