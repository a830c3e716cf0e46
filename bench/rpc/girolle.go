package rpc

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/enoki-go/enoki/bench/harness"
)

// girolle is a case with girolle, Nameko's form in Rust, on both sides. Cargo
// builds it at first use, which takes minutes, into the user's cache directory.
func girolle() harness.Case {
	role := func(role string) func(*harness.Work) (*exec.Cmd, error) {
		return func(w *harness.Work) (*exec.Cmd, error) {
			program, err := buildGirolle(filepath.Join(w.Root, "rpc", "girolle"))
			return exec.Command(program, role, w.Broker+"%2f", w.Name(), strconv.Itoa(w.Size)), err
		}
	}
	return harness.Case{Name: "girolle", About: "girolle 2.0.0 (Rust) on both sides: nothing confirmed, one thread calls", Broker: harness.RabbitMQ,
		Program: role("service"), Client: role("client"), Slow: true}
}

func buildGirolle(source string) (string, error) {
	cargo, err := exec.LookPath("cargo")
	if err != nil {
		return "", errors.New("cargo, which would build it, is not installed")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	target := filepath.Join(cache, "enoki", "girolle")
	cmd := exec.Command(cargo, "build", "--release", "--locked", "--quiet", "--target-dir", target)
	cmd.Dir = source
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cargo build: %w\n%s", err, out)
	}
	return filepath.Join(target, "release", "bench-girolle"), nil
}
