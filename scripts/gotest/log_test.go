package gotest

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// The files in testdata are what Go 1.26 says of small packages, times and
// paths taken out.

func TestFailedSubtest(t *testing.T) {
	l, out := read(t, "failed")
	if l.Sums != (Sums{Passed: 1, Skipped: 1}) {
		t.Errorf("the sums of what didn't fail are %+v", l.Sums)
	}
	if len(l.Failures) != 1 {
		t.Fatalf("got failures %+v", l.Failures)
	}
	f := l.Failures[0]
	if f.Test != (Test{"m/sub", "TestParent"}) || !slices.Equal(f.Failed, []string{"TestParent/bad"}) || f.Sums != (Sums{Passed: 1, Failed: 2}) {
		t.Errorf("the failure is %+v", f)
	}
	if !strings.Contains(f.Output, "a_test.go:3: got 1") || strings.Contains(f.Output, "fine") {
		t.Errorf("the failure's output is %q; want what failed, not what passed", f.Output)
	}
	if !slices.Equal(l.Skips, []string{"m/sub TestSkipped: a_test.go:5: no redis-server"}) {
		t.Errorf("the skips are %q", l.Skips)
	}
	if len(l.Broken) > 0 || len(l.Races) > 0 {
		t.Errorf("a failed test is taken for a broken package %v or a race %v", l.Broken, l.Races)
	}
	if !strings.Contains(out, "got 1") || !strings.Contains(out, "FAIL\tm/sub\t0.042s\n") {
		t.Errorf("it shows %q", out)
	}
}

func TestPackageThatFailsOutsideItsTests(t *testing.T) {
	for _, c := range []struct {
		recording  string
		why        string
		unfinished []string
		shows      string
		failed     int
	}{
		{recording: "build", why: "doesn't build", shows: "build/a_test.go:3:27: undefined: undefined"},
		{recording: "testmain", why: "failed outside its tests"},
		{recording: "exit", why: "ended before its tests were over", unfinished: []string{"TestExits"}, failed: 1},
		{recording: "killed", why: "ended before its tests were over", unfinished: []string{"TestKilled"}, shows: "signal: killed"},
		{recording: "timeout", why: "ended before its tests were over", unfinished: []string{"TestHangs"}, shows: "panic: test timed out after 1s"},
		{recording: "goroutine", why: "ended before its tests were over", unfinished: []string{"TestPanics"}, shows: "panic: boom", failed: 1},
		{recording: "panics", why: "ended before its tests were over", unfinished: []string{"TestWaits"}, shows: "panic: boom", failed: 1},
	} {
		t.Run(c.recording, func(t *testing.T) {
			l, out := read(t, c.recording)
			if len(l.Broken) != 1 || l.Broken[0].Why != c.why || !slices.Equal(l.Broken[0].Unfinished, c.unfinished) {
				t.Fatalf("broken is %+v; want one package that %s, with %q unfinished", l.Broken, c.why, c.unfinished)
			}
			if c.failed == 0 && !strings.Contains(l.Broken[0].Output, c.shows) {
				t.Errorf("%q is not in its output %q", c.shows, l.Broken[0].Output)
			}
			if len(l.Failures) != c.failed {
				t.Errorf("failures are %+v, want %d", l.Failures, c.failed)
			}
			if !strings.Contains(out, c.shows) {
				t.Errorf("%q is not in what it shows: %q", c.shows, out)
			}
		})
	}
}

// A panic in the last test leaves nothing unfinished.
func TestPanicOfTheOnlyTest(t *testing.T) {
	recording := strings.Join(slices.DeleteFunc(strings.SplitAfter(recorded(t, "panics"), "\n"), func(line string) bool {
		return strings.Contains(line, "TestWaits")
	}), "")
	l, _ := readText(t, recording)
	if len(l.Broken) != 1 || len(l.Broken[0].Unfinished) > 0 {
		t.Errorf("broken is %+v, want one package with nothing unfinished", l.Broken)
	}
}

// go prints the report within whichever test runs, and fails those beside it.
func TestRace(t *testing.T) {
	l, out := read(t, "race")
	if len(l.Races) != 2 || l.Races[0].String() != "m/race TestRaces" || l.Races[1].String() != "m/race TestBeside" {
		t.Errorf("races are %+v", l.Races)
	}
	if !strings.Contains(out, "Read at 0x0000007ef270 by goroutine 11") {
		t.Errorf("the report is not in %q", out)
	}
}

func TestRaceInATestThatPasses(t *testing.T) {
	l, out := readText(t, `{"Action":"output","Package":"m/b","Test":"TestGood","Output":"WARNING: DATA RACE\n"}
{"Action":"output","Package":"m/b","Test":"TestGood","Output":"Write at 0x00c0 by goroutine 7:\n"}
{"Action":"pass","Package":"m/b","Test":"TestGood"}
`)
	if len(l.Races) != 1 || !strings.Contains(out, "Write at 0x00c0 by goroutine 7") {
		t.Errorf("races are %+v, the output is %q", l.Races, out)
	}
}

func TestRaceInAPackageThatBreaks(t *testing.T) {
	l, _ := readText(t, strings.Replace(recorded(t, "killed"), "signal: killed", "WARNING: DATA RACE", 1))
	if len(l.Broken) != 1 || len(l.Races) != 1 || l.Races[0].String() != "m/killed TestKilled" {
		t.Errorf("broken is %+v, races are %+v", l.Broken, l.Races)
	}
}

// What a test says of races is no race.
func TestWordsAboutRaces(t *testing.T) {
	l, _ := readText(t, `{"Action":"output","Package":"m/b","Test":"TestGood","Output":"    b_test.go:7: saw WARNING: DATA RACE in it\n"}
{"Action":"pass","Package":"m/b","Test":"TestGood"}
`)
	if len(l.Races) > 0 {
		t.Errorf("races are %+v", l.Races)
	}
}

func TestEndsOfTests(t *testing.T) {
	l, _ := read(t, "failed")
	want := map[Test]string{{"m/sub", "TestParent"}: "fail", {"m/sub", "TestGood"}: "pass", {"m/sub", "TestSkipped"}: "skip"}
	if !reflect.DeepEqual(l.Ran, want) {
		t.Errorf("got %v, want %v", l.Ran, want)
	}
}

func TestGoItselfSpeaks(t *testing.T) {
	l, out := readText(t, "go: cannot find main module\n")
	if out != "go: cannot find main module\n" || len(l.Ran) > 0 {
		t.Errorf("it shows %q and ran %v", out, l.Ran)
	}
}

func TestVeryLongLine(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	l, out := readText(t, `{"Action":"output","Package":"m/b","Test":"TestBad","Output":"`+long+`\n"}
{"Action":"fail","Package":"m/b","Test":"TestBad"}
`)
	if len(l.Failures) != 1 || !strings.Contains(out, long) {
		t.Errorf("got %d failures, and %d bytes shown", len(l.Failures), len(out))
	}
}

func read(t *testing.T, recording string) (*Log, string) {
	t.Helper()
	return readText(t, recorded(t, recording))
}

func recorded(t *testing.T, name string) string {
	t.Helper()
	recording, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(recording)
}

func readText(t *testing.T, text string) (*Log, string) {
	t.Helper()
	var out strings.Builder
	l := &Log{Out: &out}
	if err := l.Read(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	return l, out.String()
}
