package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tiny is a module with something to count in each measure.
var tiny = map[string]string{
	"go.mod": "module example.org/tiny\n\ngo 1.26\n",
	"a.go": `// Package tiny is counted.
package tiny

import "example.org/tiny/room"

// A is exported, and so is its method.
type A struct{ Field int }

// M goes down to b.
func (A) M() int {
	return b() + room.N // a comment after code is none of its own
}

func (A) unexported() {}
`,
	"b.go": `package tiny

func b() int { return c.n }

func up() {
	// This runs back up.
	A{}.unexported()
}
`,
	"c.go": `package tiny

/*
A block
of comments.
*/
var c struct{ n int }

var Undocumented = 1

type hidden struct{}

func (hidden) Reachable() {}
`,
	"a_test.go":         "package tiny\n\nfunc ExportedInATest() {}\n",
	"room/room.go":      "// Package room is below.\npackage room\n\n// N is a number.\nconst N = 1\n",
	"room/other.go":     "//go:build windows\n\npackage room\n",
	"test/e2e/e2e.go":   "package e2e\n\nfunc Outside() {}\n",
	"below/go.mod":      "module example.org/below\n\ngo 1.26\n",
	"below/below.go":    "package below\n\nfunc Outside() {}\n",
	"testdata/input.go": "this is no Go",
}

func TestLines(t *testing.T) {
	t.Parallel()
	l := tinyLibrary(t)
	got := map[string][3]int{}
	for _, f := range l.files {
		got[f.String()] = [3]int{f.lines, f.codeLines, f.commentLines}
	}
	want := map[string][3]int{
		"a.go": {14, 7, 3}, "b.go": {8, 5, 1}, "c.go": {13, 5, 4}, "room/room.go": {5, 2, 2}, "room/other.go": {3, 1, 1},
	}
	for name, counts := range want {
		if got[name] != counts {
			t.Errorf("%s has lines, code, comments %v, want %v", name, got[name], counts)
		}
	}
	if len(got) != len(want) {
		t.Errorf("it counts %v, and neither tests nor what is outside should be there", got)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	exported, undocumented := 0, []string{}
	for _, f := range tinyLibrary(t).files {
		exported += f.exported
		undocumented = append(undocumented, f.undocumented...)
	}
	if exported != 4 || !slices.Equal(undocumented, []string{"c.go: Undocumented"}) { // A, A.M, Undocumented, room.N
		t.Errorf("%d names are exported, and %q not documented", exported, undocumented)
	}
}

func TestLevels(t *testing.T) {
	t.Parallel()
	root, err := readRoot(module(t))
	if err != nil {
		t.Fatal(err)
	}
	refs, err := root.references()
	if err != nil {
		t.Fatal(err)
	}
	found := refs.levels()
	if found.count != 3 || len(found.backUp) != 1 || found.backUp[0].String() != "b.go uses A, unexported of a.go" {
		t.Errorf("got %d levels, and back up %v", found.count, found.backUp)
	}
	own, others := root.pulls()
	if !slices.Equal(own, []string{"example.org/tiny/room"}) || len(others) > 0 {
		t.Errorf("it pulls %q and %q", own, others)
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := house(&out, module(t)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| levels of files within the root, arrows back up            | 3, 1 ", "| no arrow back up | misses |",
		"\ndocumented: 75 %, our goal is 100 %\n  c.go: Undocumented\n",
		"\nlevels of files within the root, arrows back up: 3, 1, our goal is no arrow back up\n  b.go uses A, unexported of a.go\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "\nbiggest file:") {
		t.Error("a measure that meets its goal is listed as one that misses")
	}
}

func TestThousands(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{7: "7", 999: "999", 1000: "1,000", 47265: "47,265", 1002003: "1,002,003"} {
		if got := thousands(n); got != want {
			t.Errorf("%d is written %q, want %q", n, got, want)
		}
	}
}

func tinyLibrary(t *testing.T) *library {
	t.Helper()
	l, err := readLibrary(module(t))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// module writes the tiny module.
func module(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range tiny {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
