package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"testing/slogtest"
	"time"
)

func TestLoggerOfAPipeIsJSON(t *testing.T) {
	var out bytes.Buffer
	NewLogger(&out, slog.LevelInfo, Auto).With("service", "push").Info("pushed", "to", 7, "took", 1346298*time.Nanosecond)
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	for key, want := range map[string]any{"msg": "pushed", "level": "INFO", "service": "push", "to": 7.0, "took": "1.35ms"} {
		if line[key] != want {
			t.Errorf("%s is %v, want %v", key, line[key], want)
		}
	}
}

func TestHandlersKeepTheContractOfSlog(t *testing.T) {
	for _, format := range []Format{JSON, Pretty} {
		t.Run(string(format), func(t *testing.T) {
			var out bytes.Buffer
			parse := map[Format]func(*testing.T, string) map[string]any{JSON: parseJSON, Pretty: parsePretty}[format]
			slogtest.Run(t, func(*testing.T) slog.Handler {
				out.Reset()
				return NewLogger(&out, slog.LevelInfo, format).Handler()
			}, func(t *testing.T) map[string]any { return parse(t, out.String()) })
		})
	}
}

func parseJSON(t *testing.T, line string) map[string]any {
	var m map[string]any
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// parsePretty reads "[time] LEVEL message key=value group.key=value" where the
// message is one word.
func parsePretty(_ *testing.T, line string) map[string]any {
	m := map[string]any{}
	fields := strings.Fields(line)
	if strings.Count(fields[0], ":") == 2 {
		m[slog.TimeKey], fields = fields[0], fields[1:]
	}
	m[slog.LevelKey], m[slog.MessageKey] = fields[0], fields[1]
	for _, field := range fields[2:] {
		path, value, _ := strings.Cut(field, "=")
		if text, err := strconv.Unquote(value); err == nil {
			value = text
		}
		at := m
		keys := strings.Split(path, ".")
		for _, key := range keys[:len(keys)-1] {
			if at[key] == nil {
				at[key] = map[string]any{}
			}
			at = at[key].(map[string]any)
		}
		at[keys[len(keys)-1]] = value
	}
	return m
}

func TestPrettyLine(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(NewPrettyHandler(&out, nil, false)).With("service", "push")
	log.Debug("not shown")
	log.Error("no\nway\x1b[2J", "err", errors.New("a b"), "stack", "one\ntwo\n", "n", 3, "empty", "")
	_, got, _ := strings.Cut(out.String(), " ") // without the time
	want := "ERROR push      no\\nway\\x1b[2J err=\"a b\" n=3 empty=\"\"\n    stack:\n      one\n      two\n"
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestPrettyColours(t *testing.T) {
	var out bytes.Buffer
	slog.New(NewPrettyHandler(&out, nil, true)).Warn("x")
	if !strings.Contains(out.String(), "\x1b[33mWARN \x1b[0m") {
		t.Errorf("no yellow in %q", out.String())
	}
	for env, want := range map[string]bool{"": true, "NO_COLOR=1": false, "TERM=dumb": false, "TERM=xterm": true} {
		key, value, _ := strings.Cut(env, "=")
		got := colourWanted(func(k string) string {
			if k == key {
				return value
			}
			return ""
		})
		if got != want {
			t.Errorf("with %q colours are wanted: %v", env, got)
		}
	}
}

func TestLoggersMaskSecrets(t *testing.T) {
	for _, format := range []Format{JSON, Pretty} {
		var out bytes.Buffer
		log := NewLogger(&out, slog.LevelInfo, format)
		log.With("url", "amqp://u:hush@h").WithGroup("g").Info("to nats://u:hush@h",
			"err", errors.New("dial amqp://u:hush@h/v: refused"),
			"urls", []string{"nats://u:hush@a", "nats://hush@b"},
			"Password", "hush", slog.Group("in", "token", "hush"))
		if strings.Contains(out.String(), "hush") {
			t.Errorf("%s shows a secret: %s", format, out.String())
		}
		if !strings.Contains(out.String(), "amqp://u:xxxxx@h/v: refused") {
			t.Errorf("%s lost the rest of the error: %s", format, out.String())
		}
	}
}

func TestNilErrorInALogLine(t *testing.T) {
	var none *json.SyntaxError
	var out bytes.Buffer
	NewLogger(&out, slog.LevelInfo, Pretty).Info("x", "err", error(none))
	if !strings.Contains(out.String(), "err=<nil>") {
		t.Errorf("got %q", out.String())
	}
}

func TestRedactURL(t *testing.T) {
	for in, want := range map[string]string{
		"":                                    "",
		"no url":                              "no url",
		"amqp://h:5672/v":                     "amqp://h:5672/v",
		"amqp://u@h":                          "amqp://u@h",
		"amqp://u:p@h:5672/v":                 "amqp://u:xxxxx@h:5672/v",
		"amqp://u:p@p@h":                      "amqp://u:xxxxx@h",
		"amqp://u:p/w#?@h/v":                  "amqp://u:xxxxx@h/v",
		"amqp://:p@h":                         "amqp://:xxxxx@h",
		"redis://h:6379/a@b":                  "redis://h:6379/a@b",
		"http://[::1]:80/x":                   "http://[::1]:80/x",
		"nats://token@h":                      "nats://xxxxx@h",
		"nats://u:p@a:1,nats://u:q@b:2":       "nats://u:xxxxx@a:1,nats://u:xxxxx@b:2",
		"dial \"amqp://u:p@h\": no such host": "dial \"amqp://u:xxxxx@h\": no such host",
		"amqp://u:p@h and mail me@home":       "amqp://u:xxxxx@h and mail me@home",
	} {
		if got := RedactURL(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func FuzzRedactURL(f *testing.F) {
	for _, s := range []string{"amqp://u:p@h", "://", "a://b://c@", "x://:@,y://"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if once := RedactURL(s); RedactURL(once) != once {
			t.Errorf("%q becomes %q and then %q", s, once, RedactURL(once))
		}
	})
}

func TestParse(t *testing.T) {
	if f, err := ParseFormat(""); f != Auto || err != nil {
		t.Error(f, err)
	}
	if _, err := ParseFormat("xml"); err == nil || !strings.Contains(err.Error(), "auto, pretty, json") {
		t.Error(err)
	}
	if l, err := ParseLevel("WARN"); l != slog.LevelWarn || err != nil {
		t.Error(l, err)
	}
	if _, err := ParseLevel("loud"); err == nil || !strings.Contains(err.Error(), "debug, info, warn, error") {
		t.Error(err)
	}
}

func TestLongAndPersonalValues(t *testing.T) {
	long := strings.Repeat("é", 1<<20)
	for _, format := range []Format{JSON, Pretty} {
		var out strings.Builder
		log := NewLogger(&out, slog.LevelInfo, format)
		log.Info("it came", "text", long, "error", errors.New(long), "email", Personal("ada@example.org"), "stack", "main.go:1")
		line := out.String()
		if len(line) > 4096 || strings.Count(line, "… (2097152 bytes)") != 2 || !strings.Contains(line, "[personal]") || strings.Contains(line, "ada") || !strings.Contains(line, "main.go:1") {
			t.Errorf("%s: the line of %d bytes is %.300s", format, len(line), line)
		}
	}
}
