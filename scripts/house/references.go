package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// listed is what `go list` says of a package.
type listed struct {
	Dir, ImportPath, Export string
	GoFiles                 []string
	Standard, DepOnly       bool
	Module                  *struct{ Path string }
}

// rootPackage is the package at the root of the module, and what it pulls in.
type rootPackage struct {
	listed
	closure []listed
}

func readRoot(dir string) (*rootPackage, error) {
	list := exec.Command("go", "list", "-deps", "-export", "-json=Dir,ImportPath,Export,GoFiles,Standard,DepOnly,Module", ".")
	list.Dir = dir
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list in %s: %w", dir, err)
	}
	root := &rootPackage{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return root, nil
		} else if err != nil {
			return nil, err
		}
		if p.DepOnly {
			root.closure = append(root.closure, p)
		} else {
			root.listed = p
		}
	}
}

// pulls names the packages of the module, and the modules of others, that an
// import of the root brings.
func (r *rootPackage) pulls() (own, others []string) {
	for _, p := range r.closure {
		switch {
		case p.Standard || p.Module == nil:
		case p.Module.Path == r.Module.Path:
			own = append(own, p.ImportPath)
		case !slices.Contains(others, p.Module.Path):
			others = append(others, p.Module.Path)
		}
	}
	return own, others
}

// references says which files of a package use what others declare.
type references struct {
	files []string                       // in the order of their names
	to    map[string]map[string][]string // by file and file: the names used
}

func (r *rootPackage) references() (*references, error) {
	positions := token.NewFileSet()
	var syntax []*ast.File
	refs := &references{files: slices.Sorted(slices.Values(r.GoFiles)), to: map[string]map[string][]string{}}
	for _, name := range refs.files {
		f, err := parser.ParseFile(positions, filepath.Join(r.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		syntax = append(syntax, f)
		refs.to[name] = map[string][]string{}
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: r.importer(positions)}
	checked, err := config.Check(r.ImportPath, positions, syntax, info)
	if err != nil {
		return nil, err
	}
	fileOf := func(at token.Pos) string { return filepath.Base(positions.Position(at).Filename) }
	for id, object := range info.Uses {
		if object.Pkg() != checked || !object.Pos().IsValid() {
			continue
		}
		if from, to := fileOf(id.Pos()), fileOf(object.Pos()); from != to && !slices.Contains(refs.to[from][to], object.Name()) {
			refs.to[from][to] = append(refs.to[from][to], object.Name())
		}
	}
	return refs, nil
}

// importer reads packages as go list has compiled them.
func (r *rootPackage) importer(positions *token.FileSet) types.Importer {
	return importer.ForCompiler(positions, "gc", func(path string) (io.ReadCloser, error) {
		i := slices.IndexFunc(r.closure, func(p listed) bool { return p.ImportPath == path })
		if i < 0 {
			return nil, fmt.Errorf("go list doesn't know %s", path)
		}
		return os.Open(r.closure[i].Export)
	})
}
