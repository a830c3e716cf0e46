package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/enoki-go/enoki"
)

// TestDocs runs the console examples of docs/cli.md and holds the page to
// what they print.
func TestDocs(t *testing.T) {
	url := startEmbedded(t)
	serve(t, url)
	t.Setenv(brokerVariable, url)
	must(t, "services", "register", "push", "comments", "--wait", "30s")
	runExamples(t, "cli.md", 8)
}

// TestDeadDocs does the same with docs/dead-letters.md.
func TestDeadDocs(t *testing.T) {
	url := startEmbedded(t)
	s := &stockroom{handled: make(chan order, 100)}
	serveThese(t, url, enoki.NewService("stock", enoki.On(enoki.NewEvent[order]("shop", "placed"), s.onPlaced)))
	t.Setenv(brokerVariable, url)
	for n := range 3 {
		must(t, "emit", "shop.placed", "item=ink", fmt.Sprintf("count:=%d", n))
		deadGroups(t, url, n+1)
	}
	must(t, "emit", "shop.placed", "item=bomb", "count:=1")
	deadGroups(t, url, 4)
	s.open(true)
	runExamples(t, "dead-letters.md", 5)
}

// runExamples runs the console examples of a page, of which there must be some.
func runExamples(t *testing.T, page string, some int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	examples := readExamples(string(text))
	if len(examples) < some {
		t.Fatalf("only %d examples were found in docs/%s", len(examples), page)
	}
	var background *session
	for _, e := range examples {
		if command, found := strings.CutSuffix(e.command, " &"); found {
			background = start(t, nil, shellWords(t, command)[1:]...)
			background.stderr.await(t, e.output, 1)
			continue
		}
		stdout, stderr, _ := run(t, "", shellWords(t, e.command)[1:]...)
		got := stdout + stderr
		if background != nil {
			background.wait(t)
			got += background.stdout.String()
			background = nil
		}
		if !e.matches(got) {
			t.Errorf("docs/%s: $ %s\nshows:\n%s\nbut it prints:\n%s", page, e.command, e.output, got)
		}
	}
}

// docExample is a command and what the page says it prints.
type docExample struct{ command, output string }

// matches compares line by line. "…" stands for any text, and any number of
// blanks for each other: the width of columns depends on what is in them.
func (e docExample) matches(got string) bool {
	want, lines := splitLines(e.output), splitLines(got)
	return slices.EqualFunc(want, lines, func(want, line string) bool {
		parts := strings.Split(strings.Join(strings.Fields(want), " "), "…")
		for i, part := range parts {
			parts[i] = regexp.QuoteMeta(part)
		}
		return regexp.MustCompile("^" + strings.Join(parts, ".*") + "$").MatchString(strings.Join(strings.Fields(line), " "))
	})
}

func splitLines(text string) []string { return strings.Split(strings.TrimSpace(text), "\n") }

func readExamples(page string) []docExample {
	var examples []docExample
	inside := false
	for line := range strings.Lines(page) {
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case strings.HasPrefix(line, "```"):
			inside = strings.TrimSpace(line) == "```console"
		case inside && isCommand:
			examples = append(examples, docExample{command: strings.TrimSpace(command)})
		case inside:
			examples[len(examples)-1].output += line
		}
	}
	return examples
}

// shellWords splits a command as a shell does, with quotes but without
// anything that is expanded.
func shellWords(t *testing.T, command string) []string {
	t.Helper()
	var words []string
	var word strings.Builder
	var quote rune
	for _, r := range command + " " {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote = r
		case r == ' ':
			words = append(words, word.String())
			word.Reset()
		default:
			word.WriteRune(r)
		}
	}
	if quote != 0 {
		t.Fatalf("quotes in %s are not closed", command)
	}
	return words
}
