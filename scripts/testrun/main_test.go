package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/enoki-go/enoki/scripts/gotest"
)

// flakySource fails when it runs for the first time in its directory.
const flakySource = `package p

import (
	"os"
	"testing"
)

func once(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(t.Name()); err != nil {
		if err := os.WriteFile(t.Name(), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		t.Fatal("this is the first time")
	}
	t.Log("this is the second time")
}
`

func TestFlakyTestIsListedAndGood(t *testing.T) {
	t.Parallel()
	good, out := outcome(t, runner{}, map[string]string{"p/once_test.go": flakySource, "p/a_test.go": `package p
import "testing"
func TestGood(t *testing.T) {}
func TestFlaky(t *testing.T) { once(t) }
`})
	if !good {
		t.Error("a run with one flaky test fails")
	}
	contains(t, out, "this is the first time", "this is the second time",
		"\nflaky, failed once and passed alone:\n  tiny/p TestFlaky\n", "\n1 passed, 0 failed, 0 skipped, 1 flaky\n")
}

func TestRepeatTakesTheWholeTest(t *testing.T) {
	t.Parallel()
	good, out := outcome(t, runner{}, map[string]string{"p/a_test.go": `package p
import ("os"; "testing")
func TestFlaky(t *testing.T) {
	t.Run("first", func(t *testing.T) { os.WriteFile("first", nil, 0o644) })
	t.Run("second", func(t *testing.T) {
		_, err := os.Stat("second")
		os.WriteFile("second", nil, 0o644)
		if err != nil { t.Fatal("not yet") }
		if _, err := os.Stat("first"); err != nil { t.Fatal("the first subtest did not run") }
		os.Remove("first")
	})
}
func TestFlakyNeighbour(t *testing.T) {
	os.Remove("first")
	if _, err := os.Stat("neighbour"); err == nil { t.Fatal("it ran twice") }
	os.WriteFile("neighbour", nil, 0o644)
}
`})
	if !good {
		t.Error("a run with one flaky test fails")
	}
	// The two subtests, as they ended alone, and the neighbour.
	contains(t, out, "\n3 passed, 0 failed, 0 skipped, 1 flaky\n")
}

func TestFailingTwiceFails(t *testing.T) {
	t.Parallel()
	good, out := outcome(t, runner{}, map[string]string{"p/a_test.go": `package p
import "testing"
func TestGood(t *testing.T) {}
func TestBad(t *testing.T) { t.Run("sub", func(t *testing.T) { t.Error("got 1") }) }
`})
	if good {
		t.Error("a run with a test that fails twice is good")
	}
	contains(t, out, "It failed again:\n", "\nfailed:\n  tiny/p TestBad/sub\n", "\n1 passed, 2 failed, 0 skipped\n")
}

// A test that is skipped the second time has not passed.
func TestSkippedTheSecondTime(t *testing.T) {
	t.Parallel()
	good, out := outcome(t, runner{}, map[string]string{"p/a_test.go": `package p
import ("os"; "testing")
func TestGood(t *testing.T) {}
func TestBad(t *testing.T) {
	if _, err := os.Stat("ran"); err == nil { t.Skip("not again") }
	os.WriteFile("ran", nil, 0o644)
	t.Fatal("the first time")
}
`})
	if good {
		t.Errorf("a test that failed and was skipped then is good:\n%s", out)
	}
}

func TestFourFlakyTestsFail(t *testing.T) {
	t.Parallel()
	good, out := outcome(t, runner{}, map[string]string{"p/once_test.go": flakySource, "p/a_test.go": `package p
import "testing"
func TestA(t *testing.T) { once(t) }
func TestB(t *testing.T) { once(t) }
func TestC(t *testing.T) { once(t) }
func TestD(t *testing.T) { once(t) }
`})
	if good {
		t.Error("a run with 4 flaky tests is good")
	}
	contains(t, out, "4 tests are flaky, and at most 3 may be", "tiny/p TestD\n", "\n0 passed, 0 failed, 0 skipped, 4 flaky\n")
}

func TestFlakyTestsOfSeveralRunsAreCountedTogether(t *testing.T) {
	t.Parallel()
	r := runner{tally: filepath.Join(t.TempDir(), "flaky")}
	two := `package p
import "testing"
func TestA(t *testing.T) { once(t) }
func TestB(t *testing.T) { once(t) }
`
	files := map[string]string{"p/once_test.go": flakySource, "p/a_test.go": two}
	if good, out := outcome(t, r, files); !good {
		t.Fatalf("2 flaky tests fail a run:\n%s", out)
	}
	good, out := outcome(t, r, files)
	if good {
		t.Error("4 flaky tests in 2 runs are good")
	}
	contains(t, out, "\nflaky in an earlier run:\n  tiny/p TestA\n", "4 tests are flaky, and at most 3 may be")
}

func TestRaceFailsAtOnce(t *testing.T) {
	t.Parallel()
	if !gotest.HasRaceDetector() {
		t.Skip("the race detector needs a C compiler")
	}
	good, out := outcome(t, runner{flags: []string{"-race"}}, map[string]string{"p/once_test.go": flakySource, "p/a_test.go": `package p
import ("os"; "testing")
func TestFlaky(t *testing.T) { once(t) }
func TestRaces(t *testing.T) {
	if _, err := os.Stat("raced"); err == nil { return }
	os.WriteFile("raced", nil, 0o644)
	n, done := 0, make(chan bool)
	go func() { n++; close(done) }()
	n++
	<-done
}
`})
	if good {
		t.Error("a run with a data race is good")
	}
	contains(t, out, "No failed test is repeated: a data race fails the run", "\na data race was reported in:\n  tiny/p TestRaces\n", "\n0 passed, 2 failed, 0 skipped\n")
}

func TestBrokenPackageFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ source, listed string }{
		"doesn't build": {`func TestBad(t *testing.T) { undefined() }`, "  tiny/p doesn't build\n"},
		"panics": {`func TestBad(t *testing.T) { once(t) }
func TestPanics(t *testing.T) { done := make(chan bool); close(done); close(done) }`, "  tiny/p ended before its tests were over\n"},
		"times out": {`func TestBad(t *testing.T) { select {} }`, "  tiny/p ended before its tests were over; unfinished: TestBad\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			good, out := outcome(t, runner{flags: []string{"-timeout", "5s"}}, map[string]string{
				"p/once_test.go": flakySource, "p/a_test.go": "package p\nimport \"testing\"\n" + c.source + "\n",
				"good/a_test.go": "package good\nimport \"testing\"\nfunc TestGood(t *testing.T) {}\n",
			})
			if good {
				t.Errorf("the run is good:\n%s", out)
			}
			contains(t, out, c.listed)
			if strings.Contains(out, "Once more, alone") {
				t.Error("a test is repeated where the run has failed whatever comes of it")
			}
		})
	}
}

func TestSkipsFailOnlyWhereNoneIsAllowed(t *testing.T) {
	t.Parallel()
	files := map[string]string{"p/a_test.go": `package p
import "testing"
func TestGood(t *testing.T) {}
func TestSkipped(t *testing.T) { t.Skip("no redis-server") }
`}
	good, out := outcome(t, runner{}, files)
	strict, _ := outcome(t, runner{noSkip: true}, files)
	if !good || strict {
		t.Errorf("a run with a skip is good: %v; where no skip is allowed: %v", good, strict)
	}
	contains(t, out, "\nskipped:\n  tiny/p TestSkipped: a_test.go:4: no redis-server\n", "\n1 passed, 0 failed, 1 skipped\n")
}

func TestNothingRunIsNoSuccess(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{"no tests": "package p\n", "no module": ""} {
		files := map[string]string{"p/a.go": file}
		if file == "" {
			files = map[string]string{"go.mod": "nonsense\n"}
		}
		if good, out := outcome(t, runner{}, files); good {
			t.Errorf("%s: the run is good:\n%s", name, out)
		}
	}
}

// A module below is tested in it, and counts with the others.
func TestModuleBelow(t *testing.T) {
	t.Parallel()
	good, out := outcome(t, runner{}, map[string]string{
		"a_test.go":            "package tiny\nimport \"testing\"\nfunc TestGood(t *testing.T) {}\n",
		"below/go.mod":         "module below\n\ngo 1.26\n",
		"below/p/once_test.go": flakySource,
		"below/p/a_test.go":    "package p\nimport \"testing\"\nfunc TestFlaky(t *testing.T) { once(t) }\n",
	}, "./...", "./below/...")
	if !good {
		t.Error("the run is not good")
	}
	contains(t, out, "  below/p TestFlaky\n", "\n1 passed, 0 failed, 0 skipped, 1 flaky\n")
}

// outcome tests a module of the files given, ./... when no pattern is given.
func outcome(t *testing.T, r runner, files map[string]string, patterns ...string) (good bool, output string) {
	t.Helper()
	dir := t.TempDir()
	if files["go.mod"] == "" {
		write(t, filepath.Join(dir, "go.mod"), "module tiny\n\ngo 1.26\n")
	}
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	if patterns == nil {
		patterns = []string{"./..."}
	}
	for i, pattern := range patterns {
		patterns[i] = "." + relative(t, dir) + strings.TrimPrefix(pattern, ".")
	}
	_, modules, err := gotest.Arguments(patterns)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	r.out = &out
	good, err = r.run(t.Context(), modules)
	if err != nil {
		t.Fatal(err)
	}
	return good, out.String()
}

// relative is the way to dir from here, behind the dot that begins a pattern.
func relative(t *testing.T, dir string) string {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	way, err := filepath.Rel(here, dir)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(filepath.ToSlash(way), ".")
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func contains(t *testing.T, output string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(output, part) {
			// Marked, so that a race in it isn't taken for one of these tests.
			t.Errorf("%q is not in the output:\n| %s", part, strings.ReplaceAll(output, "\n", "\n| "))
		}
	}
}
