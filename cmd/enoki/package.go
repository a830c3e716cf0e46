package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

const enokiPath = "github.com/enoki-go/enoki"

// goPackage is what `go list -json` says of a package.
type goPackage struct {
	Dir        string
	ImportPath string
	Name       string
	GoFiles    []string
	EmbedFiles []string
	Standard   bool
	Module     *goModule
	Error      *struct{ Err string }
}

type goModule struct {
	Dir     string
	GoMod   string // path of the go.mod file
	Main    bool
	Replace *struct{ Version string }
}

// base is the last element of the import path that says something.
func (p goPackage) base() string { return path.Base(p.ImportPath) }

func (p goPackage) isMain() bool { return p.Name == "main" }

// local reports whether the package's files are the user's to edit, rather
// than a downloaded module's.
func (p goPackage) local() bool {
	m := p.Module
	return !p.Standard && m != nil && (m.Main || m.Replace != nil && m.Replace.Version == "")
}

// runnable returns the packages that the patterns mean and that can be run.
// One that a pattern with "..." matches and that can't be run is left out;
// one that is named by itself is an error.
func runnable(ctx context.Context, patterns []string) ([]goPackage, error) {
	if len(patterns) == 0 {
		patterns = []string{"."}
	}
	var found []goPackage
	for _, pattern := range patterns {
		packages, err := goList(ctx, "", pattern)
		if err != nil {
			return nil, err
		}
		many := strings.Contains(pattern, "...")
		for _, p := range packages {
			err := p.checkRunnable()
			if err != nil && !many {
				return nil, usageError{err}
			}
			if err == nil && !slices.ContainsFunc(found, func(f goPackage) bool { return f.ImportPath == p.ImportPath }) {
				found = append(found, p)
			}
		}
	}
	if len(found) == 0 {
		return nil, usageError{fmt.Errorf("nothing to run in %s: no package main and none with func New() *enoki.Service", strings.Join(patterns, " "))}
	}
	return found, nil
}

// checkRunnable says why a package can't be run. Mistakes in its code are left
// to the compiler.
func (p goPackage) checkRunnable() error {
	switch {
	case len(p.GoFiles) == 0 && p.Error != nil:
		return errors.New(strings.TrimSpace(p.Error.Err))
	case p.isMain():
		return nil
	}
	signature := p.signatureOfNew()
	switch {
	case signature == "":
		return fmt.Errorf("package %s has neither func main nor func New() *enoki.Service; write one of them", p.ImportPath)
	case signature != wantedNew:
		return fmt.Errorf("package %s has func New%s, but without a main it takes func New() *enoki.Service; write that, or a main that calls host.Main(%s.New(…))",
			p.ImportPath, signature, p.Name)
	}
	return nil
}

// wantedNew is the signature, as signatureOfNew writes it, of a New that
// needs no main.
const wantedNew = "() *enoki.Service"

// signatureOfNew returns the parameters and results of the package's function
// New, or "". Types are not checked, only read.
func (p goPackage) signatureOfNew() string {
	for _, name := range p.GoFiles {
		files := token.NewFileSet()
		// A file with a mistake still shows what was read up to there.
		syntax, _ := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if syntax == nil {
			continue
		}
		for _, d := range syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "New" {
				return signature(fn.Type, localName(syntax, enokiPath))
			}
		}
	}
	return ""
}

// localName is the name under which a file imports a package.
func localName(syntax *ast.File, importPath string) string {
	for _, spec := range syntax.Imports {
		if spec.Path.Value == `"`+importPath+`"` && spec.Name != nil {
			return spec.Name.Name
		}
	}
	return path.Base(importPath)
}

// signature writes a function's type; enoki is the file's name for package
// enoki.
func signature(fn *ast.FuncType, enoki string) string {
	if fn.Params.NumFields() > 0 || fn.TypeParams.NumFields() > 0 {
		return "(…)"
	}
	if fn.Results.NumFields() == 1 {
		if star, ok := fn.Results.List[0].Type.(*ast.StarExpr); ok {
			if s, ok := star.X.(*ast.SelectorExpr); ok && s.Sel.Name == "Service" {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == enoki {
					return wantedNew
				}
			}
		}
	}
	return "() (…)"
}

// goList asks go for packages; mistakes in them are in their Error.
func goList(ctx context.Context, dir string, arguments ...string) ([]goPackage, error) {
	arguments = append([]string{"list", "-e", "-json=Dir,ImportPath,Name,GoFiles,EmbedFiles,Standard,Module,Error"}, arguments...)
	cmd := exec.CommandContext(ctx, "go", arguments...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, errors.New("enoki run builds with the go command, and there is none in $PATH; install Go from https://go.dev/dl")
	}
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(arguments, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	var packages []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var p goPackage
		if err := d.Decode(&p); err != nil {
			return nil, fmt.Errorf("read what go list says: %w", err)
		}
		packages = append(packages, p)
	}
	return packages, nil
}

// prefixes names each package as shortly as tells them apart: by the last
// element of its path, or as many as it takes.
func prefixes(packages []goPackage) []string {
	names := make([]string, len(packages))
	for i, p := range packages {
		elements := strings.Split(p.ImportPath, "/")
		for n := 1; n <= len(elements); n++ {
			names[i] = strings.Join(elements[len(elements)-n:], "/")
			same := func(other goPackage) bool {
				return other.ImportPath != p.ImportPath && strings.HasSuffix("/"+other.ImportPath, "/"+names[i])
			}
			if !slices.ContainsFunc(packages, same) {
				break
			}
		}
	}
	return names
}
