package migration_test

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait. It is long because a busy machine may take its
// time to start Python.
const patience = time.Minute

// process is a program that says on stdout what it does.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{} // closed when it has ended and all it said was heard
	err   error         // how it ended; to be read after ended
	talk  tail          // its stderr
}

// start runs a program in python/ until the test ends at the latest, and hands
// every line of its stdout to hear, which is called by one goroutine.
func start(t *testing.T, name string, hear func(line string), command ...string) *process {
	t.Helper()
	p := &process{name: name, cmd: exec.Command(command[0], command[1:]...), ended: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stderr, p.cmd.SysProcAttr = "python", &p.talk, dieWithParent()
	p.cmd.Env = append(os.Environ(), "PYTHONWARNINGS=ignore") // eventlet is deprecated, and says so each time
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdin = stdin
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			hear(lines.Text())
		}
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(p.kill)
	return p
}

// kill ends the program as kill -9 does and returns when it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

// drain asks the program to stop and fails the test unless it does so in good
// order.
func (p *process) drain(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("SIGTERM to %s: %v\n%s", p.name, err, p.talk.String())
	}
	p.wait(t)
}

// wait waits for the program's own end.
func (p *process) wait(t *testing.T) {
	t.Helper()
	select {
	case <-p.ended:
		if p.err != nil {
			t.Errorf("%s ended with %v:\n%s", p.name, p.err, p.talk.String())
		}
	case <-time.After(patience):
		t.Fatalf("%s does not end:\n%s", p.name, p.talk.String())
	}
}

// tail keeps the end of what was written.
type tail struct {
	mu   sync.Mutex
	text bytes.Buffer
}

const tailSize = 8 << 10

func (w *tail) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(b)
	w.text.Next(w.text.Len() - min(w.text.Len(), tailSize))
	return len(b), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}
