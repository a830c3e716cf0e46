package testserver

import (
	"os"
	"syscall"
)

// dieWithParent has the kernel kill the program when the test process dies,
// by a panic or a timeout too, when no cleanup runs.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// killGroup kills the program and what it started in its process group.
func killGroup(p *os.Process) {
	_ = syscall.Kill(-p.Pid, syscall.SIGKILL) // it may have ended by itself
}
