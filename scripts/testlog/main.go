// Command testlog reads the output of `go test -json` and shows what a person
// wants of it: a line for each package as it ends, the whole output of what
// failed, the reason of each skip, and last one line of sums. It ends with
// status 1 when anything failed, when nothing ran, and, with ENOKI_NO_SKIP=1,
// when anything was skipped.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	s, err := summarize(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testlog:", err)
		os.Exit(1)
	}
	if !s.good(os.Getenv("ENOKI_NO_SKIP") == "1") {
		os.Exit(1)
	}
}

// event is a line of `go test -json`; see `go doc test2json`.
type event struct {
	Action     string
	Package    string
	ImportPath string // of a build event, instead of Package
	Test       string
	Output     string
}

type sums struct {
	passed, failed, skipped int
	brokenPackages          int // failed without a failing test: build errors, panics, timeouts
}

func (s sums) good(noSkip bool) bool {
	return s.failed == 0 && s.brokenPackages == 0 && s.passed > 0 && !(noSkip && s.skipped > 0)
}

// summarize reads events until r ends and writes the account of them to w.
func summarize(r io.Reader, w io.Writer) (sums, error) {
	l := &testLog{w: w, output: map[string]*strings.Builder{}, failedIn: map[string]bool{}}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20) // a test may print one very long line
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(w, lines.Text()) // go itself speaks, for example of a broken go.mod
			continue
		}
		l.add(e)
	}
	if l.sums.skipped > 0 {
		fmt.Fprintf(w, "\nskipped:\n%s", l.skips.String())
	}
	if l.sums.brokenPackages > 0 {
		fmt.Fprintf(w, "\n%d packages failed outside their tests\n", l.sums.brokenPackages)
	}
	// The sums stand alone on their line, to be found by programs.
	fmt.Fprintf(w, "\n%d passed, %d failed, %d skipped\n", l.sums.passed, l.sums.failed+l.sums.brokenPackages, l.sums.skipped)
	return l.sums, lines.Err()
}

// testLog holds the output of what still runs.
type testLog struct {
	w        io.Writer
	output   map[string]*strings.Builder // by package and test
	failedIn map[string]bool             // packages with a failed test
	skips    strings.Builder
	sums     sums
}

func (l *testLog) add(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		fmt.Fprint(l.w, e.Output)
	case "output":
		l.keep(key, e)
	case "pass", "fail", "skip":
		if e.Test == "" {
			l.endPackage(e)
		} else {
			l.endTest(e, l.output[key])
		}
		delete(l.output, key)
	}
}

// keep stores a line until its test or package has ended. The verdict on a
// package is shown as go prints it.
func (l *testLog) keep(key string, e event) {
	verdict := strings.HasPrefix(e.Output, "ok  \t") || strings.HasPrefix(e.Output, "FAIL\t")
	if e.Test == "" && verdict {
		fmt.Fprint(l.w, e.Output)
		return
	}
	if l.output[key] == nil {
		l.output[key] = &strings.Builder{}
	}
	l.output[key].WriteString(e.Output)
}

func (l *testLog) endTest(e event, output *strings.Builder) {
	switch e.Action {
	case "pass":
		l.sums.passed++
		// go gives a report to whichever test was printing at that moment, and
		// fails others.
		if report := text(output); strings.Contains(report, "WARNING: DATA RACE") {
			fmt.Fprintf(l.w, "--- a data race, reported while %s %s ran, which passed:\n%s", e.Package, e.Test, report)
		}
	case "fail":
		l.sums.failed++
		l.failedIn[e.Package] = true
		fmt.Fprintf(l.w, "--- %s\n%s", e.Package, text(output))
	case "skip":
		l.sums.skipped++
		fmt.Fprintf(&l.skips, "  %s %s: %s\n", e.Package, e.Test, reason(text(output)))
	}
}

func (l *testLog) endPackage(e event) {
	if e.Action != "fail" {
		return
	}
	if output := l.output[e.Package+" "]; output != nil {
		fmt.Fprint(l.w, output.String())
	}
	if !l.failedIn[e.Package] {
		l.sums.brokenPackages++
		l.showUnfinished(e.Package)
	}
}

// showUnfinished writes the output of tests that never ended: a panic or a
// timeout is in there.
func (l *testLog) showUnfinished(pkg string) {
	for key, output := range l.output {
		if strings.HasPrefix(key, pkg+" ") && key != pkg+" " {
			fmt.Fprintf(l.w, "--- unfinished: %s\n%s", key, output.String())
		}
	}
}

// reason finds what a skipped test said, between go's own lines.
func reason(output string) string {
	var said []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			said = append(said, line)
		}
	}
	return strings.Join(said, " ")
}

func text(b *strings.Builder) string {
	if b == nil {
		return ""
	}
	return b.String()
}
