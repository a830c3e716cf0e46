package embedded

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// logger passes the server's warnings and errors on and drops its news: a
// program with a broker inside has its own start-up lines.
type logger struct {
	log  *slog.Logger
	hurt chan string // says, without waiting, what keeps the server from storing more

	mu    sync.Mutex
	first string // the first fatal message
}

func newLogger(log *slog.Logger) *logger {
	return &logger{log: log, hurt: make(chan string, 1)}
}

func (l *logger) Noticef(string, ...any) {}
func (l *logger) Debugf(string, ...any)  {}
func (l *logger) Tracef(string, ...any)  {}

func (l *logger) Warnf(format string, args ...any) {
	if strings.HasPrefix(format, "Plaintext passwords") {
		return // ours is nobody's choice, and in a file that only its user may read
	}
	l.log.Warn("embedded NATS: " + l.note(format, args))
}

func (l *logger) Errorf(format string, args ...any) {
	l.log.Error("embedded NATS: " + l.note(format, args))
}

// The words in which the server says that a stream, or all of it, stores
// nothing more until it is started again.
var hurtful = []string{"critical write error", "will be disabled", "disabling jetstream"}

// note looks for them. The server tells nobody in another way.
func (l *logger) note(format string, args []any) string {
	text := fmt.Sprintf(format, args...)
	lower := strings.ToLower(text)
	if slices.ContainsFunc(hurtful, func(words string) bool { return strings.Contains(lower, words) }) {
		select {
		case l.hurt <- text:
		default: // has been said
		}
	}
	return text
}

// Fatalf keeps the reason for Start to return; the server goes on after it and
// is shut down there.
func (l *logger) Fatalf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == "" {
		l.first = fmt.Sprintf(format, args...)
	}
}

func (l *logger) fatal() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == "" {
		return "the server gave no reason"
	}
	return l.first
}
