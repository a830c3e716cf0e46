package main

import (
	"context"
	"errors"
	"os/exec"
	"runtime"
	"time"
)

// stopTimeout is how long a process may take to end after it was asked to: a
// little longer than a service's own grace period of 25 s.
const stopTimeout = 30 * time.Second

// process is a child process and those it started.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // of its end; valid after done
}

// startProcess starts cmd apart from this process's group, so that Ctrl-C
// reaches it only through us. atEnd is called once it has ended and all that it
// wrote has been read.
func startProcess(cmd *exec.Cmd, atEnd func()) (*process, error) {
	separate(cmd)
	cmd.WaitDelay = time.Second // for a grandchild that keeps our pipe open
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// On Linux the child gets a signal when the thread that started it
		// ends, so the thread has to live as long.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		if p.err = cmd.Wait(); errors.Is(p.err, exec.ErrWaitDelay) {
			p.err = nil // it ended well; what it has left behind is not its failure
		}
		atEnd()
		close(p.done)
	}()
	return p, <-started
}

// ended is closed when the process has ended; a nil process never does.
func (p *process) ended() <-chan struct{} {
	if p == nil {
		return nil
	}
	return p.done
}

// state says how the process ended, such as "exit status 1".
func (p *process) state() string { return p.cmd.ProcessState.String() }

// failure is nil after a clean end, and otherwise has the exit code.
func (p *process) failure() error {
	if p.err == nil {
		return nil
	}
	return reported{max(1, p.cmd.ProcessState.ExitCode())} // -1 when a signal ended it
}

// stop asks the process to end and waits for it. When hard ends, or the time
// is over, it is killed. Dying of the request is a clean end: not every
// program handles it.
func (p *process) stop(hard context.Context) error {
	interrupt(p.cmd.Process)
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case <-p.done:
		if p.cmd.ProcessState.ExitCode() == -1 { // of a signal
			return nil
		}
		return p.failure()
	case <-hard.Done():
	case <-timeout.C:
	}
	kill(p.cmd.Process)
	<-p.done
	return p.failure()
}
