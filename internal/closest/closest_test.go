package closest

import "testing"

func TestTo(t *testing.T) {
	names := []string{"register.register", "register.check_registered", "push.push", "max_workers"}
	for word, want := range map[string]string{
		"registr.check_registered": "register.check_registered",
		"push.psuh":                "push.push",
		"register.registre":        "register.register",
		"max-worker":               "max_workers",
		"cart.add":                 "",
		"x":                        "",
		"":                         "",
	} {
		if got := To(word, names); got != want {
			t.Errorf("closest to %q is %q, want %q", word, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "abc", 3}, {"kitten", "sitting", 3}, {"same", "same", 0}, {"ab", "ba", 1}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) is %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
