package harness

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// process is one that plays a role in a case.
type process struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	lines  chan []byte // what it says; closed when it has ended
	stderr *os.File
}

// answerTimeout is how long a process may take to answer beyond the time that
// it was asked to work for.
const answerTimeout = 90 * time.Second

// startRole starts this program in a role of the case.
func startRole(role string, w *Work) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	return startProcess(exec.Command(self, role, string(text)))
}

func startProcess(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, lines: make(chan []byte)}
	var err error
	if p.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.stderr, err = os.CreateTemp("", "enoki-bench-"); err != nil {
		return nil, err
	}
	cmd.Stderr = p.stderr
	if err := cmd.Start(); err != nil {
		p.removeOutput()
		return nil, err
	}
	go p.read(out)
	return p, nil
}

func (p *process) read(out io.Reader) {
	defer close(p.lines)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		p.lines <- append([]byte(nil), lines.Bytes()...)
	}
}

// ask sends a line and reads the answer into v.
func (p *process) ask(question, answer any, wait time.Duration) error {
	line, err := json.Marshal(question)
	if err != nil {
		return err
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return p.failed(err)
	}
	return p.hear(answer, wait)
}

// hear reads the next line into v.
func (p *process) hear(v any, wait time.Duration) error {
	select {
	case line, ok := <-p.lines:
		if !ok {
			return p.failed(errors.New("ended"))
		}
		return json.Unmarshal(line, v)
	case <-time.After(wait + answerTimeout):
		return p.failed(errors.New("does not answer"))
	}
}

func (p *process) failed(err error) error {
	text, _ := os.ReadFile(p.stderr.Name()) // an empty text says as much
	return fmt.Errorf("%s: %w\n%s", p.cmd.Args[:min(2, len(p.cmd.Args))], err, text[max(0, len(text)-2048):])
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop closes its input, which ends it, and kills what does not end so.
func (p *process) stop() {
	_ = p.in.Close() // it may have ended by itself
	go func() {
		for range p.lines { // what it still says must not block it
		}
	}()
	late := time.AfterFunc(3*time.Second, func() { _ = p.cmd.Process.Kill() })
	_ = p.cmd.Wait() // it is gone, however it ended
	late.Stop()
	p.removeOutput()
}

func (p *process) removeOutput() {
	_ = p.stderr.Close()
	_ = os.Remove(p.stderr.Name())
}
