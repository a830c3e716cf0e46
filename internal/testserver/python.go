package testserver

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Python returns the Python of a virtual environment with what a requirements
// file lists. It is made at first use, from PyPI, and kept in the user's cache
// directory under the name and a hash of what it was made from. Without Python
// or PyPI the test is skipped.
func Python(t testing.TB, name, requirements string) string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		Skip(t, "python3 is not installed")
	}
	dir, err := pythonDir(python, name, requirements)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "bin", "python")
	if _, err := os.Stat(program); err == nil {
		return program
	}
	t.Logf("installing %s into %s", requirements, dir)
	if err := makePython(python, dir, requirements); err != nil {
		Skip(t, name+" can't be installed: "+err.Error())
	}
	return program
}

func pythonDir(python, name, requirements string) (string, error) {
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
	return filepath.Join(cache, "enoki", name+"-"+hex.EncodeToString(sum[:6])), nil
}

// makePython makes the environment beside its place and moves it there when it
// is complete: an interrupted one is never used, and two runs do no harm.
func makePython(python, dir, requirements string) error {
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
