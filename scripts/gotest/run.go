package gotest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Flags are the flags of go test that every run of the suite has: the race
// detector, and two packages at a time, since they start servers of their own,
// and a machine with two cores has to keep their deadlines. Without a C compiler
// there is no race detector, which is an error in CI.
func Flags() ([]string, error) {
	flags := []string{"-p", "2", "-timeout", "20m"}
	switch {
	case HasRaceDetector():
		return append(flags, "-race"), nil
	case os.Getenv("CI") != "":
		return nil, errors.New("no C compiler: the race detector can't run")
	}
	fmt.Fprintln(os.Stderr, "no C compiler: testing without the race detector")
	return flags, nil
}

// HasRaceDetector says whether the race detector can run here.
func HasRaceDetector() bool {
	out, err := exec.Command("go", "env", "CGO_ENABLED", "CC").Output()
	if err != nil {
		return false
	}
	enabled, compiler, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	_, err = exec.LookPath(compiler)
	return enabled == "1" && err == nil
}

// Run runs go test in a directory and reads it into the log; what go writes
// beside that goes to stderr. An error means that go test failed and the log
// doesn't say of what. When ctx ends, so does go test, with its tests.
func Run(ctx context.Context, dir string, log *Log, stderr io.Writer, args ...string) error {
	known := len(log.Failures) + len(log.Broken)
	command := exec.CommandContext(ctx, "go", slices.Concat([]string{"test", "-json"}, args)...)
	if ctx.Done() != nil { // otherwise the terminal interrupts all of them
		interruptTogether(command)
	}
	command.Dir = dir
	command.Stderr = stderr
	output, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	readErr := log.Read(output)
	err = command.Wait()
	switch {
	case readErr != nil:
		return fmt.Errorf("read what go test says: %w", readErr)
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && len(log.Failures)+len(log.Broken) == known:
		return fmt.Errorf("go test in %s: %w", dir, err)
	}
	return nil
}

// Module is a module and the patterns of the packages to test in it.
type Module struct {
	Dir      string
	Patterns []string // relative to Dir
}

// Arguments tells flags from packages, and gathers these by module. Packages stand
// last, each as a path that starts with a dot; a value of a flag that starts so
// needs an equals sign before it.
func Arguments(args []string) (flags []string, modules []Module, err error) {
	first := len(args)
	for first > 0 && strings.HasPrefix(args[first-1], ".") {
		first--
	}
	flags = args[:first]
	if first == len(args) {
		return nil, nil, errors.New("no packages: name them last, by paths that start with a dot")
	}
	for _, pattern := range args[first:] {
		dir, relative, err := inModule(pattern)
		if err != nil {
			return nil, nil, err
		}
		i := slices.IndexFunc(modules, func(m Module) bool { return m.Dir == dir })
		if i < 0 {
			i = len(modules)
			modules = append(modules, Module{Dir: dir})
		}
		modules[i].Patterns = append(modules[i].Patterns, relative)
	}
	return flags, modules, nil
}

// inModule finds the module that the packages of a pattern belong to.
func inModule(pattern string) (dir, relative string, err error) {
	start, err := filepath.Abs(strings.TrimSuffix(pattern, "..."))
	if err != nil {
		return "", "", err
	}
	for dir = start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			return "", "", fmt.Errorf("%s is in no module: there is no go.mod at it or above it", pattern)
		}
	}
	relative, err = filepath.Rel(dir, start)
	if err != nil {
		return "", "", err
	}
	relative = "./" + filepath.ToSlash(relative)
	if strings.HasSuffix(pattern, "...") {
		relative = strings.TrimSuffix(relative, "/.") + "/..."
	}
	return dir, relative, nil
}
