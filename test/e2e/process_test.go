// Package e2e runs the example programs as their users do: built, as processes
// of their own, on real brokers and stores, and in a browser.
package e2e

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/enoki-go/enoki/internal/testserver"
)

// programs is the directory of the built programs; set by TestMain.
var programs string

func TestMain(m *testing.M) {
	const site = "examples/comments"
	testserver.Main(m, testserver.Built(&programs, site, site+"/cmd/register", site+"/cmd/push", site+"/cmd/api"))
}

// readyTimeout is how long a program may take until it takes work. It is
// generous: alone on the machine it takes less than a tenth of a second, which
// "make footprint" holds it to.
const readyTimeout = time.Minute

// process is one program that can be killed and started again. It belongs to
// one goroutine.
type process struct {
	name string
	args []string
	dir  string // where it runs, and below which its files are

	cmd   *exec.Cmd // nil while it is down
	ended chan struct{}

	mu  sync.Mutex // guards log
	log strings.Builder
}

// start starts a program with a home of its own and returns once it takes
// work. It ends with the test at the latest.
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{name: name, dir: t.TempDir(), args: append(args, "--log-format=json")}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, p.text())
		}
	})
	p.start(t)
	return p
}

// runToEnd runs a program that ends by itself.
func runToEnd(t *testing.T, name string, args ...string) (log string, code int) {
	t.Helper()
	cmd := exec.Command(program(name), args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func program(name string) string {
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(programs, name)
}

// start starts the program again.
func (p *process) start(t *testing.T) {
	t.Helper()
	p.cmd = exec.Command(program(p.name), p.args...)
	p.cmd.Dir = p.dir
	p.cmd.Env = append(os.Environ(), "HOME="+p.dir, "XDG_STATE_HOME="+filepath.Join(p.dir, "state"))
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	p.ended = make(chan struct{})
	go func() {
		defer close(p.ended)
		p.read(bufio.NewScanner(stderr), ready)
	}()
	select {
	case <-ready:
	case <-p.ended:
		t.Fatalf("%s ended before it took work", p.name)
	case <-time.After(readyTimeout):
		t.Fatalf("%s did not take work within %v", p.name, readyTimeout)
	}
}

// read keeps the log, and closes ready at the line that says so.
func (p *process) read(lines *bufio.Scanner, ready chan struct{}) {
	for lines.Scan() {
		line := lines.Text()
		p.mu.Lock()
		p.log.WriteString(line + "\n")
		p.mu.Unlock()
		if strings.Contains(line, `"ready in `) {
			close(ready)
		}
	}
}

// text returns the log so far, of all runs.
func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// kill ends the program as kill -9 does and returns when it is gone.
func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
	_ = p.cmd.Wait() // killed, so always an error
	p.cmd = nil
}

// stop asks the program to stop, as Ctrl-C does, and fails the test when it
// does not do so cleanly.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("%s stopped with %v", p.name, err)
	}
	p.cmd = nil
}

// freePort is one that nobody else is given until the test ends.
func freePort(t *testing.T) string {
	t.Helper()
	_, port, err := net.SplitHostPort(testserver.Address(t))
	if err != nil {
		t.Fatal(err)
	}
	return port
}
