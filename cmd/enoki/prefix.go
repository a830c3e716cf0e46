package main

import (
	"bytes"
	"fmt"
	"io"
	"sync"
)

// colours are ANSI's, in an order in which neighbours differ; red is left for
// errors.
var colours = []int{36, 33, 32, 35, 34, 96, 93, 92, 95, 94}

// lineLock keeps the lines of several writers apart, also when these write to
// the same terminal by different files.
type lineLock struct{ sync.Mutex }

// prefixed returns a writer that puts the name of program i before each line.
func (c *cli) prefixed(w io.Writer, lines *lineLock, stream string, names []string, i int) *lineWriter {
	if c.json {
		return &lineWriter{lines: lines, write: func(line []byte) {
			_ = writeJSON(w, programLine{Program: names[i], Stream: stream, Line: string(line)})
		}}
	}
	width := 0
	for _, name := range names {
		width = max(width, len(name))
	}
	prefix := fmt.Sprintf("%-*s | ", width, names[i])
	if colourful(w) {
		prefix = fmt.Sprintf("\x1b[%dm%s\x1b[0m", colours[i%len(colours)], prefix)
	}
	return &lineWriter{lines: lines, write: func(line []byte) {
		fmt.Fprintf(w, "%s%s\n", prefix, line)
	}}
}

// programLine is a line of output as --json shows it.
type programLine struct {
	Program string `json:"program"`
	Stream  string `json:"stream"` // stdout or stderr
	Line    string `json:"line"`
}

// lineWriter passes on whole lines.
type lineWriter struct {
	lines *lineLock
	write func(line []byte) // without the line's end

	mu   sync.Mutex
	rest []byte // of a line that is not complete
}

// Write never fails: a program goes on when nobody reads what it says.
func (w *lineWriter) Write(text []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines.Lock()
	defer w.lines.Unlock()
	w.rest = append(w.rest, text...)
	for {
		line, after, found := bytes.Cut(w.rest, []byte("\n"))
		if !found {
			break
		}
		w.write(line)
		w.rest = after
	}
	if len(w.rest) > maxLine {
		w.write(w.rest)
		w.rest = nil
	}
	return len(text), nil
}

// maxLine bounds what is kept of a line that does not end, in bytes.
const maxLine = 64 << 10

// flush passes on a last line that was not ended.
func (w *lineWriter) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines.Lock()
	defer w.lines.Unlock()
	if len(w.rest) > 0 {
		w.write(w.rest)
		w.rest = nil
	}
}
