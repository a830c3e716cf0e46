package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

// Format is the look of log lines.
type Format string

const (
	Auto   Format = "auto"   // Pretty on a terminal, JSON otherwise
	Pretty Format = "pretty" // for people, see PrettyHandler
	JSON   Format = "json"   // one JSON object a line
)

// ParseFormat returns the format of that name; "" is Auto.
func ParseFormat(s string) (Format, error) {
	switch f := Format(strings.ToLower(s)); f {
	case "":
		return Auto, nil
	case Auto, Pretty, JSON:
		return f, nil
	}
	return "", fmt.Errorf("no log format %q: have auto, pretty, json", s)
}

// ParseLevel returns the level of that name in any case: debug, info, warn,
// error, or one of them with an offset such as "info+2". "" is info.
func ParseLevel(s string) (slog.Level, error) {
	if s == "" {
		return slog.LevelInfo, nil
	}
	var l slog.Level
	if err := l.UnmarshalText([]byte(s)); err != nil {
		return 0, fmt.Errorf("no log level %q: have debug, info, warn, error", s)
	}
	return l, nil
}

// NewLogger returns a logger that writes to w, one Write for each line, from
// level up. Any format that is not Pretty or JSON is Auto. Colours are used on
// a terminal only, and never when NO_COLOR is set or TERM is "dumb".
//
// Both formats mask secrets: the password of a URL anywhere in a value or a
// message, and every value under a key such as "password" or "token". Values are
// cut after 1 kB, but for stacks.
func NewLogger(w io.Writer, level slog.Leveler, format Format) *slog.Logger {
	terminal := isTerminal(w)
	if format == Pretty || format != JSON && terminal {
		return slog.New(NewPrettyHandler(w, level, terminal && colourWanted(os.Getenv)))
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: jsonAttr}))
}

// jsonAttr masks secrets and gives a duration its unit: package slog would
// write a bare number of nanoseconds. A level becomes text here, as slog would
// have encoding/json write it, in each line.
func jsonAttr(groups []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindDuration:
		return slog.String(a.Key, shortDuration(a.Value.Duration()))
	case slog.KindAny:
		if level, ok := a.Value.Any().(slog.Level); ok {
			a.Value = slog.StringValue(level.String())
		}
	}
	return maskAttr(groups, a)
}

// isTerminal takes any character device for a terminal. That is wrong for
// /dev/null, where nobody sees the difference.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// colourWanted follows no-color.org.
func colourWanted(getenv func(string) string) bool {
	return getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
}
