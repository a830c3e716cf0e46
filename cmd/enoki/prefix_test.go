package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestPrefixedLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := &cli{}
	names, lines := []string{"api", "register"}, &lineLock{}
	api := c.prefixed(&out, lines, "stdout", names, 0)
	register := c.prefixed(&out, lines, "stdout", names, 1)
	fmt.Fprint(api, "one\ntw")
	fmt.Fprint(register, "first\n\n")
	fmt.Fprint(api, "o\nthree")
	api.flush()
	register.flush()
	want := "api      | one\nregister | first\nregister | \napi      | two\napi      | three\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
}

func TestPrefixedLineWithoutEnd(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := (&cli{}).prefixed(&out, &lineLock{}, "stdout", []string{"api"}, 0)
	fmt.Fprint(w, strings.Repeat("x", maxLine+1))
	if out.Len() == 0 {
		t.Error("a line that never ends is kept without limit")
	}
}

func TestPrefixedLinesAsJSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := (&cli{json: true}).prefixed(&out, &lineLock{}, "stderr", []string{"api"}, 0)
	fmt.Fprintln(w, `said "hi"`)
	if want := `{"program":"api","stream":"stderr","line":"said \"hi\""}` + "\n"; out.String() != want {
		t.Errorf("got %s, want %s", &out, want)
	}
}
