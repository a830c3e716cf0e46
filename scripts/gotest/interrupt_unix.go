//go:build unix

package gotest

import (
	"os/exec"
	"syscall"
)

// interruptTogether makes the end of the command's context an interrupt of go
// test and of the tests it runs: go test alone would wait for them.
func interruptTogether(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGINT) }
}
