package push

import (
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	all := newTexts()
	for _, c := range []struct{ language, country, want string }{
		{"en", "US", "en"},
		{"en", "GB", "en-GB"},
		{"en", "AU", "en-GB"},
		{"en-GB", "US", "en-GB"},
		{"EN_gb", "", "en-GB"},
		{"de", "DE", "de"},
		{"de", "AT", "de"},
		{"fr", "FR", "fr"},
		{"fr", "CA", "fr-CA"},
		{"fr-CH", "", "fr"},
		{"zh", "CN", "zh-CN"},
		{"zh", "", "zh-CN"},
		{"zh", "TW", "zh-TW"},
		{"zh", "HK", "zh-TW"},
		{"zh-Hant", "US", "zh-TW"},
		{"zh-TW", "CN", "zh-TW"},
		{"ja", "US", "ja"},
		{"pt", "BR", "pt-BR"},
		{"pt", "PT", "pt-BR"},
		{"ar", "EG", "ar"},

		{"", "DE", "de"},          // what is spoken there
		{"", "TW", "zh-TW"},       //
		{"Deutsch", "DE", "de"},   // not a tag
		{"tlh", "JP", "ja"},       // no phrase
		{"de", "Germany", "de"},   // not a code
		{"es", "ES", "en"},        // neither
		{"", "", "en"},            //
		{"%s", "%s", "en"},        //
		{"x-private", "XX", "en"}, //
	} {
		text, tag := all.find(c.language, c.country, "50% off %d")
		if tag != c.want {
			t.Errorf("language %q in %q: %s, want %s", c.language, c.country, tag, c.want)
		}
		if strings.Count(text, "50% off %d") != 1 || strings.Contains(text, "%!") {
			t.Errorf("language %q in %q: %s", c.language, c.country, text)
		}
	}
}
