package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// writeTable writes a table that Markdown reads and people too, and below it
// what makes a measure miss its goal.
func writeTable(w io.Writer, measures []measure) {
	rows := [][]string{slices.Concat([]string{"", "Enoki", "our goal", ""}, anchors)}
	for _, m := range measures {
		mark := ""
		if m.misses {
			mark = "misses"
		}
		rows = append(rows, slices.Concat([]string{m.name, m.value, m.goal, mark}, m.others[:]))
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for i, row := range rows {
		writeRow(w, row, widths)
		if i == 0 {
			line := make([]string, len(row))
			for i := range line {
				line[i] = strings.Repeat("-", max(widths[i], 3))
			}
			writeRow(w, line, widths)
		}
	}
	for _, m := range measures {
		if !m.misses || len(m.details) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s: %s, our goal is %s\n", m.name, m.value, m.goal)
		for _, detail := range m.details {
			fmt.Fprintf(w, "  %s\n", detail)
		}
	}
}

func writeRow(w io.Writer, cells []string, widths []int) {
	for i, cell := range cells {
		fmt.Fprintf(w, "| %s%s ", cell, strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(cell))))
	}
	fmt.Fprintln(w, "|")
}
