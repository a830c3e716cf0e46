package telemetry

import (
	"fmt"
	"log/slog"
	"strings"
)

const mask = "xxxxx" // like net/url

// RedactURL returns text with the password of every URL masked, as in
// amqp://user:xxxxx@host. It takes any text, such as a list of URLs or a URL
// that can't be parsed. In doubt it masks too much. The user name in a NATS URL
// without a password is a token, so it is masked too.
func RedactURL(text string) string {
	if !strings.Contains(text, "://") { // nearly every text of a log
		return text
	}
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "://")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		out.WriteString("://")
		end := urlEnd(rest)
		out.WriteString(redactAuthority(rest[:end], isTokenScheme(before)))
		text = rest[end:]
	}
}

// urlEnd returns where the URL that starts before s ends: at white space, at a
// quote, or where the next URL of a list begins.
func urlEnd(s string) int {
	end := len(s)
	if i := strings.IndexAny(s, " \t\r\n\"'`<>"); i >= 0 {
		end = i
	}
	if next := strings.Index(s[:end], "://"); next >= 0 {
		if comma := strings.LastIndexAny(s[:next], ",;"); comma >= 0 {
			end = comma
		}
	}
	return end
}

func isTokenScheme(before string) bool {
	for _, scheme := range []string{"nats", "tls"} {
		if strings.HasSuffix(strings.ToLower(before), scheme) {
			return true
		}
	}
	return false
}

// redactAuthority masks the password in the text after "://".
func redactAuthority(s string, userIsSecret bool) string {
	authority := s
	if i := strings.IndexAny(s, "/?#"); i >= 0 {
		authority = s[:i]
	}
	user, password, hasColon := strings.Cut(authority, ":")
	at := strings.LastIndexByte(authority, '@')
	if at < 0 && hasColon && !isPort(password) {
		at = strings.LastIndexByte(s, '@') // the password has an unescaped '/', '?' or '#'
	}
	switch {
	case at < 0:
		return s
	case hasColon && len(user) < at:
		return user + ":" + mask + s[at:]
	case userIsSecret:
		return mask + s[at:]
	}
	return s
}

func isPort(s string) bool {
	return strings.Trim(s, "0123456789") == ""
}

// secretKeys are the log keys whose values are never printed.
var secretKeys = []string{"password", "passwd", "secret", "token", "authorization", "api_key"}

// maskAttr is a ReplaceAttr function.
func maskAttr(_ []string, a slog.Attr) slog.Attr {
	for _, key := range secretKeys {
		if strings.EqualFold(a.Key, key) {
			return slog.String(a.Key, mask)
		}
	}
	text, ok := textOf(a.Value.Resolve())
	if !ok {
		return a
	}
	if masked := cut(a.Key, RedactURL(text)); masked != text {
		return slog.String(a.Key, masked)
	}
	return a
}

// Personal is text about a person, such as an email address. A log line says
// that there was a value, but not which.
type Personal string

// LogValue implements slog.LogValuer.
func (Personal) LogValue() slog.Value { return slog.StringValue("[personal]") }

// maxValue bounds a value of a log line, in bytes. A value from outside may be
// long.
const maxValue = 1024

// cut shortens a value and says how long it was. Stacks and messages are the
// program's own, so they stay whole.
func cut(key, text string) string {
	if len(text) <= maxValue || key == "stack" || key == slog.MessageKey {
		return text
	}
	return fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(text[:maxValue], ""), len(text))
}

// textOf returns the text of a value that may hold a URL.
func textOf(v slog.Value) (text string, ok bool) {
	if v.Kind() == slog.KindString {
		return v.String(), true
	}
	if v.Kind() != slog.KindAny {
		return "", false
	}
	defer func() {
		if recover() != nil { // an error or a Stringer had a nil pointer
			text, ok = "<nil>", true
		}
	}()
	switch v := v.Any().(type) {
	case error:
		return v.Error(), true
	case fmt.Stringer:
		return v.String(), true
	case []string:
		return strings.Join(v, ","), true
	}
	return "", false
}
