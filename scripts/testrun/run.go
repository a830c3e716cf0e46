package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/enoki-go/enoki/scripts/gotest"
)

const (
	maxFlaky  = 3  // in a good run
	maxRepeat = 10 // of failed tests; with more of them something is broken, and the run fails whatever a repeat says
)

// runner runs tests and accounts for them.
type runner struct {
	out    io.Writer
	flags  []string // of go test
	noSkip bool     // a skipped test fails the run
	tally  string   // file with the flaky tests of earlier runs, or ""
}

// run tests the modules and says whether all is good.
func (r runner) run(ctx context.Context, modules []gotest.Module) (good bool, err error) {
	a := account{log: gotest.Log{Out: r.out}, dirs: map[string]string{}}
	for _, m := range modules {
		a.log.Package = func(name string, ended bool) { a.dirs[name] = m.Dir }
		if err := gotest.Run(ctx, m.Dir, &a.log, r.out, slices.Concat(r.flags, m.Patterns)...); err != nil {
			a.errors = append(a.errors, err.Error())
		}
	}
	if ctx.Err() != nil {
		return false, errors.New("interrupted")
	}
	a.sums = a.log.Sums
	a.skips = a.log.Skips
	r.settle(ctx, &a)
	if r.tally != "" {
		if a.earlier, err = addToTally(r.tally, a.flaky); err != nil {
			return false, err
		}
	}
	a.print(r.out)
	return a.good(r.noSkip), nil
}

// account is what a run comes to.
type account struct {
	log     gotest.Log        // of the first run
	dirs    map[string]string // the module's directory of each package
	sums    gotest.Sums
	skips   []string
	flaky   []string
	failed  []string
	errors  []string // of go test itself
	races   []string
	earlier []string // flaky tests of earlier runs
}

// settle decides about each failed test, by repeating it where that can help.
func (r runner) settle(ctx context.Context, a *account) {
	a.noteRaces(a.log.Races)
	failures := distinct(a.log.Failures)
	why := final(a, failures)
	if why != "" && len(failures) > 0 {
		fmt.Fprintf(r.out, "\nNo failed test is repeated: %s.\n", why)
	}
	for _, f := range failures {
		if why == "" && r.repeat(ctx, a, f) {
			continue
		}
		a.sums.Passed += f.Sums.Passed
		a.sums.Failed += f.Sums.Failed
		a.sums.Skipped += f.Sums.Skipped
		a.skips = append(a.skips, f.Skips...)
		for _, name := range f.Failed {
			a.failed = append(a.failed, f.Package+" "+name)
		}
	}
	for _, b := range a.log.Broken {
		a.failed = append(a.failed, b.String())
	}
}

// final says why the run has failed whatever a repeat would say, or nothing.
func final(a *account, failures []gotest.Failure) string {
	switch {
	case len(a.races) > 0:
		return "a data race fails the run"
	case len(a.errors) > 0:
		return "go test itself failed"
	case len(a.log.Broken) > 0:
		return "a package is broken, which fails the run"
	case len(failures) > maxRepeat:
		return fmt.Sprintf("%d failed, and at most %d are repeated", len(failures), maxRepeat)
	}
	return ""
}

// repeat runs a failed test once more, alone, and says whether it is flaky.
func (r runner) repeat(ctx context.Context, a *account, f gotest.Failure) bool {
	fmt.Fprintf(r.out, "\nOnce more, alone: %s\n", f.Test)
	var said strings.Builder
	again := gotest.Log{All: &said}
	alone := append(slices.Clone(r.flags), "-count", "1", "-run", "^"+regexp.QuoteMeta(f.Name)+"$", f.Package)
	err := gotest.Run(ctx, a.dirs[f.Package], &again, &said, alone...)
	a.noteRaces(again.Races)
	if err != nil {
		fmt.Fprintln(&said, err)
	}
	if err != nil || again.Ran[f.Test] != "pass" || len(again.Failures)+len(again.Broken)+len(again.Races) > 0 {
		fmt.Fprintf(r.out, "It failed again:\n%s", said.String())
		return false
	}
	fmt.Fprintf(r.out, "It passed, so it is flaky. The first time, beside others, it said:\n%sAlone it said:\n%s", f.Output, said.String())
	again.Sums.Passed-- // the test itself, which counts as flaky
	a.sums.Passed += again.Sums.Passed
	a.sums.Skipped += again.Sums.Skipped
	a.skips = append(a.skips, again.Skips...)
	a.flaky = append(a.flaky, f.String())
	return true
}

// distinct puts failures of the same test together: with -count it may have
// several.
func distinct(failures []gotest.Failure) []gotest.Failure {
	var all []gotest.Failure
	for _, f := range failures {
		i := slices.IndexFunc(all, func(g gotest.Failure) bool { return g.Test == f.Test })
		if i < 0 {
			all = append(all, f)
			continue
		}
		all[i].Output += f.Output
		for _, name := range f.Failed {
			if !slices.Contains(all[i].Failed, name) {
				all[i].Failed = append(all[i].Failed, name)
			}
		}
	}
	return all
}

func (a *account) noteRaces(races []gotest.Race) {
	for _, race := range races {
		a.races = append(a.races, race.String())
	}
}

func (a *account) good(noSkip bool) bool {
	return len(a.failed)+len(a.errors)+len(a.races) == 0 && len(a.flaky)+len(a.earlier) <= maxFlaky &&
		a.sums.Passed+len(a.flaky) > 0 && !(noSkip && a.sums.Skipped > 0)
}

// print writes the lists and, last and alone on its line, the sums, to be found
// by programs.
func (a *account) print(w io.Writer) {
	list(w, "skipped", a.skips)
	list(w, "failed", slices.Concat(a.failed, a.errors))
	list(w, "a data race was reported in", a.races)
	list(w, "flaky in an earlier run", a.earlier)
	list(w, "flaky, failed once and passed alone", a.flaky)
	if n := len(a.flaky) + len(a.earlier); n > maxFlaky {
		fmt.Fprintf(w, "\n%d tests are flaky, and at most %d may be\n", n, maxFlaky)
	}
	fmt.Fprintf(w, "\n%d passed, %d failed, %d skipped", a.sums.Passed, a.sums.Failed+len(a.log.Broken)+len(a.errors), a.sums.Skipped)
	if len(a.flaky) > 0 {
		fmt.Fprintf(w, ", %d flaky", len(a.flaky))
	}
	fmt.Fprintln(w)
}

func list(w io.Writer, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s:\n", title)
	for _, line := range lines {
		fmt.Fprintf(w, "  %s\n", line)
	}
}

// addToTally adds flaky tests to the file, and gives those that were in it.
func addToTally(name string, flaky []string) (earlier []string, err error) {
	before, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for line := range strings.Lines(string(before)) {
		earlier = append(earlier, strings.TrimSuffix(line, "\n"))
	}
	file, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	for _, test := range flaky {
		fmt.Fprintln(file, test)
	}
	return earlier, file.Close()
}
