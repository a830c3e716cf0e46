package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Our goals.
const (
	maxOwn, maxOthers  = 6, 1
	maxExported        = 85
	maxFileLines       = 600
	maxMedian, maxTail = 9, 26
	minComments        = 15.0 // percent
	maxFiles           = 20   // in a folder
)

// anchors are the codebases that Enoki learns from, counted in the same way on
// 25 November 2026.
var anchors = []string{"chi", "coder/websocket", "connect-go", "go-cloud pubsub", "river"}

// measure is a row of the table.
type measure struct {
	name    string
	value   string
	goal    string
	misses  bool
	others  [5]string // the anchors' values
	details []string  // what makes it miss
}

func measures(root *rootPackage, refs *references, l *library) []measure {
	return []measure{
		closure(root), exportedNames(l), documented(l), biggestFile(l), functionLines(l), comments(l), folders(l), fileLevels(refs), size(l),
	}
}

func closure(root *rootPackage) measure {
	own, others := root.pulls()
	return measure{
		name:    "importing the root pulls: own packages / modules of others",
		value:   fmt.Sprintf("%d / %d", len(own), len(others)),
		goal:    fmt.Sprintf("≤ %d / ≤ %d", maxOwn, maxOthers),
		misses:  len(own) > maxOwn || len(others) > maxOthers,
		others:  [5]string{"0 / 0", "4 / 0", "1 / 5", "7 / 11", "37 / 3"},
		details: slices.Concat(own, others),
	}
}

func exportedNames(l *library) measure {
	m := measure{
		name:   "exported names of the root",
		goal:   fmt.Sprintf("≤ %d", maxExported),
		others: [5]string{"55", "84", "203", "34", "> 200"},
	}
	n := 0
	for _, f := range l.files {
		if f.folder == "." && f.exported > 0 {
			n += f.exported
			m.details = append(m.details, fmt.Sprintf("%s: %d", f.name, f.exported))
		}
	}
	m.value, m.misses = fmt.Sprint(n), n > maxExported
	return m
}

func documented(l *library) measure {
	m := measure{name: "documented", goal: "100 %", others: [5]string{"98 %", "97 %", "96 %", "97 %", "46 %"}}
	all := 0
	for _, f := range l.files {
		all += f.exported
		m.details = append(m.details, f.undocumented...)
	}
	m.value = percent(all-len(m.details), all)
	m.misses = len(m.details) > 0
	return m
}

func biggestFile(l *library) measure {
	biggest := slices.MaxFunc(l.files, func(a, b file) int { return cmp.Compare(a.lines, b.lines) })
	m := measure{
		name:   "biggest file",
		value:  fmt.Sprint(biggest.lines),
		goal:   fmt.Sprintf("≤ %d", maxFileLines),
		misses: biggest.lines > maxFileLines,
		others: [5]string{"925", "598", "1,459", "1,134", "3,025"},
	}
	for _, f := range l.files {
		if f.lines > maxFileLines {
			m.details = append(m.details, fmt.Sprintf("%s: %d", f, f.lines))
		}
	}
	return m
}

func functionLines(l *library) measure {
	functions := slices.Clone(l.functions)
	slices.SortFunc(functions, func(a, b function) int { return cmp.Compare(a.lines, b.lines) })
	n := len(functions)
	median, tail := functions[n/2].lines, functions[n*9/10].lines
	m := measure{
		name:   "functions: median / p90 / max lines",
		value:  fmt.Sprintf("%d / %d / %d", median, tail, functions[n-1].lines),
		goal:   fmt.Sprintf("≤ %d / ≤ %d", maxMedian, maxTail),
		misses: median > maxMedian || tail > maxTail,
		others: [5]string{"8 / 30 / 148", "9 / 36 / 110", "6 / 26 / 159", "8 / 33", "9 / 44"},
	}
	slices.Reverse(functions)
	for _, f := range functions[:min(5, n)] {
		m.details = append(m.details, fmt.Sprintf("%s in %s: %d", f.name, f.in, f.lines))
	}
	return m
}

// comments are counted as a share of the lines that aren't empty.
func comments(l *library) measure {
	code, comments := 0, 0
	for _, f := range l.files {
		code, comments = code+f.codeLines, comments+f.commentLines
	}
	share := 100 * float64(comments) / float64(code+comments)
	return measure{
		name:   "comment lines of all",
		value:  percent(comments, code+comments),
		goal:   fmt.Sprintf("≥ %.0f %%", minComments),
		misses: share < minComments,
		others: [5]string{"25 %", "16 %", "26 %", "", ""},
	}
}

func folders(l *library) measure {
	count := map[string]int{}
	for _, f := range l.files {
		count[f.folder]++
	}
	names := slices.SortedFunc(maps.Keys(count), func(a, b string) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a, b))
	})
	m := measure{
		name:   "product files in the fullest folder",
		value:  fmt.Sprintf("%d (%s)", count[names[0]], names[0]),
		goal:   fmt.Sprintf("≤ %d", maxFiles),
		misses: count[names[0]] > maxFiles,
		others: [5]string{"5", "18", "23", "", ""},
	}
	for _, name := range names {
		if count[name] > maxFiles {
			m.details = append(m.details, fmt.Sprintf("%s: %d", name, count[name]))
		}
	}
	return m
}

func fileLevels(refs *references) measure {
	found := refs.levels()
	m := measure{
		name:   "levels of files within the root, arrows back up",
		value:  fmt.Sprintf("%d, %d", found.count, len(found.backUp)),
		goal:   "no arrow back up",
		misses: len(found.backUp) > 0,
	}
	for _, a := range found.backUp {
		m.details = append(m.details, a.String())
	}
	return m
}

func size(l *library) measure {
	lines, code := 0, 0
	for _, f := range l.files {
		lines, code = lines+f.lines, code+f.codeLines
	}
	return measure{
		name:  "the library: files / lines / lines with code",
		value: fmt.Sprintf("%d / %s / %s", len(l.files), thousands(lines), thousands(code)),
	}
}

func percent(part, all int) string {
	text := fmt.Sprintf("%.1f", 100*float64(part)/float64(max(all, 1)))
	return strings.TrimSuffix(text, ".0") + " %"
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
