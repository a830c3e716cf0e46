package testserver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Need is something that all tests of a package share. It is called before
// they run, and returns what ends it after them.
type Need func() (end func(), err error)

// Main is a TestMain: it runs the tests with their needs and exits.
func Main(m *testing.M, needs ...Need) {
	code, err := run(m, needs)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M, needs []Need) (code int, err error) {
	for _, need := range needs {
		end, err := need()
		if err != nil {
			return 0, err
		}
		defer end()
	}
	return m.Run(), nil
}

// Started is a server that start starts, such as StartNATS; it is left nil
// where its program is not installed.
func Started(server **Server, start func() (*Server, error)) Need {
	return func() (end func(), err error) {
		s, err := start()
		switch {
		case errors.Is(err, exec.ErrNotFound):
			return func() {}, nil
		case err != nil:
			return nil, err
		}
		*server = s
		return s.Stop, nil
	}
}

// Built is programs of this module, named by their directories in it, built
// into a directory whose path goes to dir.
func Built(dir *string, programs ...string) Need {
	return func() (end func(), err error) {
		if *dir, err = os.MkdirTemp("", "enoki-programs-"); err != nil {
			return nil, err
		}
		end = func() { _ = os.RemoveAll(*dir) } // a directory left in TMPDIR harms nobody
		args := []string{"build", "-o", *dir + string(filepath.Separator)}
		for _, program := range programs {
			args = append(args, module+"/"+program)
		}
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			end()
			return nil, fmt.Errorf("build %v: %w\n%s", programs, err, out)
		}
		return end, nil
	}
}
