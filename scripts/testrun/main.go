// Command testrun runs `go test` with the flags and packages given, shows a
// line for each package as it ends and the whole output of what fails, and ends
// with one line of sums. Packages are given last, each as a path that starts
// with a dot; those of a module below this one are tested in it.
//
// A test that failed is repeated once, as its whole top-level test and with
// nothing beside it. If it passes then, it is flaky: both outputs are shown, and
// a run with at most 3 flaky tests is good. A run fails when a test failed
// twice, when the race detector reported anything, when a package is broken (it
// doesn't build, or a panic, a timeout or a signal ended it), when nothing ran,
// and, with ENOKI_NO_SKIP=1, when anything was skipped.
//
// ENOKI_FLAKY_TALLY names a file that several runs share: the 3 flaky tests are
// those of all of them together.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/enoki-go/enoki/scripts/gotest"
)

func main() {
	good, err := run(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, "testrun:", err)
	}
	if err != nil || !good {
		os.Exit(1)
	}
}

func run(ctx context.Context) (good bool, err error) {
	flags, modules, err := gotest.Arguments(os.Args[1:])
	if err != nil {
		return false, err
	}
	ours, err := gotest.Flags()
	if err != nil {
		return false, err
	}
	r := runner{
		out:    os.Stdout,
		flags:  append(ours, flags...),
		noSkip: os.Getenv("ENOKI_NO_SKIP") == "1",
		tally:  os.Getenv("ENOKI_FLAKY_TALLY"),
	}
	return r.run(ctx, modules)
}
