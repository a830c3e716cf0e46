package host

import (
	"os"
	"strings"
	"testing"
)

// TestEverySettingIsInTheDocs holds docs/configuration.md to the code.
func TestEverySettingIsInTheDocs(t *testing.T) {
	text, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for _, s := range newLayers(nil).settings {
		words := []string{"`--" + s.name + "`", "`" + s.env() + "`"}
		if s.standard != "" && s.name != "store-dir" {
			words = append(words, "`"+s.standard+"`")
		}
		for _, word := range words {
			if !strings.Contains(page, word) {
				t.Errorf("no %s", word)
			}
		}
	}
	for _, key := range append(keysOf(namekoNames), append(keysOf(namekoIgnored), keysOf(namekoTLS)...)...) {
		if !strings.Contains(page, "`"+key+"`") {
			t.Errorf("no key `%s`", key)
		}
	}
}
