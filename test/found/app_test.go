package found

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/host"
)

// app is a host.App that runs, and its log.
type app struct {
	stop context.CancelFunc
	done chan error // gets what Run returned

	mu    sync.Mutex // guards what follows
	lines []map[string]any
	text  strings.Builder
	more  chan struct{} // closed and replaced with each line
}

// startApp runs services, with an admin address of their own, until the test
// ends.
func startApp(t *testing.T, services []*enoki.Service, args ...string) *app {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	a := &app{stop: stop, done: make(chan error, 1), more: make(chan struct{})}
	read, write := io.Pipe()
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		a.read(read)
	}()
	args = append([]string{"--log-format=json", "--admin=127.0.0.1:0", "--http=127.0.0.1:0"}, args...)
	go func() {
		err := new(host.App).Run(ctx, args, io.Discard, write, func() ([]*enoki.Service, error) { return services, nil })
		_ = write.Close()
		<-logged
		a.done <- err
		close(a.done)
	}()
	t.Cleanup(func() {
		stop()
		<-logged
	})
	return a
}

func (a *app) read(r io.Reader) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 16<<20)
	for scanner.Scan() {
		var line map[string]any
		_ = json.Unmarshal(scanner.Bytes(), &line) // a line that is none has no message
		a.mu.Lock()
		a.lines = append(a.lines, line)
		a.text.WriteString(scanner.Text() + "\n")
		close(a.more)
		a.more = make(chan struct{})
		a.mu.Unlock()
	}
}

// log is all that was logged.
func (a *app) log() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text.String()
}

// await returns the first line, after the first skip ones, whose message
// starts with msg, and how many lines there are up to it.
func (a *app) await(t *testing.T, msg string, skip int) (line map[string]any, seen int) {
	t.Helper()
	deadline := time.After(2 * patience)
	for {
		a.mu.Lock()
		lines, more := a.lines, a.more
		a.mu.Unlock()
		for ; skip < len(lines); skip++ {
			if text, _ := lines[skip]["msg"].(string); strings.HasPrefix(text, msg) {
				return lines[skip], skip + 1
			}
		}
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("no line %q in\n%s", msg, a.log())
		}
	}
}

// ready waits until the services take work, and returns the admin address.
func (a *app) ready(t *testing.T) (admin string) {
	t.Helper()
	line, _ := a.await(t, "ready in ", 0)
	return fmt.Sprint(line["admin"])
}

// end waits for the end and returns the exit code.
func (a *app) end(t *testing.T) int {
	t.Helper()
	select {
	case err := <-a.done:
		return host.ExitCode(err)
	case <-time.After(2 * patience):
		t.Fatalf("it does not end:\n%s", a.log())
		return 0
	}
}

// get asks an admin address for a page.
func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	response, err := http.Get(url) //nolint:noctx // of a test on loopback
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// awaitReadyz asks /readyz until it answers status with words in it.
func (a *app) awaitReadyz(t *testing.T, admin string, status int, words string) {
	t.Helper()
	for deadline := time.Now().Add(2 * patience); ; time.Sleep(20 * time.Millisecond) {
		got, body := get(t, admin+"/readyz")
		if got == status && strings.Contains(body, words) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("/readyz: %d %s, want %d with %q\n%s", got, body, status, words, a.log())
		}
	}
}

func greeter() []*enoki.Service {
	hello := func(_ context.Context, name string) (string, error) { return "Hello, " + name, nil }
	return []*enoki.Service{enoki.NewService("greeter", enoki.Method("hello", hello, "name"))}
}
