package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/enoki-go/enoki/scripts/gotest"
)

// source has a test that passes, and others that fail now and then: they count
// their runs in files.
const source = `package p

import (
	"os"
	"testing"
)

func times(t *testing.T, name string) int {
	before, _ := os.ReadFile(name)
	if err := os.WriteFile(name, append(before, '.'), 0o644); err != nil {
		t.Fatal(err)
	}
	return len(before) + 1
}

func TestGood(t *testing.T) {}

func TestSometimes(t *testing.T) {
	n := times(t, "sometimes")
	t.Run("sub", func(t *testing.T) {
		if n >= 2 {
			t.Errorf("it is the run number %d", n)
		}
	})
}

func TestZPanics(t *testing.T) {
	if times(t, "panics") == 4 {
		panic("the fourth run")
	}
}
`

func TestRounds(t *testing.T) {
	t.Parallel()
	r, out := tiny(t, source)
	r.run(t.Context(), 4)
	r.report()
	for _, want := range []string{
		"round 1 of 4: 0 failed", "  failed: tiny TestSometimes/sub (1 of 2 so far)\n", "round 4 of 4: 3 failed",
		"it is the run number 2", "panic: the fourth run",
		"\nfailed in 4 rounds:\n  3 of 4: tiny TestSometimes/sub\n  1 of 4: tiny TestZPanics\n  1 of 4: tiny ended before its tests were over\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in the output:\n| %s", want, strings.ReplaceAll(out.String(), "\n", "\n| "))
		}
	}
	if strings.Contains(out.String(), "it is the run number 3") {
		t.Error("it shows more than what was said the first time")
	}
}

func TestPackageThatDoesNotBuild(t *testing.T) {
	t.Parallel()
	r, out := tiny(t, "package p\nimport \"testing\"\nfunc TestX(t *testing.T) { undefined() }\n")
	r.run(t.Context(), 1)
	r.report()
	if !strings.Contains(out.String(), "undefined: undefined") || !strings.Contains(out.String(), "  1 of 1: tiny doesn't build\n") {
		t.Errorf("the output is %q", out)
	}
}

func TestNothingFails(t *testing.T) {
	t.Parallel()
	r, out := tiny(t, "package p\nimport \"testing\"\nfunc TestX(t *testing.T) {}\n")
	r.run(t.Context(), 2)
	r.report()
	if len(r.found) > 0 || !strings.HasSuffix(out.String(), "\nNothing failed in 2 rounds.\n") {
		t.Errorf("found %v, the output is %q", r.found, out)
	}
}

// What ends by an interrupt has not failed.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	r, out := tiny(t, `package p
import ("os"; "testing")
func TestHangs(t *testing.T) { os.WriteFile("hangs", nil, 0o644); select {} }
`)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.run(ctx, 3)
	}()
	for {
		if _, err := os.Stat(filepath.Join(r.modules[0].Dir, "hangs")); err == nil {
			break
		}
		select {
		case <-ended:
			t.Fatalf("the round ended by itself: %s", out)
		default:
		}
	}
	cancel()
	<-ended
	r.report()
	if len(r.found) > 0 || r.begun != 1 || !strings.Contains(out.String(), "round 1 of 3: interrupted after") {
		t.Errorf("found %v in %d rounds, the output is %q", r.found, r.begun, out)
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-n", "0", "."}, {"-load", "100000", "."}, {"-load", "-1", "."}, {"-n", "2"}} {
		if _, err := run(t.Context(), args); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}

func tiny(t *testing.T, source string) (*rounds, *strings.Builder) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module tiny\n\ngo 1.26\n", "p_test.go": source} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out := &strings.Builder{}
	return &rounds{out: out, flags: []string{"-count", "1"}, modules: []gotest.Module{{Dir: dir, Patterns: []string{"./..."}}}}, out
}
