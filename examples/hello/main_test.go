package main

import (
	"bufio"
	"bytes"
	"context"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/host"
)

const maxLines = 15

func TestSource(t *testing.T) {
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(source, []byte("\n")); lines > maxLines {
		t.Errorf("main.go has %d lines, more than %d", lines, maxLines)
	}
	formatted, err := format.Source(source)
	if err != nil || !bytes.Equal(formatted, source) {
		t.Errorf("main.go is not as gofmt writes it: %v", err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(readme, source) {
		t.Error("README.md shows another hello world than main.go")
	}
}

func TestAnswers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "broker")
	run(t, "--store-dir", dir, "--admin", "off", "--log-format", "json")

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b, err := (&host.Dialer{StoreDir: dir}).Dial(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	answer, err := enoki.NewClient(b, nil).Call(ctx, "greeter", "hello", nil, map[string]any{"name": "Ada"})
	if string(answer) != `"Hello, Ada"` || err != nil {
		t.Errorf("greeter.hello: %s, %v", answer, err)
	}
}

// run builds this program, runs it until the test ends, and returns once it
// takes work.
func run(t *testing.T, args ...string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "hello.exe")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	cmd := exec.Command(program, args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready, ended := make(chan struct{}), make(chan struct{})
	var log strings.Builder // until ended is closed, the goroutine's only
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			log.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), `"ready in `) {
				close(ready)
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		_ = cmd.Wait() // killed, so always an error
	})
	select {
	case <-ready:
	case <-ended:
		t.Fatalf("the program ended:\n%s", log.String())
	}
}
