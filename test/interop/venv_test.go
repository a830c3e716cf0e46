package interop_test

import (
	"path/filepath"
	"testing"

	"github.com/enoki-go/enoki/internal/testserver"
)

// namekos are the versions of Nameko that the run is made with. Each has a
// file of pinned requirements in python/.
var namekos = []string{"2.14.1", "3.0.0rc11"}

// virtualEnv returns the Python of a virtual environment with a version of
// Nameko.
func virtualEnv(t *testing.T, version string) string {
	t.Helper()
	return testserver.Python(t, "nameko-"+version, filepath.Join("python", "requirements-"+version+".txt"))
}
