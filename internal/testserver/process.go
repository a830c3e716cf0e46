package testserver

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// process is one run of a program that ends with the test process.
type process struct {
	name    string
	cmd     *exec.Cmd
	logFile string
	done    chan struct{} // closed when the program has ended
}

// startProcess runs cmd in a process group of its own and appends what it
// prints to logFile.
func startProcess(cmd *exec.Cmd, logFile string) (*process, error) {
	out, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close() // the program has its own copy
	cmd.Stdout, cmd.Stderr = out, out
	dieWithParent(cmd)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	p := &process{name: filepath.Base(cmd.Path), cmd: cmd, logFile: logFile, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // every server here is ended by a signal
	}()
	return p, nil
}

// kill ends the program and its children and waits until it is gone.
func (p *process) kill() {
	killGroup(p.cmd.Process)
	<-p.done
}

// tail returns the end of what the program printed, for error messages.
func (p *process) tail() string {
	b, err := os.ReadFile(p.logFile)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4096):])
}
