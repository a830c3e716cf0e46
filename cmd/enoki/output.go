package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// say tells the user something that is not data.
func (c *cli) say(format string, a ...any) {
	fmt.Fprintf(c.stderr, format+"\n", a...)
}

// printResult writes a JSON value: over several lines when people read it, and
// otherwise on one.
func (c *cli) printResult(value json.RawMessage) error {
	text := oneLine(value)
	if isTerminal(c.stdout) && !c.json {
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, value, "", "  "); err == nil {
			text = pretty.String()
		}
	}
	_, err := fmt.Fprintln(c.stdout, text)
	return err
}

// writeJSON writes v as JSON on a line of its own, with <, > and & as they
// are: it goes to programs, not into HTML.
func writeJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// oneLine returns JSON without line breaks and other blanks.
func oneLine(value json.RawMessage) string {
	var compact bytes.Buffer
	if err := json.Compact(&compact, value); err != nil {
		return string(value)
	}
	return compact.String()
}

// isTerminal reports whether people read w, rather than a pipe or a file.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// colourful reports whether output to w may have colours; see no-color.org.
func colourful(w io.Writer) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
