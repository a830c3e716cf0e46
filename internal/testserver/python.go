package testserver

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Python is InstallPython for a test, which is skipped without Python or PyPI.
func Python(t testing.TB, name, requirements string) string {
	t.Helper()
	program, err := InstallPython(name, requirements)
	if errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err != nil {
		Skip(t, err.Error())
	}
	return program
}

// InstallPython returns the Python of a virtual environment with what a
// requirements file lists. It is made at first use, from PyPI, and kept in the
// user's cache directory under the name and a hash of what it was made from.
func InstallPython(name, requirements string) (string, error) {
	python, err := exec.LookPath("python3")
	if err != nil {
		return "", err
	}
	dir, err := pythonDir(python, name, requirements)
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "bin", "python")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	if err := makePython(python, dir, requirements); err != nil {
		return "", fmt.Errorf("%s can't be installed: %w", name, err)
	}
	return program, nil
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
