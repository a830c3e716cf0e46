package migration_test

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// terminal runs commands as somebody does who follows a page: one after the
// other, and those that end in "&" in the background.
type terminal struct {
	dir  string
	env  []string
	jobs []*job
	seen *screen
}

// job is a command in the background.
type job struct {
	command string
	cmd     *exec.Cmd
	ended   chan struct{}
}

func newTerminal(t *testing.T, dir string, env ...string) *terminal {
	x := &terminal{dir: dir, env: append(os.Environ(), env...), seen: newScreen()}
	t.Cleanup(func() {
		for _, j := range x.jobs {
			_ = j.cmd.Process.Kill() // it may have ended
			<-j.ended
		}
		if t.Failed() {
			t.Logf("the terminal in the end:\n%s", x.seen.since(0))
		}
	})
	return x
}

// do runs a command and fails the test unless the screen then shows the lines
// that it should, whichever of the commands that run prints them, and the
// command prints no others.
func (x *terminal) do(t *testing.T, e example) {
	t.Helper()
	from := x.seen.prompt(e.command)
	own, err := x.run(e.command)
	if err != nil {
		t.Fatalf("$ %s\n%v", e.command, err)
	}
	if missing := x.seen.await(from, e.lines); missing != "" {
		t.Errorf("$ %s\ndoes not show %q, but\n%s", e.command, missing, x.seen.since(from))
	}
	for line := range strings.Lines(own) {
		if !e.has(line) {
			t.Errorf("$ %s\nshows a line that the page does not have: %s", e.command, line)
		}
	}
}

// run returns what a command in the foreground prints. Its exit code may be
// any: pages show failures too.
func (x *terminal) run(command string) (output string, err error) {
	if background, found := strings.CutSuffix(command, " &"); found {
		return "", x.begin(background)
	}
	if job, found := strings.CutPrefix(command, "kill %"); found {
		return "", x.kill(job)
	}
	if setting, found := strings.CutPrefix(command, "export "); found {
		x.env = append(x.env, setting)
		return "", nil
	}
	cmd := x.command(command)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		return "", err
	}
	_, _ = x.seen.Write(out)
	return string(out), nil
}

func (x *terminal) command(text string) *exec.Cmd {
	cmd := exec.Command("bash", "-c", text)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = x.dir, x.env, dieWithParent()
	return cmd
}

func (x *terminal) begin(command string) error {
	j := &job{command: command, cmd: x.command("exec " + command), ended: make(chan struct{})}
	j.cmd.Stdout, j.cmd.Stderr = x.seen, x.seen
	if err := j.cmd.Start(); err != nil {
		return err
	}
	go func() {
		defer close(j.ended)
		_ = j.cmd.Wait() // the page shows how it ends
	}()
	x.jobs = append(x.jobs, j)
	return nil
}

// kill sends SIGTERM to the job whose command begins so, and waits for its end.
func (x *terminal) kill(command string) error {
	for _, j := range x.jobs {
		select {
		case <-j.ended:
			continue
		default:
		}
		if !strings.HasPrefix(j.command, command) {
			continue
		}
		if err := j.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		select {
		case <-j.ended:
		case <-time.After(patience):
			return fmt.Errorf("%s does not end", j.command)
		}
		if code := j.cmd.ProcessState.ExitCode(); code != 0 {
			return fmt.Errorf("%s ends with %d", j.command, code)
		}
		return nil
	}
	return fmt.Errorf("there is no job %s", command)
}

// screen holds all that was printed.
type screen struct {
	mu      sync.Mutex // guards the fields below
	changed *sync.Cond
	text    strings.Builder
}

func newScreen() *screen {
	s := &screen{}
	s.changed = sync.NewCond(&s.mu)
	return s
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
	return s.text.Write(b)
}

// prompt shows a command, and returns where its output begins.
func (s *screen) prompt(command string) (from int) {
	_, _ = s.Write([]byte("$ " + command + "\n"))
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Len()
}

func (s *screen) since(from int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()[from:]
}

// await waits until the lines have come, in any order and maybe with others
// between. It returns one that has not come in time.
func (s *screen) await(from int, lines []string) (missing string) {
	late := false
	timer := time.AfterFunc(patience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		late = true
		s.changed.Broadcast()
	})
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if missing = firstMissing(s.text.String()[from:], lines); missing == "" || late {
			return missing
		}
		s.changed.Wait()
	}
}

func firstMissing(text string, lines []string) string {
	printed := slices.Collect(strings.Lines(text))
	for _, want := range lines {
		if !slices.ContainsFunc(printed, func(line string) bool { return matches(want, line) }) {
			return want
		}
	}
	return ""
}

// matches compares a line with one of a page, where "…" stands for any text
// and any number of blanks for each other.
func matches(want, line string) bool {
	parts := strings.Split(strings.Join(strings.Fields(want), " "), "…")
	for i, part := range parts {
		parts[i] = regexp.QuoteMeta(part)
	}
	return regexp.MustCompile("^" + strings.Join(parts, ".*") + "$").MatchString(strings.Join(strings.Fields(line), " "))
}
