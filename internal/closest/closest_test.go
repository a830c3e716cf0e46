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

func TestSlip(t *testing.T) {
	names := []string{"workers", "log-level", "AMQP_URI", "http"}
	for word, want := range map[string]string{
		"wrokers": "workers", "LOG_LEVEL": "log-level", "loglevel": "log-level", "AMQP_URL": "AMQP_URI", "HTTPS": "http",
		"MYSQL_URI": "", "DB_URIS": "", "port": "", "w": "", "": "",
	} {
		if got := Slip(word, names); got != want {
			t.Errorf("%q is a slip of %q, want %q", word, got, want)
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
