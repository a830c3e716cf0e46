package embedded

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// logger passes the server's warnings and errors on and drops its news: a
// program with a broker inside has its own start-up lines.
type logger struct {
	log *slog.Logger

	mu    sync.Mutex
	first string // the first fatal message
}

func (l *logger) Noticef(string, ...any) {}
func (l *logger) Debugf(string, ...any)  {}
func (l *logger) Tracef(string, ...any)  {}

func (l *logger) Warnf(format string, args ...any) {
	if strings.HasPrefix(format, "Plaintext passwords") {
		return // ours is nobody's choice, and in a file that only its user may read
	}
	l.log.Warn("embedded NATS: " + fmt.Sprintf(format, args...))
}

func (l *logger) Errorf(format string, args ...any) {
	l.log.Error("embedded NATS: " + fmt.Sprintf(format, args...))
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
