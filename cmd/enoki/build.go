package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// builder builds one package, each time into a new file, because the old one
// may still run.
type builder struct {
	pkg    goPackage
	dir    string // for files; not the user's
	name   string // unique in dir
	number int
}

// build returns the path of the program, or what the compiler said.
func (b *builder) build(ctx context.Context) (string, error) {
	b.number++
	out := filepath.Join(b.dir, fmt.Sprintf("%s-%d", b.name, b.number))
	arguments, err := b.arguments(ctx, out)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", arguments...)
	cmd.Dir = b.pkg.Dir
	said, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return "", compileError{strings.TrimRight(string(said), "\n")}
	}
	return out, nil
}

// compileError is what the compiler said.
type compileError struct{ said string }

func (e compileError) Error() string { return e.said }

func (b *builder) arguments(ctx context.Context, out string) ([]string, error) {
	arguments := []string{"build", "-o", out}
	if b.pkg.isMain() {
		return append(arguments, b.pkg.ImportPath), nil
	}
	overlay, err := b.overlay()
	if err != nil {
		return nil, err
	}
	modules, err := b.modules(ctx)
	if err != nil {
		return nil, err
	}
	arguments = append(arguments, "-overlay", overlay)
	arguments = append(arguments, modules...)
	return append(arguments, b.pkg.ImportPath+"/"+virtualDir), nil
}

// virtualDir is the directory, below the package's own so that it may import
// internal packages, in which go is made to see a main package.
const virtualDir = "enokirun"

const virtualMain = `// Made by enoki run.
package main

import (
	"github.com/enoki-go/enoki/host"

	service %q
)

func main() { host.Main(service.New()) }
`

// overlay writes a main package for a package that has none, and the file
// that tells go to see it inside the package; see `go help build`.
func (b *builder) overlay() (string, error) {
	source := filepath.Join(b.dir, b.name+".main.go")
	if err := os.WriteFile(source, fmt.Appendf(nil, virtualMain, b.pkg.ImportPath), 0o600); err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]map[string]string{
		"Replace": {filepath.Join(b.pkg.Dir, virtualDir, "main.go"): source},
	})
	if err != nil {
		return "", err
	}
	file := filepath.Join(b.dir, b.name+".overlay.json")
	return file, os.WriteFile(file, overlay, 0o600)
}

// modules lets go add to copies of go.mod and go.sum what package host needs
// and the user's package, without a main, does not. A workspace does not allow
// it, and has its own sums.
func (b *builder) modules(ctx context.Context) ([]string, error) {
	workspace, err := b.goEnv(ctx, "GOWORK")
	if err != nil {
		return nil, err
	}
	if b.pkg.Module == nil || workspace != "" && workspace != "off" {
		return nil, nil
	}
	gomod := b.pkg.Module.GoMod
	copied := filepath.Join(b.dir, b.name+".mod")
	err = errors.Join(
		copyFile(gomod, copied),
		copyFile(strings.TrimSuffix(gomod, ".mod")+".sum", strings.TrimSuffix(copied, ".mod")+".sum"),
	)
	return []string{"-mod=mod", "-modfile", copied}, err
}

func (b *builder) goEnv(ctx context.Context, name string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "env", name)
	cmd.Dir = b.pkg.Dir
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go env %s: %w", name, err)
	}
	return string(bytes.TrimSpace(out)), nil
}

// copyFile copies a file, when there is one.
func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o600)
}
