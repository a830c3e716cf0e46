package authentication

import (
	"os"
	"strings"
	"testing"
)

// TestPageShowsThisCode holds docs/authentication.md to what is tested here.
func TestPageShowsThisCode(t *testing.T) {
	page, err := os.ReadFile("../../docs/authentication.md")
	if err != nil {
		t.Fatal(err)
	}
	code := ""
	for _, name := range []string{"site.go", "site_test.go"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		code += string(text)
	}
	shown := 0
	for _, part := range strings.Split(string(page), "```go tested\n")[1:] {
		block, _, _ := strings.Cut(part, "```")
		if !strings.Contains(code, block) {
			t.Errorf("this is not what is tested:\n%s", block)
		}
		shown++
	}
	if shown < 3 {
		t.Errorf("the page shows %d pieces of code", shown)
	}
}
