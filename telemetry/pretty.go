package telemetry

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

// PrettyHandler writes log lines for people:
//
//	15:04:05.000 INFO  push      pushed to=7434029 took=3ms
//
// The third column is the attribute "service", if a logger has it. A value of
// several lines, such as a stack, follows on lines of its own. Control
// characters are escaped, so a value can't move the cursor or fake a line.
//
// A PrettyHandler and the handlers derived from it may be used concurrently.
type PrettyHandler struct {
	out     *lockedWriter
	level   slog.Leveler
	colour  bool
	service string
	prefix  string // the open groups, each with its dot
	attrs   string // the attributes of WithAttrs, as they are written
	blocks  string // those of their values that have several lines
}

type lockedWriter struct {
	mu sync.Mutex // keeps lines apart
	w  io.Writer
}

// NewPrettyHandler returns a handler that writes records of at least level to
// w. A nil level means info.
func NewPrettyHandler(w io.Writer, level slog.Leveler, colour bool) *PrettyHandler {
	if level == nil {
		level = slog.LevelInfo
	}
	return &PrettyHandler{out: &lockedWriter{w: w}, level: level, colour: colour}
}

// Enabled implements slog.Handler.
func (h *PrettyHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

// WithGroup implements slog.Handler; groups are written as dotted keys.
func (h *PrettyHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	derived := *h
	derived.prefix += name + "."
	return &derived
}

// WithAttrs implements slog.Handler.
func (h *PrettyHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	derived := *h
	l := derived.line()
	for _, a := range attrs {
		l.attr(derived.prefix, a)
	}
	derived.service, derived.attrs, derived.blocks = l.service, l.attrs.String(), l.blocks.String()
	return &derived
}

// Handle implements slog.Handler.
func (h *PrettyHandler) Handle(_ context.Context, r slog.Record) error {
	l := h.line()
	r.Attrs(func(a slog.Attr) bool {
		l.attr(h.prefix, a)
		return true
	})
	var text strings.Builder
	if !r.Time.IsZero() {
		text.WriteString(l.paint(faint, r.Time.Format("15:04:05.000")) + " ")
	}
	text.WriteString(l.paint(levelColour(r.Level), pad(r.Level.String(), 5)) + " ")
	if l.service != "" {
		text.WriteString(l.paint(bold, pad(l.service, 9)) + " ")
	}
	text.WriteString(escape(RedactURL(r.Message)))
	text.WriteString(l.attrs.String() + "\n" + l.blocks.String())

	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	_, err := io.WriteString(h.out.w, text.String())
	return err
}

func (h *PrettyHandler) line() *prettyLine {
	l := &prettyLine{colour: h.colour, service: h.service}
	l.attrs.WriteString(h.attrs)
	l.blocks.WriteString(h.blocks)
	return l
}

// prettyLine is a line under construction.
type prettyLine struct {
	colour  bool
	service string
	attrs   strings.Builder
	blocks  strings.Builder
}

func (l *prettyLine) attr(prefix string, a slog.Attr) {
	a = maskAttr(nil, a)
	value := a.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range value.Group() {
			l.attr(prefix, member)
		}
		return
	}
	if a.Equal(slog.Attr{}) {
		return
	}
	text := valueText(value)
	if a.Key == "service" && prefix == "" {
		l.service = escape(text)
		return
	}
	l.pair(escape(prefix+a.Key), text)
}

func (l *prettyLine) pair(key, text string) {
	if strings.Contains(text, "\n") {
		l.blocks.WriteString("    " + l.paint(faint, key+":") + "\n")
		for line := range strings.Lines(text) {
			l.blocks.WriteString("      " + escape(strings.TrimRight(line, "\r\n")) + "\n")
		}
		return
	}
	if needsQuotes(text) {
		text = strconv.Quote(text)
	}
	l.attrs.WriteString(" " + l.paint(faint, key+"=") + text)
}

const (
	faint  = "2"
	bold   = "1"
	red    = "31"
	yellow = "33"
	green  = "32"
)

func levelColour(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return red
	case l >= slog.LevelWarn:
		return yellow
	case l >= slog.LevelInfo:
		return green
	}
	return faint
}

func (l *prettyLine) paint(colour, s string) string {
	if !l.colour {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

func valueText(v slog.Value) string {
	switch v.Kind() {
	case slog.KindDuration:
		return shortDuration(v.Duration())
	case slog.KindTime:
		return v.Time().Format(time.RFC3339Nano)
	}
	return v.String()
}

// shortDuration rounds to three or four digits, because nobody reads more.
func shortDuration(d time.Duration) string {
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		if d.Abs() >= unit {
			return d.Round(unit / 100).String()
		}
	}
	return d.String()
}

func needsQuotes(s string) bool {
	return s == "" || strings.ContainsFunc(s, func(r rune) bool {
		return r == ' ' || r == '"' || r == '=' || !unicode.IsPrint(r)
	})
}

// escape writes unprintable characters in Go's way.
func escape(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) && r != '\t' }) {
		return s
	}
	quoted := strconv.Quote(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

func pad(s string, width int) string {
	if len(s) < width {
		s += strings.Repeat(" ", width-len(s))
	}
	return s
}
