// Package gotest runs go test as this repository does, reads its output and
// keeps what a person wants of it: sums, the whole output of what failed, the
// reason of each skip. What follows from it is left to the commands that use it.
package gotest

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Test is a test function of a package, its subtests included.
type Test struct {
	Package, Name string
}

func (t Test) String() string { return strings.TrimSpace(t.Package + " " + t.Name) }

// Sums count tests and subtests.
type Sums struct {
	Passed, Failed, Skipped int
}

func (s *Sums) add(o Sums) {
	s.Passed += o.Passed
	s.Failed += o.Failed
	s.Skipped += o.Skipped
}

// Failure is a test that ended as failed.
type Failure struct {
	Test
	Sums   Sums     // of the test and its subtests
	Failed []string // what failed in it, the deepest subtests by their full names
	Output string   // of what failed
	Skips  []string
}

// Broken is a package that failed, and not by a test alone: it doesn't build, or
// a panic, a timeout or a signal ended it before its tests were over.
type Broken struct {
	Package    string
	Why        string
	Unfinished []string // tests that were running when it ended
	Output     string
}

func (b Broken) String() string {
	text := b.Package + " " + b.Why
	if len(b.Unfinished) > 0 {
		text += "; unfinished: " + strings.Join(b.Unfinished, ", ")
	}
	return text
}

// Race is a report of the race detector. Its test is the one that ran when the
// report came, which need not be the one that raced; subtests are named in full.
type Race struct {
	Test   // without a name when no test ran
	Output string
}

// Log is what a run of `go test -json` said. Set the fields of the first group
// before Read, read those of the second after it.
type Log struct {
	Out     io.Writer                     // shows, while the run lasts, each package's verdict and what fails; may be nil
	All     io.Writer                     // gets all that the tests and go itself say, as it comes; may be nil
	Package func(name string, ended bool) // is called when a package starts and when it ends; may be nil

	Sums     Sums            // of tests that passed or were skipped whole
	Ran      map[Test]string // each test that ended, with "pass", "fail" or "skip"
	Failures []Failure
	Broken   []Broken
	Races    []Race
	Skips    []string // test and reason

	running map[Test]*record
	pkgs    map[string]*strings.Builder
	builds  map[string]*strings.Builder // what the compiler says, by the names go gives to builds
	ended   map[string]bool             // packages that ran their tests to the end
}

// record is what is known of a test function that runs.
type record struct {
	output map[string]*strings.Builder // of the tests in it that run, by full name
	order  []string
	Failure
}

// event is a line of `go test -json`; see `go doc test2json`.
type event struct {
	Action      string
	ImportPath  string // of a build, instead of Package
	Package     string
	Test        string
	Output      string
	FailedBuild string // why a package failed, by the ImportPath of the build
}

// Read reads events until r ends. Reading once more adds to what is there.
func (l *Log) Read(r io.Reader) error {
	if l.Out == nil {
		l.Out = io.Discard
	}
	if l.All == nil {
		l.All = io.Discard
	}
	if l.Ran == nil {
		l.Ran, l.running = map[Test]string{}, map[Test]*record{}
		l.builds = map[string]*strings.Builder{}
		l.pkgs, l.ended = map[string]*strings.Builder{}, map[string]bool{}
	}
	lines := bufio.NewReader(r) // a test may print one very long line
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			l.line(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (l *Log) line(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil {
		l.Out.Write(line) // go itself speaks, for example of a broken go.mod
		l.All.Write(line)
		return
	}
	fmt.Fprint(l.All, e.Output)
	switch {
	case e.Action == "build-output":
		l.buildSays(e)
	case e.Package == "":
	case e.Test == "":
		l.ofPackage(e)
	default:
		l.ofTest(e)
	}
}

func (l *Log) buildSays(e event) {
	fmt.Fprint(l.Out, e.Output)
	if l.builds[e.ImportPath] == nil {
		l.builds[e.ImportPath] = &strings.Builder{}
	}
	l.builds[e.ImportPath].WriteString(e.Output)
}

func (l *Log) ofPackage(e event) {
	switch e.Action {
	case "start":
		l.pkgs[e.Package] = &strings.Builder{}
		l.tell(e.Package, false)
	case "output":
		l.packageSays(e)
	case "pass", "fail", "skip":
		if e.Action == "fail" {
			l.packageFailed(e)
		}
		delete(l.pkgs, e.Package)
		l.tell(e.Package, true)
	}
}

func (l *Log) tell(name string, ended bool) {
	if l.Package != nil {
		l.Package(name, ended)
	}
}

func (l *Log) packageSays(e event) {
	if e.Output == "FAIL\n" || e.Output == "PASS\n" {
		l.ended[e.Package] = true // package testing writes it after the last test, and not when something ends the process before
	}
	if strings.HasPrefix(e.Output, "ok  \t") || strings.HasPrefix(e.Output, "FAIL\t") {
		fmt.Fprint(l.Out, e.Output) // the verdict, as go prints it
		return
	}
	if said := l.pkgs[e.Package]; said != nil {
		said.WriteString(e.Output)
	}
}

func (l *Log) packageFailed(e event) {
	said := ""
	if l.pkgs[e.Package] != nil {
		said = l.pkgs[e.Package].String()
	}
	fmt.Fprint(l.Out, said)
	l.noteRace(Test{Package: e.Package}, said)
	unfinished := l.unfinished(e.Package)
	broken := Broken{Package: e.Package, Output: said}
	switch {
	case e.FailedBuild != "":
		broken.Why = "doesn't build"
		if build := l.builds[e.FailedBuild]; build != nil {
			broken.Output = build.String() + said
		}
	case !l.ended[e.Package] || len(unfinished) > 0:
		broken.Why = "ended before its tests were over"
	case !slices.ContainsFunc(l.Failures, func(f Failure) bool { return f.Package == e.Package }):
		broken.Why = "failed outside its tests"
	default:
		return // its failed tests are the reason
	}
	for _, r := range unfinished {
		l.giveUp(&broken, r)
	}
	l.Broken = append(l.Broken, broken)
}

// giveUp counts a test that hasn't ended, and its subtests, as unfinished.
func (l *Log) giveUp(broken *Broken, r *record) {
	delete(l.running, r.Test)
	for _, test := range r.order {
		output := r.output[test].String()
		broken.Unfinished = append(broken.Unfinished, test)
		broken.Output += output
		l.noteRace(Test{r.Package, test}, output)
		fmt.Fprintf(l.Out, "--- unfinished: %s %s\n%s", r.Package, test, output)
	}
}

// unfinished are the tests of a package that started and never ended.
func (l *Log) unfinished(pkg string) []*record {
	var records []*record
	for t, r := range l.running {
		if t.Package == pkg {
			records = append(records, r)
		}
	}
	slices.SortFunc(records, func(a, b *record) int { return cmp.Compare(a.Name, b.Name) })
	return records
}

func (l *Log) ofTest(e event) {
	name, _, isSub := strings.Cut(e.Test, "/")
	top := Test{e.Package, name}
	r := l.running[top]
	if r == nil {
		r = &record{output: map[string]*strings.Builder{}, Failure: Failure{Test: top}}
		l.running[top] = r
	}
	if r.output[e.Test] == nil {
		r.output[e.Test] = &strings.Builder{}
		r.order = append(r.order, e.Test)
	}
	switch e.Action {
	case "output":
		r.output[e.Test].WriteString(e.Output)
	case "pass", "fail", "skip":
		l.end(r, e)
		if !isSub {
			l.endTop(r, e.Action)
		}
	}
}

// end closes the account of one test or subtest.
func (l *Log) end(r *record, e event) {
	output := r.output[e.Test].String()
	delete(r.output, e.Test)
	raced := l.noteRace(Test{e.Package, e.Test}, output)
	r.order = slices.DeleteFunc(r.order, func(name string) bool { return name == e.Test })
	switch e.Action {
	case "pass":
		r.Sums.Passed++
		// go gives a report to whichever test was printing at that moment, and
		// fails others.
		if raced {
			fmt.Fprintf(l.Out, "--- a data race, reported while %s %s ran, which passed:\n%s", e.Package, e.Test, output)
		}
	case "fail":
		r.Sums.Failed++
		r.Output += output
		inner := func(name string) bool { return strings.HasPrefix(name, e.Test+"/") }
		if !slices.ContainsFunc(r.Failed, inner) {
			r.Failed = append(r.Failed, e.Test)
		}
		fmt.Fprintf(l.Out, "--- %s\n%s", e.Package, output)
	case "skip":
		r.Sums.Skipped++
		r.Skips = append(r.Skips, fmt.Sprintf("%s %s: %s", e.Package, e.Test, reason(output)))
	}
}

func (l *Log) endTop(r *record, outcome string) {
	delete(l.running, r.Test)
	l.Ran[r.Test] = outcome
	if r.Sums.Failed > 0 {
		l.Failures = append(l.Failures, r.Failure)
		return
	}
	l.Sums.add(r.Sums)
	l.Skips = append(l.Skips, r.Skips...)
}

func (l *Log) noteRace(where Test, output string) bool {
	if !reportsRace(output) {
		return false
	}
	l.Races = append(l.Races, Race{where, output})
	return true
}

// reportsRace says whether a text has a line of the race detector's, or of
// package testing where the report itself went elsewhere.
func reportsRace(text string) bool {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "WARNING: DATA RACE") || strings.HasSuffix(line, "race detected during execution of test") ||
			line == "testing: race detected outside of test execution" {
			return true
		}
	}
	return false
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
