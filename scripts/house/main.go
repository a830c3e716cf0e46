// Command house counts what the layout of this module is measured by, and
// prints it beside our goals and the codebases we learn from, as a table that
// Markdown reads too. What misses its goal is marked, and listed below.
//
//	house [directory of a module]
//
// It counts the library: all product files except those of bench, examples,
// scripts and test. Exported names are those of packages and the methods of
// exported types, not fields.
package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	dir := "."
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	if err := house(os.Stdout, dir); err != nil {
		fmt.Fprintln(os.Stderr, "house:", err)
		os.Exit(1)
	}
}

func house(w io.Writer, dir string) error {
	root, err := readRoot(dir)
	if err != nil {
		return err
	}
	refs, err := root.references()
	if err != nil {
		return err
	}
	library, err := readLibrary(dir)
	if err != nil {
		return err
	}
	writeTable(w, measures(root, refs, library))
	return nil
}
