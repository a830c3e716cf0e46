// Command testrun runs `go test` with the flags and packages given, shows a
// line for each package as it ends and the whole output of what fails, and ends
// with one line of sums. Packages are given last, each as a path that starts
// with a dot; those of a module below this one are tested in it.
//
// A test that failed is repeated once, as its whole top-level test and with
// nothing beside it. If it passes then, it is flaky: both outputs are shown, and
// a run with at most 3 flaky tests is good. A run fails when a test failed
// twice, when the race detector reported anything, when a package failed outside
// its tests (it doesn't build, or a panic, a timeout or a signal ended it), when
// nothing ran, and, with ENOKI_NO_SKIP=1, when anything was skipped.
//
// ENOKI_FLAKY_TALLY names a file that several runs share: the 3 flaky tests are
// those of all of them together.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	r := runner{out: os.Stdout, noSkip: os.Getenv("ENOKI_NO_SKIP") == "1", tally: os.Getenv("ENOKI_FLAKY_TALLY")}
	flags, modules, err := arguments(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "testrun:", err)
		os.Exit(2)
	}
	r.flags = flags
	good, err := r.run(modules)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testrun:", err)
	}
	if err != nil || !good {
		os.Exit(1)
	}
}

// tested is a module and the patterns of the packages to test in it.
type tested struct {
	dir      string
	patterns []string // relative to dir
}

// arguments tells flags from packages, and gathers these by module.
func arguments(args []string) (flags []string, modules []tested, err error) {
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
		i := slices.IndexFunc(modules, func(m tested) bool { return m.dir == dir })
		if i < 0 {
			i = len(modules)
			modules = append(modules, tested{dir: dir})
		}
		modules[i].patterns = append(modules[i].patterns, relative)
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
