package push

import (
	"fmt"

	"golang.org/x/text/language"
)

// phrase is how one language says that there is a new comment.
type phrase struct {
	language language.Tag
	format   string // of the comment
}

// texts finds the phrase for a user.
type texts struct {
	phrases []phrase
	matcher language.Matcher
}

// newTexts returns the phrases there are. The first one is for everybody who
// speaks none of the others.
func newTexts() *texts {
	t := &texts{phrases: []phrase{
		{language.English, "New comment on your article: “%s”"},
		{language.BritishEnglish, "New comment on your article: ‘%s’"},
		{language.German, "Neuer Kommentar zu Ihrem Artikel: „%s“"},
		{language.French, "Nouveau commentaire sur votre article : « %s »"},
		{language.CanadianFrench, "Nouveau commentaire sur votre article: « %s »"},
		{language.MustParse("zh-CN"), "您的文章有新评论：“%s”"},
		{language.MustParse("zh-TW"), "您的文章有新留言：「%s」"},
		{language.Japanese, "あなたの記事に新しいコメントがあります：「%s」"},
		{language.BrazilianPortuguese, "Novo comentário no seu artigo: “%s”"},
		{language.Arabic, "تعليق جديد على مقالك: «%s»"},
	}}
	tags := make([]language.Tag, len(t.phrases))
	for i, p := range t.phrases {
		tags[i] = p.language
	}
	t.matcher = language.NewMatcher(tags)
	return t
}

// find returns the text for a user and its language: the nearest phrase to
// the user's language as it is spoken in the user's country; else the nearest
// to what is spoken there; else the first one. What can't be read as a
// language or as a country counts as not given.
func (t *texts) find(lang, country, content string) (text, tag string) {
	region, err := language.ParseRegion(country)
	hasCountry := err == nil
	var wanted []language.Tag
	if spoken, err := language.Parse(lang); err == nil && spoken != language.Und {
		if _, certain := spoken.Region(); hasCountry && certain != language.Exact {
			spoken = in(region, spoken)
		}
		wanted = append(wanted, spoken)
	}
	if hasCountry {
		wanted = append(wanted, in(region, language.Und))
	}
	_, best, _ := t.matcher.Match(wanted...)
	found := t.phrases[best]
	return fmt.Sprintf(found.format, content), found.language.String()
}

// in returns a language as it is spoken in a region.
func in(region language.Region, tag language.Tag) language.Tag {
	local, err := language.Compose(tag, region)
	if err != nil {
		return tag
	}
	return local
}
