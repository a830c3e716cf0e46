package interop_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/enoki-go/enoki/internal/testserver"
)

// namekos are the versions of Nameko that the run is made with. Each has a
// file of pinned requirements in python/.
var namekos = []string{"2.14.1", "3.0.0rc11"}

// virtualEnv returns the Python of a virtual environment with a version of
// Nameko. It is made at first use and kept in the user's cache directory under
// a hash of what it was made from.
func virtualEnv(t *testing.T, version string) string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		testserver.Skip(t, "python3 is not installed")
	}
	requirements := filepath.Join("python", "requirements-"+version+".txt")
	dir, err := envDir(python, version, requirements)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "bin", "python")
	if _, err := os.Stat(program); err == nil {
		return program
	}
	t.Logf("installing Nameko %s into %s", version, dir)
	if err := makeEnv(python, dir, requirements); err != nil {
		testserver.Skip(t, "Nameko "+version+" can't be installed: "+err.Error())
	}
	return program
}

func envDir(python, version, requirements string) (string, error) {
	pins, err := os.ReadFile(requirements)
	if err != nil {
		return "", err
	}
	about, err := exec.Command(python, "-VV").Output()
	if err != nil {
		return "", fmt.Errorf("%s -VV: %w", python, err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append(pins, about...))
	return filepath.Join(cache, "enoki", "nameko-"+version+"-"+hex.EncodeToString(sum[:6])), nil
}

// makeEnv makes the environment beside its place and moves it there when it is
// complete: an interrupted one is never used, and two runs do no harm.
func makeEnv(python, dir, requirements string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	building, err := os.MkdirTemp(filepath.Dir(dir), "building-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(building) // gone when it was moved
	if out, err := exec.Command(python, "-m", "venv", building).CombinedOutput(); err != nil {
		return fmt.Errorf("python3 -m venv: %w (on Debian: apt-get install python3-venv)\n%s", err, out)
	}
	pip := exec.Command(filepath.Join(building, "bin", "python"), "-m", "pip", "install",
		"--quiet", "--no-input", "--disable-pip-version-check", "--requirement", requirements)
	if out, err := pip.CombinedOutput(); err != nil {
		return fmt.Errorf("pip install: %w\n%s", err, out)
	}
	if err := os.Rename(building, dir); err != nil {
		if _, there := os.Stat(dir); there == nil {
			return nil // another run was faster
		}
		return err
	}
	return nil
}
