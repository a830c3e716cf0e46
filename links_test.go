package enoki_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var markdownLink = regexp.MustCompile(`\]\(([^)\s"]+)\)`)

// TestLinks finds links of the documents to files that have moved.
func TestLinks(t *testing.T) {
	t.Parallel()
	documents := []string{"README.md", "CONTRIBUTING.md", "DESIGN.md", "CHANGELOG.md"}
	pages, err := filepath.Glob("docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages in docs: %v", err)
	}
	for _, document := range append(documents, pages...) {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range markdownLink.FindAllStringSubmatch(string(text), -1) {
			target, _, _ := strings.Cut(link[1], "#")
			if target == "" || strings.Contains(target, ":") {
				continue // within the page, or on the web
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(document), target)); err != nil {
				t.Errorf("%s links to %s, which isn't there", document, target)
			}
		}
	}
}
