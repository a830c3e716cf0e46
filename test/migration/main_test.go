// Package migration_test moves services of real Python Nameko to Go: it rolls
// one service back and forth under load, and does all that docs/migrate.md
// says.
package migration_test

import (
	"path/filepath"
	"testing"

	"github.com/enoki-go/enoki/internal/testserver"
)

// programs is the directory of the built programs, enoki and shop; set by
// TestMain.
var programs string

func TestMain(m *testing.M) {
	testserver.Main(m, testserver.Built(&programs, "cmd/enoki", "test/migration/shop"))
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
