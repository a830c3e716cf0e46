// Command footprint builds examples/hello and measures what it takes: the time
// from the start of the process to serving with the embedded broker, the
// memory it holds when idle, and the size of its stripped binary, with the
// embedded broker and without. It ends with status 1 when one of them is above
// its limit.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	maxStart  = 100 * time.Millisecond
	maxMemory = 30e6 // bytes resident
	maxBinary = 25e6 // bytes
	maxLean   = 12e6 // bytes, built with leanTag

	leanTag = "noembedded" // leaves the embedded broker out

	starts = 5               // the fastest of as many counts: what the others need more is the machine's
	idle   = 3 * time.Second // after this a process has done what it does at the start
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "footprint:", err)
		os.Exit(1)
	}
}

func run(out io.Writer) error {
	dir, err := os.MkdirTemp("", "enoki-footprint-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	lean, err := buildLean(filepath.Join(dir, "lean"))
	if err != nil {
		return err
	}
	binary := filepath.Join(dir, "hello")
	size, err := build(binary)
	if err != nil {
		return err
	}
	var times []time.Duration
	var memory float64
	for n := range starts {
		last := n == starts-1
		began, resident, err := measure(binary, filepath.Join(dir, strconv.Itoa(n)), last)
		if err != nil {
			return err
		}
		times = append(times, began)
		memory = resident
	}
	return report(out, slices.Min(times), memory, size, lean)
}

func report(out io.Writer, start time.Duration, memory, size, lean float64) error {
	fmt.Fprintf(out, "start to serving, embedded broker:       %4d ms (limit %d ms)\n", start.Milliseconds(), maxStart.Milliseconds())
	fmt.Fprintf(out, "idle memory, resident:                   %4.0f MB (limit %.0f MB)\n", memory/1e6, maxMemory/1e6)
	fmt.Fprintf(out, "hello's binary, stripped:                %4.1f MB (limit %.0f MB)\n", size/1e6, maxBinary/1e6)
	fmt.Fprintf(out, "the same, built with -tags %s:   %4.1f MB (limit %.0f MB)\n", leanTag, lean/1e6, maxLean/1e6)
	if start > maxStart || memory > maxMemory || size > maxBinary || lean > maxLean {
		return fmt.Errorf("above the limit")
	}
	return nil
}

// buildLean builds the program without the embedded broker, and looks whether
// it tells who asks for that broker what to do.
func buildLean(binary string) (float64, error) {
	size, err := build(binary, "-tags", leanTag)
	if err != nil {
		return 0, err
	}
	said, err := exec.Command(binary, "--broker", "embedded:", "--admin", "off").CombinedOutput()
	if err == nil || !strings.Contains(string(said), "without -tags "+leanTag) {
		return 0, fmt.Errorf("built with -tags %s, hello ended with %w and said:\n%s", leanTag, err, said)
	}
	return size, nil
}

// build returns the size of the binary in bytes.
func build(binary string, flags ...string) (float64, error) {
	args := append([]string{"build", "-trimpath", "-ldflags", "-s -w", "-o", binary}, flags...)
	cmd := exec.Command("go", append(args, "./examples/hello")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build examples/hello: %w\n%s", err, said)
	}
	info, err := os.Stat(binary)
	if err != nil {
		return 0, err
	}
	return float64(info.Size()), nil
}

// measure starts the program with files of its own in store, and stops it
// once it has served and, when weigh is true, has been weighed idle.
func measure(binary, store string, weigh bool) (start time.Duration, resident float64, err error) {
	cmd := exec.Command(binary, "--broker", "embedded:?port=0&dir="+store, "--admin", "127.0.0.1:0", "--log-format", "json")
	log, err := cmd.StderrPipe()
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended, which Wait tells
		go func() { _, _ = io.Copy(io.Discard, log) }()
		if waited := cmd.Wait(); err == nil {
			err = waited
		}
	}()
	if err := awaitReady(log); err != nil {
		return 0, 0, err
	}
	start = time.Since(began)
	if weigh {
		time.Sleep(idle)
		resident, err = residentBytes(cmd.Process.Pid)
	}
	return start, resident, err
}

// awaitReady reads the log until it says that the services take work.
func awaitReady(log io.Reader) error {
	var said bytes.Buffer
	lines := bufio.NewScanner(io.TeeReader(log, &said))
	for lines.Scan() {
		if strings.Contains(lines.Text(), `"ready in `) {
			return nil
		}
	}
	return fmt.Errorf("hello ended before it served:\n%s", said.String())
}

func residentBytes(pid int) (float64, error) {
	out, err := exec.Command("ps", "-o", "rss=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return 0, fmt.Errorf("ps: %w", err)
	}
	kibibytes, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	return kibibytes * 1024, err
}
