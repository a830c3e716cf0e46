// Package migration_test moves services of real Python Nameko to Go: it rolls
// one service back and forth under load, and does all that docs/migrate.md
// says.
package migration_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/enoki-go/enoki/internal/testserver"
)

// programs is the directory of the built programs, enoki and shop; set by
// TestMain.
var programs string

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (code int, err error) {
	programs, err = os.MkdirTemp("", "enoki-migration-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(programs) }()
	const module = "github.com/enoki-go/enoki"
	out, err := exec.Command("go", "build", "-o", programs+string(filepath.Separator),
		module+"/cmd/enoki", module+"/test/migration/shop").CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// The versions of Nameko that the rolling move has instances of.
const (
	nameko2 = "2.14.1"
	nameko3 = "3.0.0rc11"
)

// python returns the Python of a virtual environment with a version of Nameko.
func python(t *testing.T, version string) string {
	t.Helper()
	requirements := filepath.Join("..", "interop", "python", "requirements-"+version+".txt")
	return testserver.Python(t, "nameko-"+version, requirements)
}

// namekoCommand returns the command nameko of that Python. The script is given
// to it by name, because an environment may have been moved since its scripts
// were written, and each has the path of its Python in its first line.
func namekoCommand(python string) []string {
	return []string{python, filepath.Join(filepath.Dir(python), "nameko")}
}
