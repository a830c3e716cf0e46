package main

import (
	"strings"
	"testing"
)

const events = `{"Action":"start","Package":"m/a"}
{"Action":"run","Package":"m/a","Test":"TestGood"}
{"Action":"output","Package":"m/a","Test":"TestGood","Output":"=== RUN   TestGood\n"}
{"Action":"pass","Package":"m/a","Test":"TestGood"}
{"Action":"output","Package":"m/a","Test":"TestSkipped","Output":"=== RUN   TestSkipped\n"}
{"Action":"output","Package":"m/a","Test":"TestSkipped","Output":"    a_test.go:7: no redis-server\n"}
{"Action":"output","Package":"m/a","Test":"TestSkipped","Output":"--- SKIP: TestSkipped (0.00s)\n"}
{"Action":"skip","Package":"m/a","Test":"TestSkipped"}
{"Action":"output","Package":"m/a","Output":"ok  \tm/a\t0.012s\n"}
{"Action":"pass","Package":"m/a"}
`

func TestPassingRun(t *testing.T) {
	s, out := run(t, events)
	if s != (sums{passed: 1, skipped: 1}) {
		t.Errorf("sums are %+v", s)
	}
	want := "ok  \tm/a\t0.012s\n\nskipped:\n  m/a TestSkipped: a_test.go:7: no redis-server\n\n1 passed, 0 failed, 1 skipped\n"
	if out != want {
		t.Errorf("got  %q\nwant %q", out, want)
	}
	if !s.good(false) || s.good(true) {
		t.Error("a skip is good, except when none is allowed")
	}
}

func TestFailureShowsItsOutput(t *testing.T) {
	s, out := run(t, events+`{"Action":"output","Package":"m/b","Test":"TestBad","Output":"    b_test.go:9: got 1\n"}
{"Action":"fail","Package":"m/b","Test":"TestBad"}
{"Action":"output","Package":"m/b","Output":"FAIL\tm/b\t0.1s\n"}
{"Action":"fail","Package":"m/b"}
`)
	if s.failed != 1 || s.brokenPackages != 0 || s.good(false) {
		t.Errorf("sums are %+v", s)
	}
	if !strings.Contains(out, "b_test.go:9: got 1") || !strings.HasSuffix(out, "\n1 passed, 1 failed, 1 skipped\n") {
		t.Errorf("output is %q", out)
	}
}

func TestPackageThatBreaksOutsideItsTests(t *testing.T) {
	s, out := run(t, events+`{"ImportPath":"m/c","Action":"build-output","Output":"c.go:1: syntax error\n"}
{"Action":"output","Package":"m/d","Test":"TestHangs","Output":"panic: test timed out\n"}
{"Action":"output","Package":"m/d","Output":"FAIL\tm/d\t15m\n"}
{"Action":"fail","Package":"m/d"}
`)
	if s.brokenPackages != 1 || s.good(false) {
		t.Errorf("sums are %+v", s)
	}
	for _, want := range []string{"c.go:1: syntax error", "panic: test timed out", "1 passed, 1 failed, 1 skipped"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in %q", want, out)
		}
	}
}

// The report is where go put it: with a test that passed.
func TestRaceIsShown(t *testing.T) {
	_, out := run(t, `{"Action":"output","Package":"m/b","Test":"TestGood","Output":"WARNING: DATA RACE\n"}
{"Action":"output","Package":"m/b","Test":"TestGood","Output":"Write at 0x00c0 by goroutine 7:\n"}
{"Action":"pass","Package":"m/b","Test":"TestGood"}
{"Action":"fail","Package":"m/b","Test":"TestOther"}
`)
	if !strings.Contains(out, "Write at 0x00c0 by goroutine 7") {
		t.Errorf("the report is not in %q", out)
	}
}

func TestNothingRunIsNoSuccess(t *testing.T) {
	s, _ := run(t, "go: cannot find main module\n")
	if s.good(false) {
		t.Error("a run without tests is taken for a good one")
	}
}

func run(t *testing.T, input string) (sums, string) {
	t.Helper()
	var out strings.Builder
	s, err := summarize(strings.NewReader(input), &out)
	if err != nil {
		t.Fatal(err)
	}
	return s, out.String()
}
