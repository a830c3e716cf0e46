package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// levels puts the files of a package on levels: a file stands above those it
// uses. Where files use each other in a circle, no such order exists; then the
// walk, which takes files by name, counts an arrow back up for each use that
// closes a circle, and goes on without it.
type levels struct {
	count  int
	backUp []arrow
}

type arrow struct {
	from, to string
	names    []string
}

func (a arrow) String() string {
	return fmt.Sprintf("%s uses %s of %s", a.from, strings.Join(slices.Sorted(slices.Values(a.names)), ", "), a.to)
}

func (r *references) levels() levels {
	w := walk{refs: r, level: map[string]int{}, open: map[string]bool{}}
	for _, name := range r.files {
		w.count = max(w.count, w.visit(name)+1)
	}
	return w.levels
}

type walk struct {
	levels
	refs  *references
	level map[string]int // of files that are done
	open  map[string]bool
}

func (w *walk) visit(name string) int {
	if level, done := w.level[name]; done {
		return level
	}
	w.open[name] = true
	level := 0
	for _, used := range slices.Sorted(maps.Keys(w.refs.to[name])) {
		if w.open[used] {
			w.backUp = append(w.backUp, arrow{name, used, w.refs.to[name][used]})
			continue
		}
		level = max(level, w.visit(used)+1)
	}
	w.open[name] = false
	w.level[name] = level
	return level
}
