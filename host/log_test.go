package host

import (
	"bufio"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

// logLines reads a log in JSON and lets a test wait for a line.
type logLines struct {
	lines chan map[string]any

	mu   sync.Mutex
	text strings.Builder // all so far
}

func readLog(r io.Reader) *logLines {
	l := &logLines{lines: make(chan map[string]any, 1000)}
	go func() {
		defer close(l.lines)
		for scanner := bufio.NewScanner(r); scanner.Scan(); {
			l.mu.Lock()
			l.text.WriteString(scanner.Text() + "\n")
			l.mu.Unlock()
			var line map[string]any
			if json.Unmarshal(scanner.Bytes(), &line) == nil {
				l.lines <- line
			}
		}
	}()
	return l
}

// wait returns the next line whose message starts with msg.
func (l *logLines) wait(t *testing.T, msg string) map[string]any {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case line, ok := <-l.lines:
			if !ok {
				t.Fatalf("the log ended without %q:\n%s", msg, l.all())
			}
			if strings.HasPrefix(line["msg"].(string), msg) {
				return line
			}
		case <-deadline:
			t.Fatalf("no %q in the log:\n%s", msg, l.all())
		}
	}
}

func (l *logLines) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
